"""Requests that came by HTTP, sent the way every request goes: one record on ``<ns>.jobs``, one event back.

The end of the job's events is looked up before the record is sent, so the answer cannot be missed. Whichever
Dispatcher is the job's home answers; this one need not be it.
"""

from __future__ import annotations

import asyncio
import contextlib

from pydantic import ValidationError

from headrace.errors import UnavailableError
from headrace.log.control import ControlLog
from headrace.protocol.control import JobEvent
from headrace.protocol.topics import Topics, home_partition
from headrace.rest.errors import RequestError

#: How long an answer is waited for.
ANSWER_S = 10.0
#: Requests that wait for an answer at once; each may hold a message of 900 kB.
WAITING_MAX = 32

ACCEPTED = frozenset({"ACKNOWLEDGED", "DONE"})
ANSWERS = ACCEPTED | {"REJECTED", "REFUSED"}


class Inbox:
    """Sends for one namespace; safe to use from any task of the event loop."""

    def __init__(self, log: ControlLog, topics: Topics) -> None:
        self._log = log
        self._topics = topics
        self._partitions: int | None = None  # never changes once the topics stand
        self._waiting = 0

    async def ask(self, job_id: str, request_id: str, message: bytes) -> JobEvent:
        """Send one message of the public contract; the event that accepts it.

        Raises RequestError with the Dispatcher's own code and reason when it was refused, UnavailableError
        ("no-dispatcher-answer", "rest-busy") when nobody answered or too many wait, LogUnavailableError. After
        these the request may still take effect; repeating it with the same ids is safe.
        """
        if self._waiting >= WAITING_MAX:
            raise UnavailableError(
                "rest-busy", f"{WAITING_MAX} requests wait for their answers", hint="ask again in a moment"
            )
        self._waiting += 1
        try:
            event = await self._ask(job_id, request_id, message)
        finally:
            self._waiting -= 1
        if event.type in ACCEPTED:
            return event
        raise RequestError(event.code or "submission-rejected", event.reason or "the Dispatcher said no")

    async def _ask(self, job_id: str, request_id: str, message: bytes) -> JobEvent:
        try:
            async with asyncio.timeout(ANSWER_S):
                partition = home_partition(job_id, await self._count())
                start = await self._log.end_offset(self._topics.job_events, partition)
                await self._log.append(self._topics.jobs, partition, job_id, message)
                return await self._answer(request_id, partition, start)
        except TimeoutError:
            raise UnavailableError(
                "no-dispatcher-answer",
                f"no Dispatcher answered within {ANSWER_S:.0f} s",
                hint="the request may be in Kafka; sending it again with the same ids is safe",
            ) from None

    async def _answer(self, request_id: str, partition: int, start: int) -> JobEvent:
        needle = request_id.encode()
        async with contextlib.aclosing(self._log.tail(self._topics.job_events, partition, start)) as records:  # type: ignore[type-var]
            async for record in records:
                if record.value is None or needle not in record.value:
                    continue
                try:
                    event = JobEvent.model_validate_json(record.value)
                except ValidationError:
                    continue  # of another version; not what answers this request
                if event.request_id == request_id and event.type in ANSWERS:
                    return event
        raise RuntimeError("the tail of a topic ended")

    async def _count(self) -> int:
        if self._partitions is None:
            self._partitions = await self._log.partitions(self._topics.job_events)
        if self._partitions is None:
            raise UnavailableError(
                "no-dispatcher", f"topic {self._topics.job_events} is not there yet", hint="ask again in a moment"
            )
        return self._partitions
