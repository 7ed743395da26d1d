"""``/api/v1``: look-ups in the registry. Every Dispatcher answers for all jobs of its namespace.

Reads only: submissions and commands go through Kafka. Errors are ``{"error": {"code", "message", "hint"}}``.
"""

from __future__ import annotations

from collections import Counter

from fastapi import APIRouter

import headrace
from headrace.errors import UsageError
from headrace.ids import is_job_id
from headrace.protocol.control import JobRecord
from headrace.protocol.submission import Submit
from headrace.rest import models
from headrace.store.port import Store

JOBS_MAX = 1000


def router(store: Store, dispatcher: str) -> APIRouter:
    """Routes over one store. StoreUnavailableError and HeadraceError are the application's to answer."""
    api = APIRouter(prefix="/api/v1")

    async def known(job_id: str) -> JobRecord:
        record = await store.record(job_id) if is_job_id(job_id) else None
        if record is None:
            raise UsageError("job-unknown", f"there is no job {job_id!r}", hint="GET /api/v1/jobs lists them")
        return record

    @api.get("/overview")
    async def overview() -> models.Overview:
        taskmanagers = (await store.taskmanagers()).records.values()
        jobs = await store.records(limit=JOBS_MAX)
        return models.Overview(
            version=headrace.__version__,
            dispatcher=dispatcher,
            taskmanagers=len(taskmanagers),
            slots_total=sum(tm.slots for tm in taskmanagers),
            slots_free=sum(tm.slots - len(tm.occupied) for tm in taskmanagers),
            jobs=Counter(record.status.value for record in jobs),
        )

    @api.get("/jobs")
    async def jobs() -> models.Jobs:
        return models.Jobs(jobs=await store.records(limit=JOBS_MAX))

    @api.get("/jobs/{job_id}")
    async def job(job_id: str) -> models.JobDetail:
        record = await known(job_id)
        stored = await store.graph(job_id)
        graph = Submit.model_validate_json(stored).graph if stored else None
        return models.JobDetail(job=record, graph=graph, metrics=await store.lane_metrics(job_id))

    @api.get("/jobs/{job_id}/lanes")
    async def lanes(job_id: str) -> models.Lanes:
        record = await known(job_id)
        metrics = await store.lane_metrics(job_id)
        names = sorted(record.lanes.keys() | record.assignments.keys() | metrics.keys())
        found = {
            name: models.Lane(
                status=record.lanes.get(name), assignment=record.assignments.get(name), metrics=metrics.get(name)
            )
            for name in names
        }
        return models.Lanes(job_id=job_id, lanes=found)

    @api.get("/taskmanagers")
    async def taskmanagers() -> models.TaskManagers:
        return models.TaskManagers(taskmanagers=list((await store.taskmanagers()).records.values()))

    return api
