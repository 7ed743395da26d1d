"""Reads ``<ns>.plans``, every partition from its start, and tells what counts.

    run        follows all partitions for ever
    catch_up   returns when everything that is in them now was told, also when the tails lag

Both feed the same fence, which skips what it has seen.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from headrace.log.control import ControlLog
from headrace.log.insist import insist
from headrace.protocol.fence import Claimed, Forgotten, PlanFence, Planned, Unreadable
from headrace.taskmanager.model import NewClaim, PlanChanged

log = structlog.get_logger(__name__)


class PlanReader:
    """``tell`` gets every change, in the order of its partition."""

    def __init__(
        self, control: ControlLog, topic: str, partitions: int, tell: Callable[[PlanChanged | NewClaim], None]
    ) -> None:
        self._log = control
        self._topic = topic
        self._fences = [PlanFence() for _ in range(partitions)]
        self._tell = tell

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for partition in range(len(self._fences)):
                group.create_task(self._follow(partition))

    async def catch_up(self, partition: int | None = None) -> None:
        """Read one partition, or all, to its present end. Waits for the log as long as it takes."""
        chosen = range(len(self._fences)) if partition is None else [partition]
        async with asyncio.TaskGroup() as group:
            for each in chosen:
                group.create_task(self._read_to_end(each))

    async def _follow(self, partition: int) -> None:
        async for record in self._log.tail(self._topic, partition, self._fences[partition].position):
            self._feed(partition, record.offset, record.key, record.value)

    async def _read_to_end(self, partition: int) -> None:
        end = await insist(lambda: self._log.end_offset(self._topic, partition))
        start = self._fences[partition].position
        if start < end:
            for record in await insist(lambda: self._log.read(self._topic, partition, start, end)):
                self._feed(partition, record.offset, record.key, record.value)

    def _feed(self, partition: int, offset: int, key: str, value: bytes | None) -> None:
        match self._fences[partition].feed(offset, key, value):
            case Claimed(job_id, epoch):
                self._tell(NewClaim(job_id, epoch))
            case Planned(job_id, plan):
                self._tell(PlanChanged(job_id, plan))
            case Forgotten(job_id):
                self._tell(PlanChanged(job_id, None))
            case Unreadable(bad_key, bad_offset, error):
                log.warning("plan.unreadable", key=bad_key, offset=bad_offset, error=error[:300])
            case None:
                pass
