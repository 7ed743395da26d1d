"""Messages between the processes of the control plane, JSON on Kafka topics and in Redis.

Internal: unknown fields are ignored, so that versions can differ during an upgrade. Every message carries
``version``. Pure: no I/O.

Topics, keys and senders
    <ns>.job-log      "<job>/submission/<sha256>"  Submit        by any Dispatcher that read it on the inbox
                      "<job>/accepted"             Accepted      by the home Dispatcher, once, never changed
                      "<job>/cmd/<request id>"     Cancel        by any Dispatcher that read it on the inbox
                      "<job>/done/<request id>"    CommandDone   by the job's JobMaster (home Dispatcher if ended)
                      "<job>/result"               JobResult     by the job's JobMaster
    <ns>.plans        "<job>/claim"                Claim         by a JobMaster at its start; its OFFSET is the epoch
                      "<job>/plan/<epoch>"         Plan          by that JobMaster; the newest counts
    <ns>.task-events  job id                       TaskEvent     by TaskManagers, to the job's home partition
    <ns>.job-events   job id                       JobEvent      by home Dispatcher and JobMasters
    <ns>.logs         job id                       LogLines      by TaskManagers
    <ns>.artifacts    "<sha256>/<chunk>"           bytes         by clients and home Dispatchers
    <ns>.dead-letters none                         DeadLetter    by anybody

"Keyed with the job id" above means: partition home_partition(job id), whatever the key text.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, RootModel

from headrace.graph.job_graph import JobGraph
from headrace.protocol.states import JobStatus, LaneState
from headrace.protocol.submission import ClientInfo, RestartStrategy, UploadedCode


class Message(BaseModel):
    """An internal message: frozen, tolerant of fields it does not know."""

    model_config = ConfigDict(extra="ignore", frozen=True)
    version: int = 1


# ---- job log


class Accepted(Message):
    """The home owner's decision, in log order: this content is the job's, for ever.

    ``code`` is where the job's code was uploaded to, when it came inline.
    """

    job_id: str
    content_sha256: str
    code: UploadedCode | None = None
    at_ms: int


class CommandDone(Message):
    """Outcome of a command; a command without one is still to be run."""

    request_id: str
    ok: bool
    reason: str = ""
    code: str = Field("", description="error code when it was refused; empty from older versions")


class JobResult(Message):
    """The end of a job. Written before its topics are deleted; never changed."""

    job_id: str
    status: JobStatus
    reason: str
    failure: Failure | None = None
    started_ms: int
    ended_ms: int


# ---- plans


class Claim(Message):
    """A JobMaster takes command of a job; the offset of this record is its epoch.

    A reader ignores any record of the job whose epoch is below a claim earlier in the partition.
    """

    job_id: str
    dispatcher: str
    at_ms: int


class Assignment(Message):
    """Where a lane is to run. ``attempt`` grows by one with each planned start of the lane."""

    taskmanager: str
    slot: int
    attempt: int


class Plan(Message):
    """Desired state of one job: all that a TaskManager needs to run its lanes."""

    job_id: str
    epoch: int
    number: int = Field(description="grows by one with each plan of the epoch")
    name: str
    incarnation: int
    desired: Literal["RUNNING", "STOPPED"]
    graph: JobGraph
    code: UploadedCode | None
    dependencies: UploadedCode | None = None
    client: ClientInfo = Field(default_factory=ClientInfo, description="versions of what submitted the job")
    delivery: str
    restart: RestartStrategy
    config: dict[str, str] = Field(default_factory=dict)
    source_partitions: dict[str, dict[str, int]] = Field(
        default_factory=dict, description="operator uid to Kafka topic to its partition count"
    )
    lanes: dict[str, Assignment] = Field(
        default_factory=dict, description="lane name to its place; a lane not here waits for a slot"
    )
    waiting: dict[str, int] = Field(
        default_factory=dict, description="lanes without a place: the number of their last attempt, 0 if none"
    )
    outcome: JobResult | None = Field(
        None, description="of a STOPPED plan: how the job ends once every lane has stopped"
    )


# ---- task events


class Failure(Message):
    """Why a lane failed. ``user`` tells whose fault: an exception out of the user's own function."""

    error: str = Field(description="one line: exception class and message")
    traceback: str = Field("", description="the user's first frame first when it is theirs")
    user: bool = False
    at_ms: int = 0
    lane: str = ""
    retryable: bool = True
    code: str = Field("", description="of the error, when it is one that docs/errors explains")


class LaneStateChanged(Message):
    """One attempt of a lane moved. ``attempt`` is "<planned>.<local restarts>"."""

    type: Literal["lane"] = "lane"
    job_id: str
    incarnation: int
    epoch: int
    lane: str
    attempt: str
    taskmanager: str
    instance: str = Field("", description="of the TaskManager: a new one counts local restarts from 0 again")
    state: LaneState
    reason: str = ""
    failure: Failure | None = None
    fatal: bool = Field(False, description="restart strategy exhausted: the job must fail")
    at_ms: int


