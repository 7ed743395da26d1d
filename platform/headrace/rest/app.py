"""The HTTP application of a Dispatcher: what is served where, and one answer for every error.

/health                /metrics
/api/v1/...            own look-ups and requests; /api/v1/docs describes them
/... and /v1/...       Flink's paths
"""

from __future__ import annotations

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import Match
from starlette.types import ASGIApp, Scope

import headrace
from headrace.errors import HeadraceError, UnavailableError
from headrace.log.control import LogUnavailableError
from headrace.rest import description, errors, flink, metrics, models, own, own_requests
from headrace.rest.access import Access
from headrace.rest.door import Door
from headrace.rest.errors import RequestError
from headrace.rest.inbox import Inbox
from headrace.rest.services import Services
from headrace.store.port import StoreUnavailableError
from headrace.telemetry.rest_metrics import RestMetrics

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


def application(services: Services, access: Access) -> ASGIApp:
    """Everything a Dispatcher answers by HTTP."""
    own_metrics = RestMetrics()
    app = FastAPI(
        title="Headrace",
        version=headrace.__version__,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    inbox = Inbox(services.log, services.topics)
    _describe(app)
    app.include_router(own.router(services))
    app.include_router(own_requests.router(services, inbox))
    app.include_router(metrics.router(services, own_metrics))
    app.include_router(flink.router(services, inbox))

    @app.api_route("/health", methods=["GET", "HEAD"], include_in_schema=False)
    async def health(response: Response) -> models.Health:
        found = await services.health()
        response.status_code = 200 if found.ok else 503
        return found

    _answer_errors(app)
    return Door(app, access, own_metrics)


def _describe(app: FastAPI) -> None:
    @app.get("/api/v1/openapi.json", include_in_schema=False)
    async def openapi() -> JSONResponse:
        return JSONResponse(description.openapi_document(app))

    @app.get("/api/v1/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(description.html_page(description.openapi_document(app)))


def _answer_errors(app: FastAPI) -> None:
    @app.exception_handler(HeadraceError)
    async def refused(request: Request, error: HeadraceError) -> JSONResponse:
        return errors.answer(request.url.path, error)

    @app.exception_handler(StoreUnavailableError)
    @app.exception_handler(LogUnavailableError)
    async def no_server(request: Request, error: StoreUnavailableError | LogUnavailableError) -> JSONResponse:
        return errors.answer(request.url.path, errors.for_people(error))

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        detail = error.errors()[0]
        where = ".".join(map(str, detail["loc"][1:])) or "body"
        said = RequestError(
            "rest-request-invalid", f"{where}: {detail['msg']}", hint="/api/v1/docs shows what it takes"
        )
        return errors.answer(request.url.path, said)

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> JSONResponse:
        said = RequestError(
            "rest-not-found" if error.status_code == 404 else "rest-refused",
            f"{request.method} {request.url.path[:200]}: {error.detail}",
            hint="/api/v1/docs lists what there is",
        )
        answer = errors.answer(request.url.path, said, error.status_code)
        if error.status_code == 405:
            answer.headers["Allow"] = ", ".join(_methods(app, request.scope))
        return answer

    @app.exception_handler(Exception)
    async def ours(request: Request, _: Exception) -> JSONResponse:
        """A mistake of ours; the server's log has it with its traceback."""
        said = UnavailableError("rest-internal", "the Dispatcher failed to answer", hint="its log says why")
        return errors.answer(request.url.path, said)


def _methods(app: FastAPI, scope: Scope) -> list[str]:
    """Every method that some route takes at this path; the router itself names those of one route only."""
    return [
        method
        for method in METHODS
        if any(route.matches({**scope, "method": method})[0] is Match.FULL for route in app.routes)
    ]
