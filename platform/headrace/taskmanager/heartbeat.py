"""What a TaskManager says in the store: that it lives and what it runs, once a second; metrics of its lanes.

Hints all: losing the store, or what is in it, stops no lane.
"""

from __future__ import annotations

import asyncio
import os
import platform
import socket
from collections.abc import Callable, Mapping

import structlog

import headrace
from headrace.clock import monotonic_s, now_ms
from headrace.protocol.control import LaneMetrics, TaskManagerRecord
from headrace.store.port import TASKMANAGER_TTL_MS, Store, StoreUnavailableError, Wake
from headrace.taskmanager.core import occupied
from headrace.taskmanager.identity import Identity, id_taken
from headrace.taskmanager.model import TaskManagerState

log = structlog.get_logger(__name__)

BEAT_S = 1.0
#: Another instance's record is gone by then, if nobody writes it.
TAKEN_S = TASKMANAGER_TTL_MS / 1000 + 2 * BEAT_S
TAKEN_POLL_S = 0.3


class Heartbeat:
    """Writes the record of one instance; ``changed`` has it written at once."""

    def __init__(
        self,
        store: Store,
        identity: Identity,
        state: Callable[[], TaskManagerState],
        pids: Callable[[], Mapping[int, int]] = dict,
    ) -> None:
        """``pids``: process id of each worker that has one, by serial."""
        self._store = store
        self._identity = identity
        self._state = state
        self._pids = pids
        self._counter = 0
        self._started_ms = now_ms()
        self._occupied: dict[str, str] = {}
        self._metrics: dict[tuple[str, str], LaneMetrics] = {}
        self.changed = asyncio.Event()

    async def take_id(self) -> None:
        """Write the record, once no other instance lives.

        A dead one's record stands for TASKMANAGER_TTL_MS, unless it was the last in this directory. Without a
        store the id is taken without asking. Raises UsageError (taskmanager-id-taken).
        """
        deadline_s = monotonic_s() + TAKEN_S
        first: TaskManagerRecord | None = None
        try:
            while not await self._store.put_taskmanager(self._record(), replaces=self._identity.previous or None):
                other = await self._store.taskmanager(self._identity.id)
                if other is not None:
                    if first is None:
                        log.info("taskmanager.id_in_use", id=other.id, host=other.host, pid=other.pid)
                    elif (first.instance, first.counter) != (other.instance, other.counter):
                        raise id_taken(other.id, f"process {other.pid} on {other.host}")
                    first = first or other
                if monotonic_s() > deadline_s:
                    raise id_taken(self._identity.id, "its record in Redis does not go away")
                await asyncio.sleep(TAKEN_POLL_S)
        except StoreUnavailableError as error:
            log.warning("taskmanager.no_store", error=str(error))

    def metrics(self, job_id: str, lane: str, metrics: LaneMetrics) -> None:
        """The newest metrics of a lane; written with the next beat."""
        self._metrics[job_id, lane] = metrics

    async def run(self) -> None:
        """Beat until cancelled. Raises UsageError when another instance has taken the id over."""
        due_s = monotonic_s()
        while True:
            await self._beat()
            due_s = max(due_s + BEAT_S, monotonic_s())
            while (left_s := due_s - monotonic_s()) > 0:
                self.changed.clear()
                if await _set_within(self.changed, left_s) and occupied(self._state()) != self._occupied:
                    await self._beat()

    async def goodbye(self) -> None:
        """Remove the record, if the store answers."""
        try:
            await self._store.remove_taskmanager(self._identity.id, self._identity.instance)
            await self._store.wake(Wake.SLOTS)
        except StoreUnavailableError as error:
            log.info("taskmanager.no_goodbye", error=str(error))

    async def _beat(self) -> None:
        record = self._record()
        try:
            if not await self._store.put_taskmanager(record, replaces=self._identity.previous or None):
                await self.take_id()  # while Redis was away somebody else wrote there: a dead one, or a living
                return
            if record.occupied != self._occupied or record.counter == 1:
                self._occupied = record.occupied
                await self._store.wake(Wake.SLOTS)
            await self._write_metrics()
        except StoreUnavailableError as error:
            log.debug("taskmanager.no_store", error=str(error))

    async def _write_metrics(self) -> None:
        metrics, self._metrics = self._metrics, {}
        jobs: dict[str, dict[str, LaneMetrics]] = {}
        for (job_id, lane), value in metrics.items():
            jobs.setdefault(job_id, {})[lane] = value
        for job_id, lanes in jobs.items():
            await self._store.put_lane_metrics(job_id, lanes)

    def _record(self) -> TaskManagerRecord:
        state, pids = self._state(), self._pids()
        attempts: dict[str, dict[str, str]] = {}
        for lane in state.lanes.values():
            attempts.setdefault(lane.job, {})[lane.name] = f"{lane.attempt} {lane.state}"
        self._counter += 1
        return TaskManagerRecord(
            id=self._identity.id,
            instance=self._identity.instance,
            counter=self._counter,
            host=socket.gethostname(),
            pid=os.getpid(),
            slots=state.slots,
            occupied=occupied(state),
            workers={str(each.slot): pids[serial] for serial, each in state.workers.items() if serial in pids},
            attempts=attempts,
            python=platform.python_version(),
            headrace=headrace.__version__,
            started_ms=self._started_ms,
            at_ms=now_ms(),
        )


async def _set_within(event: asyncio.Event, timeout_s: float) -> bool:
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        return False
    return True
