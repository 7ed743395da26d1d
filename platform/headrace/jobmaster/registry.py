"""What a JobMaster keeps in the store: the job's record and its slot declaration; what it reads: grants, beats.

The store may be away, flushed or behind: writes are levels, repeated and refreshed, and nothing waits for them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import structlog

from headrace.clock import monotonic_s
from headrace.jobmaster.liveness import Liveness
from headrace.jobmaster.model import JobState, TaskManagerBack, TaskManagerLost
from headrace.jobmaster.reason import declaration_of, record_of, unmet
from headrace.protocol.control import JobRecord, SlotDeclaration, SlotGrants
from headrace.store.port import Store, StoreUnavailableError, Wake

log = structlog.get_logger(__name__)

#: Values are written again this often although they did not change: a flushed store heals.
REFRESH_S = 2.0
RETRY_S = 0.5
#: Pause between two reads of the TaskManagers' records.
BEAT_READ_S = 0.5
#: JobMasters of one process share a read this young; small against the silence after which one is lost.
BEAT_SHARED_S = 0.25
#: Pause between two looks for missing grants when no wake-up comes.
GRANT_READ_S = 1.0
#: An ended job tries this long to tell the store; afterwards the log alone knows.
GOODBYE_S = 10.0


class Registry:
    """Keeps the store in step with ``state()``; ``changed`` is set by whoever changes it."""

    def __init__(self, store: Store, state: Callable[[], JobState]) -> None:
        self._store = store
        self._state = state
        self.changed = asyncio.Event()

    async def keep(self) -> None:
        """Write record and declaration whenever they change, and now and then."""
        written: tuple[JobRecord, SlotDeclaration | None] | None = None
        written_s = 0.0
        while True:
            state = self._state()
            wanted = (record_of(state), declaration_of(state))
            if wanted != written or monotonic_s() - written_s >= REFRESH_S:
                try:
                    if wanted[1] is not None and (written is None or wanted[1] != written[1]):
                        await self._store.declare(wanted[1])  # first: slots are waited for
                    await self._store.put_record(wanted[0])
                    if wanted == written and wanted[1] is not None:
                        await self._store.declare(wanted[1])
                except StoreUnavailableError as error:
                    log.debug("registry.unavailable", job=state.job.job_id, error=str(error))
                    await asyncio.sleep(RETRY_S)
                    continue
                written, written_s = wanted, monotonic_s()
            self.changed.clear()
            if self._state() is state:
                await _wait(self.changed, REFRESH_S)

    async def goodbye(self) -> None:
        """The last record, and no slots any more. Gives up after GOODBYE_S."""
        state = self._state()
        deadline_s = monotonic_s() + GOODBYE_S
        while True:
            try:
                await self._store.put_record(record_of(state))
                await self._store.withdraw(state.job.job_id, state.epoch)
                return
            except StoreUnavailableError as error:
                if monotonic_s() > deadline_s:
                    log.warning("registry.not_told", job=state.job.job_id, error=str(error))
                    return
            await asyncio.sleep(RETRY_S)

    async def recall(self) -> JobRecord | None:
        """The record an earlier JobMaster left, as a hint for times; None without one."""
        try:
            return await self._store.record(self._state().job.job_id)
        except StoreUnavailableError:
            return None

    async def grants(self) -> AsyncIterator[SlotGrants]:
        """Grants, as long as slots are missing, whenever they changed."""
        subscription = self._store.subscribe(Wake.GRANTED)
        last: SlotGrants | None = None
        try:
            while True:
                await subscription.wait(GRANT_READ_S)
                state = self._state()
                if not unmet(state):
                    last = None
                    continue
                try:
                    grants = await self._store.grants(state.job.job_id)
                except StoreUnavailableError:
                    continue
                if grants is not None and grants != last:
                    last = grants
                    yield grants
        finally:
            subscription.close()

    async def losses(self) -> AsyncIterator[TaskManagerLost | TaskManagerBack]:
        """TaskManagers of this job that count as lost, and lost ones that are back."""
        liveness = Liveness(_monotonic_ms())
        while True:
            asked_ms = _monotonic_ms()
            try:
                found = await self._store.taskmanagers(age_max_s=BEAT_SHARED_S)
            except StoreUnavailableError:
                liveness.failed(_monotonic_ms())
            else:
                watched = {place.taskmanager for place in self._state().slots.values()}
                for taskmanager in liveness.read(watched, found.records, found.identity, asked_ms):
                    yield TaskManagerLost(taskmanager)
                for taskmanager in liveness.returned(found.records):
                    yield TaskManagerBack(taskmanager)
            await asyncio.sleep(BEAT_READ_S)


def _monotonic_ms() -> int:
    return round(monotonic_s() * 1000)


async def _wait(event: asyncio.Event, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        pass
