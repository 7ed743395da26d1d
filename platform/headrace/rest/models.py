"""Answers of ``/api/v1``: records of the registry as they are, in small envelopes.

Pure: no I/O.
"""

from __future__ import annotations

from pydantic import BaseModel

from headrace.graph.job_graph import JobGraph
from headrace.protocol.control import Assignment, JobRecord, LaneMetrics, LaneStatus, TaskManagerRecord


class Health(BaseModel):
    """``ok`` only if Kafka and Redis answer and membership stands; the texts say what does not."""

    ok: bool
    kafka: str
    redis: str
    dispatcher: str
    partitions: dict[int, str]
    jobmasters: int


class Overview(BaseModel):
    """The cluster in numbers."""

    version: str
    dispatcher: str
    taskmanagers: int
    slots_total: int
    slots_free: int
    jobs: dict[str, int]


class Jobs(BaseModel):
    """Newest first."""

    jobs: list[JobRecord]


class JobDetail(BaseModel):
    """One job with all that is known of it now."""

    job: JobRecord
    graph: JobGraph | None
    metrics: dict[str, LaneMetrics]


class Lane(BaseModel):
    status: LaneStatus | None
    assignment: Assignment | None
    metrics: LaneMetrics | None


class Lanes(BaseModel):
    job_id: str
    lanes: dict[str, Lane]


class TaskManagers(BaseModel):
    taskmanagers: list[TaskManagerRecord]


class Error(BaseModel):
    """Of every status that is not 200."""

    code: str
    message: str
    hint: str = ""


class ErrorBody(BaseModel):
    error: Error
