"""What happened to a job, from Kafka: failures of its lanes, and the last lines of its tasks."""

from __future__ import annotations

from collections import deque

from pydantic import ValidationError

from headrace.errors import UnavailableError
from headrace.log.control import ControlRecord
from headrace.protocol.control import Failure, JobRecord, LaneStateChanged, LogLines, TaskEvent
from headrace.protocol.topics import home_partition
from headrace.rest.models import JobExceptions, JobLog, LaneException, LogLine
from headrace.rest.services import Services


async def exceptions_of(services: Services, record: JobRecord, limit: int) -> JobExceptions:
    """The newest ``limit`` failures, newest first. Raises LogUnavailableError, UnavailableError."""
    topic = services.topics.task_events
    job_key = record.job_id
    found = await services.kafka.last(
        topic,
        await _home(services, topic, job_key),
        weight=lambda each: int(each.key == job_key and _failure(each) is not None),
        enough=limit + 1,
    )
    failed = [failure for each in reversed(found.records) if (failure := _failure(each)) is not None]
    final = record.failure
    if final is not None and not any((each.lane, each.error) == (final.lane, final.error) for each in failed):
        failed.insert(0, _of_job(final))
    return JobExceptions(job_id=job_key, exceptions=failed[:limit], complete=found.complete and len(failed) <= limit)


async def lines_of(services: Services, job_id: str, limit: int, lane: str | None) -> JobLog:
    """The last ``limit`` lines, oldest first. Raises LogUnavailableError, UnavailableError."""
    topic = services.topics.logs

    def parsed(record: ControlRecord) -> LogLines | None:
        lines = _lines(record) if record.key == job_id else None
        return lines if lines is not None and lane in (None, lines.lane) else None

    def weight(record: ControlRecord) -> int:
        lines = parsed(record)
        return max(1, len(lines.lines)) if lines is not None else 0

    found = await services.kafka.last(
        topic,
        await _home(services, topic, job_id),
        weight=weight,
        enough=limit + 1,
    )
    kept: deque[LogLine] = deque(maxlen=limit)
    count = dropped = 0
    for message in filter(None, map(parsed, found.records)):
        dropped += message.dropped
        count += len(message.lines)
        kept.extend(
            LogLine(
                at_ms=message.at_ms,
                lane=message.lane,
                attempt=message.attempt,
                taskmanager=message.taskmanager,
                stream=message.stream,
                line=line,
            )
            for line in message.lines
        )
    return JobLog(job_id=job_id, lines=list(kept), dropped=dropped, complete=found.complete and count <= limit)


async def _home(services: Services, topic: str, job_id: str) -> int:
    count = (await services.kafka.partitions([topic]))[topic]
    if count is None:
        raise UnavailableError("no-dispatcher", f"topic {topic} is not there yet", hint="ask again in a moment")
    return home_partition(job_id, count)


def _failure(record: ControlRecord) -> LaneException | None:
    if record.value is None or b'"FAILED"' not in record.value:
        return None
    try:
        event = TaskEvent.model_validate_json(record.value).root
    except ValidationError:
        return None
    if not isinstance(event, LaneStateChanged) or event.failure is None:
        return None
    return LaneException(
        at_ms=event.at_ms,
        lane=event.lane,
        attempt=event.attempt,
        taskmanager=event.taskmanager,
        error=event.failure.error,
        traceback=event.failure.traceback,
        user=event.failure.user,
        fatal=event.fatal,
    )


def _of_job(failure: Failure) -> LaneException:
    """What failed the job as a whole, before any lane could."""
    return LaneException(
        at_ms=failure.at_ms,
        lane=failure.lane,
        attempt="",
        taskmanager="",
        error=failure.error,
        traceback=failure.traceback,
        user=failure.user,
        fatal=True,
    )


def _lines(record: ControlRecord) -> LogLines | None:
    try:
        return LogLines.model_validate_json(record.value or b"")
    except ValidationError:
        return None