class LaneRefused(Message):
    """A TaskManager will not run a lane: its slot is occupied, or it does not exist."""

    type: Literal["refused"] = "refused"
    job_id: str
    incarnation: int
    epoch: int
    lane: str
    attempt: int
    taskmanager: str
    slot: int
    reason: str
    at_ms: int


class LaneStatus(Message):
    attempt: str
    state: LaneState
    reason: str = ""


class TaskManagerReport(Message):
    """All lanes of one job on one TaskManager, sent on each new claim it sees; FINISHED ones included."""

    type: Literal["report"] = "report"
    job_id: str
    incarnation: int
    epoch: int
    taskmanager: str
    instance: str
    lanes: dict[str, LaneStatus]
    at_ms: int


class TaskEvent(
    RootModel[Annotated[LaneStateChanged | LaneRefused | TaskManagerReport, Field(discriminator="type")]]
):
    """One message on ``<ns>.task-events``."""


# ---- job events, logs, dead letters


class JobEvent(Message):
    """Public lifecycle, one record per transition; and answers to requests, which carry ``request_id``.

    ACKNOWLEDGED and REJECTED answer a submission; DONE and REFUSED answer a command; STATUS is a transition.
    """

    job_id: str
    type: Literal["ACKNOWLEDGED", "REJECTED", "STATUS", "WAITING", "DONE", "REFUSED"]
    request_id: str | None = None
    status: JobStatus | None = None
    reason: str = Field("", description="plain words a user can act on")
    code: str = Field("", description="error code when something was refused or failed")
    failure: Failure | None = None
    epoch: int = -1
    at_ms: int


class LogLines(Message):
    """Lines that user code printed or logged."""

    job_id: str
    lane: str = Field("", description="empty when the worker cannot tell which lane printed")
    attempt: str = ""
    taskmanager: str
    stream: Literal["stdout", "stderr", "log"]
    lines: list[str]
    dropped: int = 0
    at_ms: int


class DeadLetter(Message):
    """A control message that could not be read, with the reason."""

    topic: str
    partition: int
    offset: int
    error: str
    value_base64: str
    at_ms: int


# ---- records in Redis (JSON strings; everything here can be rebuilt from Kafka)


class TaskManagerRecord(Message):
    """Liveness of one TaskManager, written once a second with PX 10 s; ``counter`` moves each time."""

    id: str
    instance: str
    counter: int
    host: str
    pid: int
    slots: int
    occupied: dict[str, str] = Field(default_factory=dict, description="slot number to job id")
    workers: dict[str, int] = Field(
        default_factory=dict, description="slot number to the process id of its worker; empty from older versions"
    )
    attempts: dict[str, dict[str, str]] = Field(
        default_factory=dict, description="job id to lane name to '<attempt> <state>'"
    )
    python: str = ""
    headrace: str = ""
    started_ms: int = 0
    at_ms: int = 0


class JobRecord(Message):
    """The registry's view of a job."""

    job_id: str
    name: str
    status: JobStatus
    reason: str = ""
    dispatcher: str = ""
    epoch: int = -1
    incarnation: int = 1
    slots_needed: int = 0
    submitted_ms: int = 0
    started_ms: int = 0
    ended_ms: int = 0
    timestamps: dict[str, int] = Field(default_factory=dict)
    failure: Failure | None = None
    lanes: dict[str, LaneStatus] = Field(default_factory=dict)
    assignments: dict[str, Assignment] = Field(default_factory=dict)


class SlotDeclaration(Message):
    """What a JobMaster needs in all, and what it holds; the ResourceManager reconciles."""

    job_id: str
    epoch: int
    needed: int
    held: dict[str, str] = Field(default_factory=dict, description="slot index of the job to '<tm>/<slot>'")
    since_ms: int


class SlotGrants(Message):
    """What the ResourceManager gives a job: slot index of the job to "<tm>/<slot>"."""

    job_id: str
    epoch: int
    grants: dict[str, str] = Field(default_factory=dict)
    free: int = 0
    total: int = 0
    at_ms: int = 0


class LaneMetrics(Message):
    """Rates and positions of one lane, once a second; a hint, never truth."""

    attempt: str
    commits: int = 0
    progressed: bool = Field(False, description="some of its input, or of event time, is committed in this attempt")
    records_in: int = 0
    records_out: int = 0
    records_in_per_s: float = 0.0
    late_dropped: int = Field(0, description="records that came too late for their window, in this attempt")
    user: dict[str, dict[str, float]] = Field(
        default_factory=dict, description="metrics of the user's functions, by operator and name"
    )
    watermark_ms: int | None = None
    lag: int | None = None
    reason: str = ""
    first_read_ms: int = 0
    last_commit_ms: int = 0
    at_ms: int = 0


JobResult.model_rebuild()
Plan.model_rebuild()
