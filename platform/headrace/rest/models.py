"""Answers of ``/api/v1``: the registry's own records where they are enough, small envelopes around them.

Fields may be added; none is removed within ``v1``. Times are milliseconds since the epoch. Pure: no I/O.
"""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, Field

from headrace.graph.job_graph import JobGraph
from headrace.protocol.control import Assignment, JobRecord, LaneMetrics, LaneStatus, TaskManagerRecord
from headrace.protocol.states import LaneState


class Health(BaseModel):
    """``ok`` only if Kafka and Redis answer and membership stands; the texts say what does not."""

    ok: bool
    kafka: str
    redis: str
    dispatcher: str
    partitions: dict[int, str] = Field(description="home partition to how far this Dispatcher has taken it")
    jobmasters: int


class Overview(BaseModel):
    """The cluster in numbers."""

    version: str
    dispatcher: str = Field(description="who answered")
    taskmanagers: int
    slots_total: int
    slots_free: int
    jobs: dict[str, int] = Field(description="status to number of jobs")


class Jobs(BaseModel):
    """Newest first."""

    jobs: list[JobRecord]


class LaneView(BaseModel):
    """One lane: where it runs, how far it is, and what holds it back."""

    lane: str
    state: LaneState | None = None
    reason: str = ""
    taskmanager: str | None = None
    slot: int | None = None
    attempt: str | None = None
    commits: int | None = None
    records_in: int | None = None
    records_out: int | None = None
    records_in_per_s: float | None = None
    late_dropped: int | None = Field(None, description="records that came too late for their window, in this attempt")
    user: dict[str, dict[str, float]] = Field(
        default_factory=dict, description="metrics of the user's functions, by operator and name"
    )
    watermark_ms: int | None = None
    lag: int | None = Field(None, description="records of its source that wait to be read")
    last_commit_ms: int | None = None
    at_ms: int | None = Field(None, description="when the numbers were taken")


class VertexView(BaseModel):
    """One vertex: its lanes, and what they come to together."""

    id: str
    name: str
    parallelism: int
    records_in: int
    records_out: int
    records_in_per_s: float
    late_dropped: int = Field(description="records that came too late for their window, of the present attempts")
    watermark_ms: int | None = Field(description="the least of its lanes; null while one has none")
    lag: int | None
    lanes: list[LaneView]


class JobDetail(BaseModel):
    """One job with all that is known of it now."""

    job: JobRecord
    graph: JobGraph | None
    metrics: dict[str, LaneMetrics]
    vertices: list[VertexView]


class Lane(BaseModel):
    status: LaneStatus | None
    assignment: Assignment | None
    metrics: LaneMetrics | None


class Lanes(BaseModel):
    job_id: str
    lanes: dict[str, Lane]


class LaneException(BaseModel):
    """One failure of one attempt of a lane, or of the job as a whole (``lane`` empty)."""

    at_ms: int
    lane: str
    attempt: str
    taskmanager: str
    error: str
    traceback: str
    user: bool = Field(description="raised by the job's own code")
    fatal: bool = Field(description="after this one the job was to fail")


class JobExceptions(BaseModel):
    """Newest first. ``complete`` false: there were more, or older ones lie too far back to be looked for."""

    job_id: str
    exceptions: list[LaneException]
    complete: bool


class LogLine(BaseModel):
    at_ms: int
    lane: str
    attempt: str
    taskmanager: str
    stream: str
    line: str


class JobLog(BaseModel):
    """The last lines, oldest first. ``complete`` false: there were more than asked for, or than are looked at."""

    job_id: str
    lines: list[LogLine]
    dropped: int = Field(description="lines that the tasks printed too fast to be kept")
    complete: bool


class Role(StrEnum):
    """What a topic is to a job."""

    SOURCE = "source"
    SINK = "sink"
    EXCHANGE = "exchange"
    LANE_LOG = "lane-log"
    DEAD_LETTERS = "dead-letters"
    PATTERN = "source-pattern"


class TopicPartitionView(BaseModel):
    partition: int
    end_offset: int
    read_to: int | None = Field(None, description="offset that the job's hints name; null: none given")
    lag: int | None = Field(None, description="end offset minus read_to; transaction markers count as offsets")


class JobTopic(BaseModel):
    """A topic that the job reads or writes. ``partitions`` is null when there is no such topic (any more).

    Of a source that takes topics by a pattern, ``name`` is the pattern, and its lag stands at the vertex.
    """

    name: str
    role: Role
    of: list[str] = Field(description="operators, edge or vertex that it belongs to")
    group: str | None = Field(description="consumer group that carries the job's hints")
    lag: int | None
    partitions: list[TopicPartitionView] | None


class JobTopics(BaseModel):
    job_id: str
    topics: list[JobTopic]


class TaskManagers(BaseModel):
    taskmanagers: list[TaskManagerRecord]


class TaskManagerDetail(BaseModel):
    taskmanager: TaskManagerRecord


class Error(BaseModel):
    """Of every status that is not 2xx."""

    code: str
    message: str
    hint: str = ""


class ErrorBody(BaseModel):
    error: Error
