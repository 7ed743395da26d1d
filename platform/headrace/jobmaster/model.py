"""What a JobMaster knows, what it is told, and what it wants done. Data only; the rules are in core.

Pure: no I/O.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from headrace.graph.job_graph import JobGraph
from headrace.protocol.control import (
    Failure,
    JobEvent,
    JobResult,
    LaneRefused,
    LaneStateChanged,
    Plan,
    SlotGrants,
    TaskManagerReport,
)
from headrace.protocol.states import JobStatus, LaneState
from headrace.protocol.submission import ClientInfo, RestartStrategy, UploadedCode


class Place(NamedTuple):
    """One slot of one TaskManager; "<taskmanager>/<slot>" in declarations and grants."""

    taskmanager: str
    slot: int

    @classmethod
    def parse(cls, text: str) -> Place:
        taskmanager, _, slot = text.rpartition("/")
        return cls(taskmanager, int(slot))

    def __str__(self) -> str:
        return f"{self.taskmanager}/{self.slot}"


@dataclass(frozen=True)
class Job:
    """The facts of a job that never change."""

    job_id: str
    name: str
    graph: JobGraph
    code: UploadedCode | None
    delivery: str
    restart: RestartStrategy
    config: dict[str, str]
    dispatcher: str
    submitted_ms: int = 0
    incarnation: int = 1
    dependencies: UploadedCode | None = None
    client: ClientInfo = ClientInfo()


class Custody(Enum):
    """What is known about processes that might still commit for a lane."""

    VACANT = "none can: never started, or its id was initialised after the last one"
    PLANNED = "the plan gives it to a slot"
    FENCING = "its slot is lost: its id is being initialised"


@dataclass(frozen=True)
class Lane:
    """One lane as the JobMaster sees it."""

    slot: int  #: index of the slot within the job
    custody: Custody = Custody.VACANT
    place: Place | None = None  #: while PLANNED
    planned: int = 0  #: number of the newest planned attempt, 0 before the first
    local: int = 0  #: restarts by the TaskManager within that attempt
    instance: str = ""  #: of the TaskManager that reported last
    state: LaneState = LaneState.CREATED
    reason: str = ""
    failure: Failure | None = None  #: set once the lane has failed for good

    @property
    def finished(self) -> bool:
        return self.state is LaneState.FINISHED

    @property
    def settled(self) -> bool:
        """Under a STOPPED plan: nothing will commit for it any more."""
        if self.custody is Custody.PLANNED:
            return self.state in (LaneState.FINISHED, LaneState.CANCELED) or self.failure is not None
        return self.custody is Custody.VACANT


@dataclass(frozen=True)
class Waiting:
    """A need for slots that is not met yet, and what was last said about it."""

    since_ms: int
    told: str = ""
    told_ms: int = 0


@dataclass(frozen=True)
class JobState:
    """All that one JobMaster knows. ``core.step`` makes the next one."""

    job: Job
    lanes: dict[str, Lane]
    status: JobStatus = JobStatus.INITIALIZING
    epoch: int = -1
    number: int = 0  #: of the newest plan
    slots: dict[int, Place] = field(default_factory=dict)  #: held, by slot index
    shunned: dict[Place, int] = field(default_factory=dict)  #: refused there; not before this time again
    absent: frozenset[str] = frozenset()  #: lost TaskManagers: what is granted there is not taken
    offer: SlotGrants | None = None  #: the newest answer of the ResourceManager
    source_partitions: dict[str, dict[str, int]] | None = None  #: None until the topics stand
    outcome: JobResult | None = None  #: set once the job is ending
    code: str = ""  #: error code of a failure
    waiting: Waiting | None = None
    timestamps: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, job: Job, now_ms: int) -> JobState:
        """Before the claim."""
        lanes = {name: Lane(slot) for name, slot in job.graph.lane_slots().items()}
        return cls(job, lanes, timestamps={JobStatus.INITIALIZING: now_ms})


# ---- events


@dataclass(frozen=True)
class Started:
    """The claim is in the log and everything before it was read: ``plan`` is the newest valid one."""

    epoch: int
    plan: Plan | None


@dataclass(frozen=True)
class TopicsReady:
    """Sources and sinks are there, exchanges and lane logs stand."""

    source_partitions: dict[str, dict[str, int]]


@dataclass(frozen=True)
class TopicsRefused:
    """The job cannot have its topics; nothing was created."""

    code: str
    reason: str


@dataclass(frozen=True)
class Granted:
    """Grants as they stand in the store now."""

    grants: SlotGrants


@dataclass(frozen=True)
class TaskManagerLost:
    """It was silent for long enough; it may still live."""

    taskmanager: str


@dataclass(frozen=True)
class TaskManagerBack:
    """A lost one has shown a sign of life: it may be given lanes again."""

    taskmanager: str


@dataclass(frozen=True)
class LanesFenced:
    """The ids of these lanes were initialised: whoever ran them can commit no more."""

    lanes: tuple[str, ...]


@dataclass(frozen=True)
class CancelRequested:
    request_id: str


@dataclass(frozen=True)
class Tick:
    """Time passed."""


Event = (
    Started
    | TopicsReady
    | TopicsRefused
    | Granted
    | LaneStateChanged
    | LaneRefused
    | TaskManagerReport
    | TaskManagerLost
    | TaskManagerBack
    | LanesFenced
    | CancelRequested
    | Tick
)


# ---- effects, carried out in this order, one after the other


@dataclass(frozen=True)
class PrepareTopics:
    """Check sources and sinks, create exchanges and lane logs; answered by TopicsReady or TopicsRefused."""


@dataclass(frozen=True)
class WritePlan:
    plan: Plan


@dataclass(frozen=True)
class FenceLanes:
    """Initialise the ids of these lanes, for as long as it takes; answered by LanesFenced."""

    lanes: tuple[str, ...]


@dataclass(frozen=True)
class Publish:
    event: JobEvent


@dataclass(frozen=True)
class Answer:
    """The outcome of a command, for the job log and for whoever asked."""

    request_id: str
    ok: bool
    reason: str = ""


@dataclass(frozen=True)
class WriteResult:
    result: JobResult


@dataclass(frozen=True)
class DeleteTopics:
    """The topics of the incarnation."""


@dataclass(frozen=True)
class Done:
    """Nothing is left to do for this job."""

    result: JobResult


Effect = PrepareTopics | WritePlan | FenceLanes | Publish | Answer | WriteResult | DeleteTopics | Done
