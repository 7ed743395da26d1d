"""Task events on their way to the log: in order, again and again until they are there.

Bounded: when the log has been away for so long that OUTBOX_MAX events wait, they are dropped, and full reports
take their place; the JobMaster needs to know how things stand, not how they came to.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from headrace.clock import now_ms
from headrace.log.control import ControlLog, LogUnavailableError
from headrace.protocol.control import LaneRefused, LaneStateChanged, TaskManagerReport
from headrace.protocol.topics import home_partition

log = structlog.get_logger(__name__)

OUTBOX_MAX = 5_000
#: Events in flight at once; the producer keeps their order.
BATCH_MAX = 100
RETRY_S = 0.2

TaskEventMessage = LaneStateChanged | LaneRefused | TaskManagerReport


class EventOutbox:
    """``put`` never waits; ``run`` sends. ``reports`` gives full reports after an overflow."""

    def __init__(
        self, control: ControlLog, topic: str, partitions: int, reports: Callable[[], list[TaskEventMessage]]
    ) -> None:
        self._log = control
        self._topic = topic
        self._partitions = partitions
        self._reports = reports
        self._waiting: list[TaskEventMessage] = []
        self._filled = asyncio.Event()
        self.empty = asyncio.Event()
        self.empty.set()

    def put(self, event: TaskEventMessage) -> None:
        if len(self._waiting) >= OUTBOX_MAX:
            log.warning("task_events.overflow", dropped=len(self._waiting))
            self._waiting = [_stamped(report) for report in self._reports()]
        self._waiting.append(_stamped(event))
        self.empty.clear()
        self._filled.set()

    async def run(self) -> None:
        while True:
            await self._filled.wait()
            batch, self._waiting = self._waiting[:BATCH_MAX], self._waiting[BATCH_MAX:]
            await self._send(batch)
            if not self._waiting:
                self._filled.clear()
                self.empty.set()

    async def _send(self, batch: list[TaskEventMessage]) -> None:
        while batch:
            answers = await asyncio.gather(*map(self._append, batch), return_exceptions=True)
            failed = []
            for event, answer in zip(batch, answers, strict=True):
                if isinstance(answer, LogUnavailableError):
                    failed.append(event)
                elif isinstance(answer, BaseException):
                    raise answer
            if failed:
                await asyncio.sleep(RETRY_S)
            batch = failed

    async def _append(self, event: TaskEventMessage) -> None:
        partition = home_partition(event.job_id, self._partitions)
        await self._log.append(self._topic, partition, event.job_id, event.model_dump_json().encode())


def _stamped(event: TaskEventMessage) -> TaskEventMessage:
    return event.model_copy(update={"at_ms": now_ms()})
