"""Whether Kafka and Redis answer this Dispatcher: for /health, and one line on standard error per change."""

from __future__ import annotations

import asyncio
import sys

from headrace.clock import monotonic_s
from headrace.log.control import ControlLog, LogUnavailableError
from headrace.store.port import Store, StoreUnavailableError

PROBE_TIMEOUT_S = 2.0
WATCH_S = 2.0
#: Answers are as old as this at most.
FRESH_S = 1.0


class Probes:
    """``kafka`` and ``redis`` hold what is wrong, empty while all is well."""

    def __init__(self, log: ControlLog, store: Store, topic: str, addresses: dict[str, str]) -> None:
        self._log = log
        self._store = store
        self._topic = topic
        self._addresses = addresses
        self._looked_s = -FRESH_S
        self._looking = asyncio.Lock()
        self.kafka = ""
        self.redis = ""

    async def look(self) -> None:
        """Ask both, unless that was just done."""
        async with self._looking:
            if monotonic_s() - self._looked_s >= FRESH_S:
                await asyncio.gather(self.look_at_kafka(), self._look_at_redis())
                self._looked_s = monotonic_s()

    async def watch(self) -> None:
        """For ever; says every change."""
        while True:
            await self.look()
            await asyncio.sleep(WATCH_S)

    async def look_at_kafka(self) -> bool:
        try:
            await self._log.partitions(self._topic, timeout_s=PROBE_TIMEOUT_S)
            found = ""
        except LogUnavailableError as error:
            found = str(error)
        self.kafka = self._said("Kafka", self.kafka, found)
        return not found

    async def _look_at_redis(self) -> None:
        try:
            await self._store.identity()
            found = ""
        except StoreUnavailableError as error:
            found = str(error)
        self.redis = self._said("Redis", self.redis, found)

    def _said(self, server: str, before: str, now: str) -> str:
        if bool(before) != bool(now):
            where = f"{server} at {self._addresses[server]}"
            say(f"{where} does not answer, waiting: {now}" if now else f"{where} answers again")
        return now


def say(text: str) -> None:
    """One line for a person."""
    print(f"dispatcher: {text}", file=sys.stderr, flush=True)
