"""Reading the inbox: bytes to a valid message with its place in the job log, or a reason why not.

Pure: no I/O.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from dataclasses import dataclass

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from headrace.ids import is_job_id
from headrace.protocol.job_log import command_key, submission_key
from headrace.protocol.submission import (
    SUBMISSION_BYTES_MAX,
    Cancel,
    InboxMessage,
    InlineCode,
    RequestId,
    Submit,
)

#: A plan holds the graph and one entry per lane, and must fit one Kafka message.
PLAN_BYTES_MAX = 900_000
PLAN_BYTES_PER_LANE = 120
#: A reason names this many fields at most.
FIELDS_MAX = 5
LOOKED_AT_MAX = 100

_REQUEST_ID: TypeAdapter[str] = TypeAdapter(RequestId)


@dataclass(frozen=True)
class Readable:
    """A valid message and the key under which it goes to the job log."""

    message: Submit | Cancel
    key: str


@dataclass(frozen=True)
class Unreadable:
    """A message that cannot be taken. ``job_id`` and ``request_id`` are there when they could be read."""

    code: str
    reason: str
    job_id: str | None = None
    request_id: str | None = None


def read_message(value: bytes | None) -> Readable | Unreadable:
    """Judge one message of the inbox. Never raises, whatever the bytes."""
    if not value:
        return Unreadable("submission-unreadable", "the message is empty")
    if len(value) > SUBMISSION_BYTES_MAX:
        return Unreadable(
            "submission-too-large",
            f"the message has {len(value):,} bytes, more than {SUBMISSION_BYTES_MAX:,}",
            *_who(value),
        )
    try:
        message = InboxMessage.model_validate_json(value).root
    except ValidationError as error:
        code = "submission-unreadable" if _is_no_json(error) else "submission-invalid"
        return Unreadable(code, _reason(error), *_who(value))
    if isinstance(message, Cancel):
        return Readable(message, command_key(message.job_id, message.request_id))
    return _checked(message)


def _checked(submit: Submit) -> Readable | Unreadable:
    """What the schema cannot say."""
    who = submit.job_id, submit.request_id
    lanes = sum(vertex.lanes for vertex in submit.graph.vertices)
    graph_bytes = len(submit.graph.model_dump_json().encode()) + len(submit.client.model_dump_json().encode())
    if graph_bytes + lanes * PLAN_BYTES_PER_LANE > PLAN_BYTES_MAX:
        return Unreadable(
            "plan-too-large",
            f"the graph has {graph_bytes:,} bytes and {lanes} lanes: its plan would not fit one Kafka message",
            *who,
        )
    if isinstance(submit.code, InlineCode):
        try:
            data = base64.b64decode(submit.code.data, validate=True)
        except binascii.Error as error:
            return Unreadable("submission-invalid", f"code.data: not base64: {error}", *who)
        if hashlib.sha256(data).hexdigest() != submit.code.sha256:
            return Unreadable("submission-invalid", "code.data: does not have the sha256 of code.sha256", *who)
    return Readable(submit, submission_key(submit.job_id, submit.content_sha256()))


def _is_no_json(error: ValidationError) -> bool:
    return any(detail["type"] == "json_invalid" for detail in error.errors(include_url=False))


def _reason(error: ValidationError) -> str:
    details = error.errors(include_url=False, include_context=False)
    told = _innermost(details[:LOOKED_AT_MAX])
    left = len(told[FIELDS_MAX:]) + len(details[LOOKED_AT_MAX:])
    return "; ".join(map(_field, told[:FIELDS_MAX])) + (f"; and {left} more" if left else "")


def _innermost(details: list[ErrorDetails]) -> list[ErrorDetails]:
    """Without mistakes that only follow from one further in."""
    inner = {detail["loc"][:n] for detail in details for n in range(len(detail["loc"]))}
    return [detail for detail in details if detail["loc"] not in inner]


def _field(detail: ErrorDetails) -> str:
    """ "graph.vertices.0.lanes: Input should be less than or equal to 64, not 99" """
    path = [str(part) for part in detail["loc"]]
    if path and path[0] in ("submit", "cancel"):  # which message it is, not a field
        path = path[1:]
    where = ".".join(path)
    if detail["type"] == "extra_forbidden":
        return f"{where}: unknown field"
    if detail["type"] == "json_invalid":
        return f"not JSON: {detail['msg'].removeprefix('Invalid JSON: ')}"
    given = detail["input"]
    shown = f", not {given!r}" if isinstance(given, int | float | str | None) and len(repr(given)) < 60 else ""
    return f"{where or 'message'}: {detail['msg']}{shown if detail['type'] != 'missing' else ''}"


def _who(value: bytes) -> tuple[str | None, str | None]:
    """Job id and request id of a message that is otherwise no good."""
    try:
        fields = json.loads(value)
    except (ValueError, RecursionError):
        return None, None
    if not isinstance(fields, dict):
        return None, None
    job_id, request_id = fields.get("job_id"), fields.get("request_id")
    try:
        _REQUEST_ID.validate_python(request_id, strict=True)
    except ValidationError:
        request_id = None
    return job_id if isinstance(job_id, str) and is_job_id(job_id) else None, request_id
