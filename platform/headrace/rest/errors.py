"""Errors at the HTTP door: which status an error has, and the two shapes of its body.

    /api/v1        {"error": {"code", "message", "hint"}}
    Flink's paths  {"errors": ["message"]}, which is how Flink's clients recognise an error

Pure: no I/O.
"""

from __future__ import annotations

from fastapi.responses import JSONResponse

from headrace.errors import HeadraceError, UnavailableError, UsageError
from headrace.log.control import LogUnavailableError
from headrace.rest import models
from headrace.store.port import StoreUnavailableError

#: Everything of our own lies below; the rest of the name space is Flink's.
OWN_PREFIX = "/api/"

#: Codes that have a status of their own; others of UsageError are 400, of UnavailableError 503.
STATUS = {
    "artifact-checksum": 400,
    "job-ended": 409,
    "job-id-taken": 409,
    "job-unknown": 404,
    "cancel-refused": 409,
    "rest-busy": 503,
    "rest-host-refused": 403,
    "rest-internal": 500,
    "rest-not-found": 404,
    "rest-too-large": 413,
    "rest-too-slow": 408,
    "rest-unauthorized": 401,
    "submission-too-large": 413,
    "taskmanager-unknown": 404,
}


class RequestError(UsageError):
    """A request that cannot be answered as it is; repeating it unchanged is pointless."""


def status_of(error: HeadraceError) -> int:
    return STATUS.get(error.code, 503 if isinstance(error, UnavailableError) else 400)


def for_people(error: StoreUnavailableError | LogUnavailableError) -> UnavailableError:
    """A server behind this one that does not answer, in words and with a code."""
    if isinstance(error, StoreUnavailableError):
        return UnavailableError(
            "redis-unreachable", f"Redis does not answer: {error}", hint="jobs run on; asking again is safe"
        )
    return UnavailableError(
        "kafka-unreachable", f"Kafka does not answer: {error}", hint="jobs go on by themselves; asking again is safe"
    )


def answer(path: str, error: HeadraceError, status: int | None = None) -> JSONResponse:
    """The error in the shape that clients of ``path`` read."""
    status = status or status_of(error)
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {"Retry-After": "1"} if status == 503 else None
    if path.startswith(OWN_PREFIX):
        body = models.ErrorBody(error=models.Error(code=error.code, message=error.message, hint=error.hint))
        return JSONResponse(body.model_dump(), status, headers)
    return JSONResponse({"errors": [error.line()]}, status, headers)
