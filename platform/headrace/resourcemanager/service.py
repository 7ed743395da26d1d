"""The ResourceManager: one leader among the Dispatchers, by a lease in Redis.

Woken by declarations and slots, and once a second; every round reads everything and writes what differs.
"""

from __future__ import annotations

import asyncio
import contextlib

import structlog

from headrace.clock import monotonic_s, now_ms
from headrace.resourcemanager.core import Beats, changed, reconcile
from headrace.store.port import Store, StoreUnavailableError, Wake

log = structlog.get_logger(__name__)

ROUND_S = 1.0
#: However often it is woken: a round reads every declaration and every grant.
ROUND_S_MIN = 0.1


class ResourceManager:
    """Every Dispatcher runs one; one of them leads. Running tasks need none."""

    def __init__(self, store: Store, leader: str) -> None:
        self._store = store
        self._leader = leader
        self._beats = Beats()
        self._leading = False

    @property
    def leading(self) -> bool:
        """As the store said when it last answered; it checks again with every grant."""
        return self._leading

    async def run(self) -> None:
        """Lead whenever nobody else does, until cancelled."""
        woken = self._store.subscribe(Wake.DECLARED, Wake.SLOTS)
        try:
            while True:
                try:
                    await self._round()
                except StoreUnavailableError as error:
                    log.debug("resourcemanager.no_store", error=str(error))
                    self._beats = self._beats.failed(_monotonic_ms())
                await asyncio.sleep(ROUND_S_MIN)
                await woken.wait(ROUND_S)
        finally:
            woken.close()
            with contextlib.suppress(StoreUnavailableError):
                await self._store.release(self._store.keys.resource_manager, self._leader)

    async def _round(self) -> None:
        self._lead(await self._store.acquire(self._store.keys.resource_manager, self._leader))
        if not self._leading:
            return
        found = await self._store.taskmanagers()
        now = _monotonic_ms()
        self._beats = self._beats.read(found.identity, found.records, now)
        live = {tm_id: record for tm_id, record in found.records.items() if self._beats.live(tm_id, now)}
        declarations = await self._store.declarations()
        stored = await self._store.all_grants()
        wanted = reconcile(declarations, live, stored, now_ms())
        write, gone = changed(wanted, stored), sorted(stored.keys() - wanted.keys())
        if write or gone:
            granted = await self._store.grant(self._leader, write, gone)
            log.info("slots.granted", jobs=len(write), gone=len(gone), leading=granted)

    def _lead(self, leading: bool) -> None:
        if leading != self._leading:
            log.info("resourcemanager.leads" if leading else "resourcemanager.follows", leader=self._leader)
        self._leading = leading


def _monotonic_ms() -> int:
    return round(monotonic_s() * 1000)
