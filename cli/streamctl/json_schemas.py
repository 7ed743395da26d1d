"""What ``--json`` prints, command by command. docs/cli-json.md is written from these models.

Fields may be added; none is removed or changes its meaning within a major version. Times are milliseconds since the
epoch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from headrace.graph.job_graph import JobGraph
from headrace.protocol.control import JobRecord, LaneMetrics
from headrace.protocol.states import JobStatus
from headrace.rest.models import JobTopics, LogLine, TopicPartitionView

if TYPE_CHECKING:
    from headrace.rest.models import JobTopic
    from streamctl.kafka_topics import Topic


class Report(BaseModel):
    """One object on stdout."""

    model_config = ConfigDict(extra="forbid")


# ---- errors


class ErrorFacts(Report):
    code: str = Field(description="a page under docs/errors/")
    message: str
    hint: str = ""
    traceback: str = Field("", description="of user code, its first frame first; absent when there is none")


class ErrorReport(Report):
    """What any command prints when it fails; beside the error, what is known all the same."""

    error: ErrorFacts
    job_id: str | None = None
    name: str | None = None
    status: str | None = None


# ---- jobs


class Submitted(Report):
    """One object per job that the script submitted, when the command stops following it."""

    job_id: str
    name: str
    status: JobStatus


class JobList(Report):
    """Newest first."""

    jobs: list[JobRecord]


class WorkerPlace(Report):
    """The process that runs a lane now."""

    taskmanager: str
    host: str | None = Field(description="null when the TaskManager does not answer")
    slot: int
    pid: int | None = Field(description="of the slot worker on that host; null while it is not known")


class JobShown(Report):
    job: JobRecord
    graph: JobGraph | None
    metrics: dict[str, LaneMetrics] = Field(description="lane to its latest numbers")
    workers: dict[str, WorkerPlace] = Field(description="lane to the process that runs it")


class JobCode(Report):
    job_id: str
    code: dict[str, str] = Field(description="vertex to the Python that its lanes run")


class Canceled(Report):
    job_id: str
    status: str = Field(description="CANCELLING, or how it ended")


# ---- topics


class PartitionReport(Report):
    partition: int
    leader: int | None = Field(description="broker id; null: there is none now")
    first: int
    end: int
    records: int = Field(description="end minus first: at most so many records")
    read_to: int | None = Field(None, description="with --job: the offset that its hints name")
    lag: int | None = Field(None, description="with --job")


class TopicReport(Report):
    name: str
    kind: Literal["data", "control", "exchange", "lane log", "kafka"]
    replicas: int
    records: int
    partitions: list[PartitionReport]

    @classmethod
    def of(cls, topic: Topic, read: Mapping[int, TopicPartitionView] | None = None) -> TopicReport:
        return cls(
            name=topic.name,
            kind=topic.kind.value,
            replicas=topic.replicas,
            records=topic.records,
            partitions=[
                PartitionReport(
                    partition=each.number,
                    leader=each.leader,
                    first=each.first,
                    end=each.end,
                    records=each.records,
                    read_to=(read or {})[each.number].read_to if each.number in (read or {}) else None,
                    lag=(read or {})[each.number].lag if each.number in (read or {}) else None,
                )
                for each in topic.partitions
            ],
        )


class TopicList(Report):
    """By name."""

    topics: list[TopicReport]

    @classmethod
    def of(cls, topics: Sequence[Topic]) -> TopicList:
        return cls(topics=[TopicReport.of(topic) for topic in topics])


class TopicDetail(Report):
    topic: TopicReport
    config: dict[str, str] = Field(description="settings that differ from the defaults, and how it is cleaned up")

    @classmethod
    def of_topic(cls, topic: Topic, config: Mapping[str, str], use: JobTopic | None) -> TopicDetail:
        read = {each.partition: each for each in use.partitions or ()} if use is not None else None
        return cls(topic=TopicReport.of(topic, read), config=dict(config))


class Header(Report):
    name: str
    value: str | None = None
    value_base64: str = ""


class PeekedRecord(Report):
    """One object per record. Bytes that are no text stand in ``..._base64`` in place of the plain name."""

    partition: int
    offset: int
    timestamp_ms: int | None
    key: str | None = None
    key_base64: str = ""
    value: str | None = None
    value_base64: str = ""
    about: str = Field("", description="in place of a value: what a message between lanes is")
    headers: list[Header]


# ---- cluster


class ProcessReport(Report):
    pid: int | None
    state: str
    reason: str
    starts: int


class ClusterStatus(Report):
    """Addresses are absent while the cluster was never up."""

    name: str
    state: Literal["DOWN", "STARTING", "HEALTHY", "DEGRADED", "UNSUPERVISED"]
    bootstrap: str = ""
    redis: str = ""
    rest: str | None = None
    namespace: str = ""
    directory: str = ""
    slots: int = 0
    processes: dict[str, ProcessReport]
    warnings: list[str]


class ClusterStarted(ClusterStatus):
    start_s: float = Field(description="seconds until all were healthy")


class ClusterStopped(Report):
    name: str
    stopped: list[str]


class HealthReport(Report):
    role: Literal["dispatcher", "taskmanager"]
    healthy: bool
    reason: str


class Finding(Report):
    """One thing that was looked at."""

    check: str
    grade: Literal["ok", "warn", "fail"]
    found: str
    todo: str = Field("", description="what to do; empty when it is ok")


class Diagnosis(Report):
    ok: bool = Field(description="nothing failed; exit status 0")
    findings: list[Finding]


# ---- top


class JobSample(Report):
    """One job that has not ended. Null: not known, or it has none."""

    job_id: str
    name: str
    status: JobStatus
    in_per_s: float | None = Field(description="records that its sources read in a second")
    out_per_s: float | None = Field(description="records that its last vertices gave out in a second")
    lag: int | None
    watermark_delay_ms: int | None = Field(description="now minus the least watermark of its last vertices")
    commits_per_s: float | None
    last_commit_ms: int | None
    reason: str


class TaskManagerSample(Report):
    id: str
    host: str
    slots: int
    occupied: int


class TopSample(Report):
    at_ms: int
    jobs: list[JobSample]
    ended: dict[str, int] = Field(description="status to number of jobs that have ended")
    taskmanagers: list[TaskManagerSample]


# ---- settings, versions


class SettingReport(Report):
    name: str
    value: JsonValue
    from_: Literal["default", "file", "variable", "option"] = Field(alias="from")
    where: str


class SettingsFile(Report):
    path: str
    exists: bool


class SettingsReport(Report):
    settings: list[SettingReport]
    files: list[SettingsFile]
    unknown_variables: list[str]


class Replaced(Report):
    value: JsonValue
    from_: Literal["default", "file", "variable", "option"] = Field(alias="from")
    where: str


class SettingExplained(Report):
    name: str
    description: str
    type: str
    unit: str | None
    default: JsonValue
    variable: str
    option: str
    value: JsonValue
    from_: Literal["default", "file", "variable", "option"] = Field(alias="from")
    where: str
    replaces: list[Replaced]


class Versions(Report):
    headrace: str
    python: str
    confluent_kafka: str = Field(alias="confluent-kafka")
    librdkafka: str


#: Command line to what each line of its stdout is.
SCHEMAS: dict[str, type[BaseModel]] = {
    "submit": Submitted,
    "list": JobList,
    "show": JobShown,
    "show --plan code": JobCode,
    "cancel": Canceled,
    "logs": LogLine,
    "top": TopSample,
    "topics": TopicList,
    "topics TOPIC": TopicDetail,
    "topics TOPIC --peek": PeekedRecord,
    "topics --job": JobTopics,
    "up": ClusterStarted,
    "down": ClusterStopped,
    "status": ClusterStatus,
    "health": HealthReport,
    "doctor": Diagnosis,
    "config show": SettingsReport,
    "config explain": SettingExplained,
    "version": Versions,
    "any, when it fails": ErrorReport,
}
