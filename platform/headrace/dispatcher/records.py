"""Records of the job log as events of the core.

Pure: no I/O.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import ValidationError

from headrace.dispatcher.events import (
    AcceptedRead,
    CommandRead,
    DoneRead,
    LogEvent,
    Removed,
    ResultRead,
    SubmissionRead,
)
from headrace.log.control import ControlRecord
from headrace.protocol.control import Accepted, CommandDone, JobResult
from headrace.protocol.job_log import JobLogKey, Kind
from headrace.protocol.submission import Cancel, InlineCode, Submit


@dataclass(frozen=True)
class Read:
    """One record: its event, and the submission when it is one (``bare``: without inline code)."""

    event: LogEvent
    bare: bytes | None = None


class StrangeRecordError(Exception):
    """A record in the job log that is not ours, or that this version cannot read."""


def read_record(record: ControlRecord) -> Read:
    """Raises StrangeRecordError; such a record changes nothing."""
    key = JobLogKey.parse(record.key)
    if key is None:
        raise StrangeRecordError(f"key {record.key[:100]!r}")
    if record.value is None:
        return Read(Removed(key))
    try:
        return _read(key, record, record.value)
    except ValidationError as error:
        raise StrangeRecordError(f"{record.key}: {str(error)[:300]}") from error


def _read(key: JobLogKey, record: ControlRecord, value: bytes) -> Read:
    match key.kind:
        case Kind.SUBMISSION:
            submit = Submit.model_validate_json(value)
            bare = submit.model_copy(update={"code": None}) if isinstance(submit.code, InlineCode) else submit
            event = SubmissionRead(key, record.offset, record.timestamp_ms, submit.request_id)
            return Read(event, bare.model_dump_json().encode())
        case Kind.ACCEPTED:
            return Read(AcceptedRead(key, Accepted.model_validate_json(value)))
        case Kind.COMMAND:
            return Read(CommandRead(key, record.timestamp_ms, Cancel.model_validate_json(value)))
        case Kind.DONE:
            return Read(DoneRead(key, record.timestamp_ms, CommandDone.model_validate_json(value)))
        case Kind.RESULT:
            return Read(ResultRead(key, JobResult.model_validate_json(value)))
