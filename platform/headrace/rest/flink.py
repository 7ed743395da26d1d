"""Flink's REST paths, with and without ``/v1``: enough for `flink list`, `flink cancel`, and for dashboards.

Errors are ``{"errors": [...]}``. Bodies of GET requests, which Flink's CLI sends, are not looked at; unknown query
parameters are ignored, as Flink ignores them. No answer allows other sites to read it (no CORS header).
"""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse

from headrace.clock import now_ms
from headrace.errors import HeadraceError, UsageError
from headrace.protocol.control import JobRecord
from headrace.protocol.states import JobStatus
from headrace.rest import flink_cluster, flink_jobs
from headrace.rest.errors import RequestError
from headrace.rest.flink_jobs import Json
from headrace.rest.history import exceptions_of
from headrace.rest.inbox import Inbox
from headrace.rest.own import EXCEPTIONS_DEFAULT, EXCEPTIONS_MAX, JOBS_MAX
from headrace.rest.own_requests import cancel_job
from headrace.rest.services import Services, few_at_once

PREFIXES = ("", "/v1")
_JOB_ID = re.compile(r"[0-9a-fA-F]{32}")


def router(services: Services, inbox: Inbox) -> APIRouter:
    """Every path twice. Not part of our own API's description."""
    both = APIRouter(include_in_schema=False)
    for prefix in PREFIXES:
        api = APIRouter(prefix=prefix)
        _cluster_routes(api, services)
        _job_routes(api, services)
        _history_routes(api, services)
        _cancel_route(api, inbox)
        both.include_router(api)
    return both


def _cluster_routes(api: APIRouter, services: Services) -> None:
    store = services.store

    @api.get("/config")
    async def config() -> Json:
        return flink_cluster.config()

    @api.get("/overview")
    async def overview() -> Json:
        alive = (await store.taskmanagers()).records.values()
        return flink_cluster.overview(alive, await store.records(limit=JOBS_MAX))

    @api.get("/taskmanagers")
    async def taskmanagers() -> Json:
        return flink_cluster.taskmanagers((await store.taskmanagers()).records.values())

    @api.get("/taskmanagers/{taskmanager}")
    async def taskmanager(taskmanager: str) -> Json:
        record = await store.taskmanager(taskmanager)
        if record is None:
            raise UsageError("taskmanager-unknown", f"no TaskManager {taskmanager[:100]!r} is alive")
        jobs = await few_at_once(store.record, sorted(set(record.occupied.values())))
        return flink_cluster.taskmanager(record, {job.job_id: job for job in jobs if job is not None})


def _job_routes(api: APIRouter, services: Services) -> None:
    store = services.store

    @api.get("/jobs")
    async def jobs() -> Json:
        return flink_jobs.job_ids(await store.records(limit=JOBS_MAX))

    @api.get("/jobs/overview")
    async def jobs_overview() -> Json:
        return flink_jobs.jobs_overview(await store.records(limit=JOBS_MAX), now_ms())

    @api.get("/jobs/{job_id}")
    async def job(job_id: str) -> Json:
        record = await _record(services, job_id)
        graph = await services.graph(record.job_id)
        return flink_jobs.job_details(record, graph, await store.lane_metrics(record.job_id), now_ms())

    @api.get("/jobs/{job_id}/plan")
    async def plan(job_id: str) -> Json:
        record = await _record(services, job_id)
        return flink_jobs.job_plan(record, await services.graph(record.job_id))

    @api.get("/jobs/{job_id}/status")
    async def status(job_id: str) -> Json:
        return {"status": (await _record(services, job_id)).status}

    @api.get("/jobs/{job_id}/config")
    async def config(job_id: str) -> Json:
        record = await _record(services, job_id)
        return flink_jobs.job_config(record, await services.submission(record.job_id))

    @api.get("/jobs/{job_id}/execution-result")
    async def execution_result(job_id: str) -> Json:
        return flink_jobs.execution_result(await _record(services, job_id))


def _history_routes(api: APIRouter, services: Services) -> None:
    @api.get("/jobs/{job_id}/exceptions")
    async def exceptions(
        job_id: str, limit: Annotated[int, Query(alias="maxExceptions")] = EXCEPTIONS_DEFAULT
    ) -> Json:
        record = await _record(services, job_id)
        found = await exceptions_of(services, record, min(max(limit, 1), EXCEPTIONS_MAX))
        graph = await services.graph(record.job_id)
        return flink_jobs.job_exceptions(record, found.exceptions, graph, found.complete)


def _cancel_route(api: APIRouter, inbox: Inbox) -> None:
    @api.patch("/jobs/{job_id}")
    async def terminate(job_id: str, mode: str = "cancel") -> JSONResponse:
        if mode == "stop":
            return JSONResponse({"errors": ["mode=stop does not exist any more; use mode=cancel"]}, 308)
        if mode != "cancel":
            raise RequestError("rest-request-invalid", f"mode: must be cancel, not {mode[:100]!r}")
        try:
            await cancel_job(inbox, _id(job_id))
        except HeadraceError as error:
            if error.code not in ("job-ended", "cancel-refused") or JobStatus.CANCELED not in error.message:
                raise
        return JSONResponse({}, 202)  # also when it was canceled before


async def _record(services: Services, job_id: str) -> JobRecord:
    return await services.job(_id(job_id))


def _id(text: str) -> str:
    if not _JOB_ID.fullmatch(text):
        raise RequestError("job-id", f"a job id has 32 hexadecimal digits, which {text[:100]!r} has not")
    return text.lower()
