"""The way in: every request passes here first, is counted, and is turned away when it may not or cannot be served.

Pure ASGI, so that nothing is buffered and a streamed upload stays a stream.
"""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from headrace.clock import monotonic_s
from headrace.errors import HeadraceError, UnavailableError
from headrace.rest import errors
from headrace.rest.access import Access
from headrace.telemetry.rest_metrics import RestMetrics

#: Requests served at once; more are told to come back. /health is always answered.
REQUESTS_AT_ONCE_MAX = 200


class Door:
    """Wraps the application."""

    def __init__(self, app: ASGIApp, access: Access, metrics: RestMetrics) -> None:
        self._app = app
        self._access = access
        self._metrics = metrics
        self._inside = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began_s = monotonic_s()
        status = 500

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        self._inside += 1
        self._metrics.in_progress.inc()
        try:
            self._admit(scope)
            await self._app(scope, receive, sending)
        except HeadraceError as error:  # only from _admit: the application answers its own
            await errors.answer(scope["path"], error)(scope, receive, sending)
        finally:
            self._inside -= 1
            self._metrics.in_progress.dec()
            self._metrics.served(scope["method"], _route(scope), status, monotonic_s() - began_s)

    def _admit(self, scope: Scope) -> None:
        path = scope["path"]
        self._access.check(path, Headers(scope=scope))
        if self._inside > REQUESTS_AT_ONCE_MAX and path != "/health":
            raise UnavailableError(
                "rest-busy", f"{REQUESTS_AT_ONCE_MAX} requests are being served", hint="ask again in a moment"
            )


def _route(scope: Scope) -> str:
    """The pattern that matched, so that ids make no metric of their own."""
    return getattr(scope.get("route"), "path", "") or "unmatched"
