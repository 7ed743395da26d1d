"""The HTTP application of a Dispatcher: health, own API, and one shape for every error."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

import headrace
from headrace.errors import HeadraceError, UnavailableError
from headrace.rest import models, own
from headrace.store.port import Store, StoreUnavailableError


def application(store: Store, dispatcher: str, health: Callable[[], Awaitable[models.Health]]) -> FastAPI:
    """Routes and error answers. ``health`` probes what the process needs."""
    app = FastAPI(title="Headrace", version=headrace.__version__, openapi_url="/api/v1/openapi.json")
    app.include_router(own.router(store, dispatcher))

    @app.get("/health")
    async def get_health(response: Response) -> models.Health:
        found = await health()
        response.status_code = 200 if found.ok else 503
        return found

    @app.exception_handler(StoreUnavailableError)
    async def no_store(_: Request, error: StoreUnavailableError) -> JSONResponse:
        return _answer(503, "redis-unreachable", f"Redis does not answer: {error}", "jobs run on; try again")

    @app.exception_handler(HeadraceError)
    async def refused(_: Request, error: HeadraceError) -> JSONResponse:
        status = 503 if isinstance(error, UnavailableError) else 404 if error.code.endswith("-unknown") else 400
        return _answer(status, error.code, error.message, error.hint)

    @app.exception_handler(HTTPException)
    async def http(_: Request, error: HTTPException) -> JSONResponse:
        return _answer(error.status_code, "rest-refused", str(error.detail))

    return app


def _answer(status: int, code: str, message: str, hint: str = "") -> JSONResponse:
    body = models.ErrorBody(error=models.Error(code=code, message=message, hint=hint))
    return JSONResponse(body.model_dump(), status_code=status)
