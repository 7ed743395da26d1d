"""``/api/v1``: look-ups. Every Dispatcher answers for all jobs of its namespace.

The registry answers what is now; exceptions, log lines and topics are read from Kafka. Errors are
``{"error": {"code", "message", "hint"}}``.
"""

from __future__ import annotations

from collections import Counter
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import StringConstraints

import headrace
from headrace.errors import UsageError
from headrace.protocol.states import JobStatus
from headrace.rest import models
from headrace.rest.bodies import refuse_unknown_query
from headrace.rest.history import exceptions_of, lines_of
from headrace.rest.job_topics import topics_of
from headrace.rest.job_view import vertex_views
from headrace.rest.services import Services

#: Of the newest; more at once would hold up whoever shares this event loop for longer than a fifth of a second.
JOBS_DEFAULT, JOBS_MAX = 1000, 2000
LINES_DEFAULT, LINES_MAX = 200, 10_000
EXCEPTIONS_DEFAULT, EXCEPTIONS_MAX = 20, 200

LaneName = Annotated[str, StringConstraints(pattern=r"^v[0-9]{1,4}/[0-9]{1,2}$")]


def router(services: Services) -> APIRouter:
    """Routes over one cluster. Errors are the application's to answer."""
    api = APIRouter(prefix="/api/v1", dependencies=[Depends(refuse_unknown_query)])
    _cluster_routes(api, services)
    _job_routes(api, services)
    _history_routes(api, services)
    return api


def _cluster_routes(api: APIRouter, services: Services) -> None:
    store = services.store

    @api.get("/overview", tags=["cluster"])
    async def overview() -> models.Overview:
        """The cluster in numbers."""
        taskmanagers = (await store.taskmanagers()).records.values()
        jobs = await store.records(limit=JOBS_MAX)
        return models.Overview(
            version=headrace.__version__,
            dispatcher=services.dispatcher,
            taskmanagers=len(taskmanagers),
            slots_total=sum(tm.slots for tm in taskmanagers),
            slots_free=sum(tm.slots - len(tm.occupied) for tm in taskmanagers),
            jobs=Counter(record.status.value for record in jobs),
        )

    @api.get("/taskmanagers", tags=["cluster"])
    async def taskmanagers() -> models.TaskManagers:
        """TaskManagers alive: slots, and the lanes that run in them."""
        return models.TaskManagers(taskmanagers=list((await store.taskmanagers()).records.values()))

    @api.get("/taskmanagers/{taskmanager}", tags=["cluster"])
    async def taskmanager(taskmanager: str) -> models.TaskManagerDetail:
        """One TaskManager alive."""
        record = await store.taskmanager(taskmanager)
        if record is None:
            raise UsageError(
                "taskmanager-unknown",
                f"no TaskManager {taskmanager[:100]!r} is alive",
                hint="GET /api/v1/taskmanagers lists them",
            )
        return models.TaskManagerDetail(taskmanager=record)


def _job_routes(api: APIRouter, services: Services) -> None:
    store = services.store

    @api.get("/jobs", tags=["jobs"])
    async def jobs(
        status: JobStatus | None = None,
        limit: Annotated[int, Query(ge=1, le=JOBS_MAX)] = JOBS_DEFAULT,
    ) -> models.Jobs:
        """Jobs by submission time, newest first: ``limit`` at most, of one ``status`` when it is given.

        Only the newest 2000 are looked at.
        """
        found = await store.records(limit=limit if status is None else JOBS_MAX)
        return models.Jobs(jobs=[each for each in found if status in (None, each.status)][:limit])

    @api.get("/jobs/{job_id}", tags=["jobs"])
    async def job(job_id: str) -> models.JobDetail:
        """One job: its record, its graph, its vertices and lanes with rates, lag, watermark and reason."""
        record = await services.job(job_id)
        graph = await services.graph(job_id)
        metrics = await store.lane_metrics(job_id)
        return models.JobDetail(
            job=record, graph=graph, metrics=metrics, vertices=vertex_views(record, graph, metrics)
        )

    @api.get("/jobs/{job_id}/lanes", tags=["jobs"])
    async def lanes(job_id: str) -> models.Lanes:
        """The lanes of a job by name, as the registry holds them."""
        record = await services.job(job_id)
        metrics = await store.lane_metrics(job_id)
        names = sorted(record.lanes.keys() | record.assignments.keys() | metrics.keys())
        found = {
            name: models.Lane(
                status=record.lanes.get(name), assignment=record.assignments.get(name), metrics=metrics.get(name)
            )
            for name in names
        }
        return models.Lanes(job_id=job_id, lanes=found)


def _history_routes(api: APIRouter, services: Services) -> None:
    @api.get("/jobs/{job_id}/exceptions", tags=["jobs"])
    async def exceptions(
        job_id: str, limit: Annotated[int, Query(ge=1, le=EXCEPTIONS_MAX)] = EXCEPTIONS_DEFAULT
    ) -> models.JobExceptions:
        """Why lanes failed, newest first, from the task events that Kafka keeps for seven days."""
        record = await services.job(job_id)
        return await exceptions_of(services, record, limit)

    @api.get("/jobs/{job_id}/logs", tags=["jobs"])
    async def logs(
        job_id: str,
        lines: Annotated[int, Query(ge=1, le=LINES_MAX)] = LINES_DEFAULT,
        lane: LaneName | None = None,
    ) -> models.JobLog:
        """The last lines that the job's tasks printed and logged, of one lane when it is given; kept for a day."""
        await services.job(job_id)
        return await lines_of(services, job_id, lines, lane)

    @api.get("/jobs/{job_id}/topics", tags=["jobs"])
    async def topics(job_id: str) -> models.JobTopics:
        """Sources, sinks, exchanges and lane logs of a job: partitions, end offsets, and lag by the job's hints."""
        record = await services.job(job_id)
        return await topics_of(services, record, await services.graph(job_id))
