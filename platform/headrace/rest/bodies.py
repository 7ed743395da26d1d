"""Reading requests strictly: bounded bodies, and no query parameter that would be lost silently."""

from __future__ import annotations

import asyncio

from fastapi import Request
from starlette.requests import ClientDisconnect

from headrace.rest.errors import RequestError

#: A body that takes longer to arrive is not waited for.
BODY_S = 30.0


async def read_body(request: Request, bytes_max: int) -> bytes:
    """The whole body. Raises RequestError ("rest-too-large", "rest-too-slow")."""
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            async for data in request.stream():
                body += data
                if len(body) > bytes_max:
                    raise RequestError(
                        "rest-too-large",
                        f"the body has more than {bytes_max:,} bytes",
                        hint="upload code with PUT /api/v1/artifacts/<sha256>, and name it in the submission",
                    )
    except TimeoutError:
        raise RequestError("rest-too-slow", f"the body did not arrive within {BODY_S:.0f} s") from None
    except ClientDisconnect:
        raise RequestError("rest-too-slow", "the sender went away before its body was whole") from None
    return bytes(body)


def require_json(request: Request) -> None:
    """Raises RequestError when the body says it is something else than JSON."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise RequestError(
            "rest-request-invalid",
            f"the body must be application/json, not {kind or 'without a content type'}",
            hint="send the header Content-Type: application/json",
        )


def refuse_unknown_query(request: Request) -> None:
    """A dependency of every route of ours: a misspelled parameter is an error, not a default.

    Raises RequestError ("rest-request-invalid").
    """
    dependant = getattr(request.scope.get("route"), "dependant", None)
    known = {parameter.alias for parameter in getattr(dependant, "query_params", ())}
    unknown = sorted(set(request.query_params) - known)
    if unknown:
        takes = "takes " + ", ".join(sorted(known)) if known else "takes none"
        raise RequestError(
            "rest-request-invalid", f"unknown query parameter {unknown[0][:100]!r}", hint=f"this address {takes}"
        )
