"""What a Dispatcher says in public: answers on ``<ns>.job-events``, and ``<ns>.dead-letters``.

Every answer is repeated until the log has it; a client may see one twice.
"""

from __future__ import annotations

import base64

import structlog

from headrace.clock import now_ms
from headrace.dispatcher.messages import Unreadable
from headrace.log.control import ControlLog
from headrace.log.insist import insist
from headrace.log.job_log import InboxRecord
from headrace.protocol.control import CommandDone, DeadLetter, JobEvent, JobResult
from headrace.protocol.job_log import done_key
from headrace.protocol.topics import Topics, home_partition

log = structlog.get_logger(__name__)

#: Of an unreadable message this much is kept.
DEAD_LETTER_BYTES_MAX = 200_000


class Answers:
    """Writes to the job's partition of the events topic."""

    def __init__(self, control: ControlLog, topics: Topics, partitions: int) -> None:
        self._log = control
        self._topics = topics
        self._partitions = partitions

    async def acknowledge(self, job_id: str, request_id: str) -> None:
        await self._say(JobEvent(job_id=job_id, type="ACKNOWLEDGED", request_id=request_id, at_ms=now_ms()))

    async def reject(self, job_id: str, request_id: str, code: str, reason: str) -> None:
        log.info("submission.rejected", job=job_id, request=request_id, code=code, reason=reason[:300])
        await self._say(
            JobEvent(job_id=job_id, type="REJECTED", request_id=request_id, code=code, reason=reason, at_ms=now_ms())
        )

    async def refuse(self, job_id: str, request_id: str, result: JobResult | None) -> None:
        """A command to a job that has ended, or that nobody knows: in the job log first, then in public."""
        if result is None:
            code, reason = "job-unknown", f"there is no job {job_id}"
        else:
            code, reason = "job-ended", f"the job has already ended: {result.status}"
        done = CommandDone(request_id=request_id, ok=False, reason=reason, code=code)
        key, partition = done_key(job_id, request_id), home_partition(job_id, self._partitions)
        value = done.model_dump_json().encode()
        await insist(lambda: self._log.append(self._topics.job_log, partition, key, value))
        await self.say_outcome(job_id, done)

    async def say_outcome(self, job_id: str, done: CommandDone) -> None:
        """A command's outcome that stands in the job log, in public."""
        await self._say(
            JobEvent(
                job_id=job_id,
                type="DONE" if done.ok else "REFUSED",
                request_id=done.request_id,
                code="" if done.ok else done.code or "cancel-refused",
                reason=done.reason,
                at_ms=now_ms(),
            )
        )

    async def dead_letter(self, record: InboxRecord, unreadable: Unreadable) -> None:
        """Put an unreadable message aside with the reason, and tell its sender when it can be known."""
        log.warning(
            "inbox.dead_letter",
            partition=record.partition,
            offset=record.offset,
            code=unreadable.code,
            reason=unreadable.reason[:300],
        )
        letter = DeadLetter(
            topic=self._topics.jobs,
            partition=record.partition,
            offset=record.offset,
            error=f"{unreadable.code}: {unreadable.reason}",
            value_base64=base64.b64encode((record.value or b"")[:DEAD_LETTER_BYTES_MAX]).decode(),
            at_ms=now_ms(),
        ).model_dump_json()
        await insist(lambda: self._log.append(self._topics.dead_letters, 0, "", letter.encode()))
        if unreadable.job_id is not None and unreadable.request_id is not None:
            await self.reject(unreadable.job_id, unreadable.request_id, unreadable.code, unreadable.reason)

    async def _say(self, event: JobEvent) -> None:
        partition = home_partition(event.job_id, self._partitions)
        value = event.model_dump_json().encode()
        await insist(lambda: self._log.append(self._topics.job_events, partition, event.job_id, value))
