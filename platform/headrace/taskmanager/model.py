"""What a TaskManager knows, what it is told, and what it wants done. Data only; the rules are in core.

Times are milliseconds of a clock that never goes back. Pure: no I/O.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from headrace.protocol.attempt import Attempt
from headrace.protocol.control import Failure, LaneRefused, LaneStateChanged, Plan, TaskManagerReport
from headrace.protocol.states import LaneState
from headrace.protocol.submission import UploadedCode
from headrace.protocol.worker_pipe import Down, LaneFenced, LaneMoved

LaneKey = tuple[str, str]  #: job id, lane name

#: States in which a worker runs the lane.
HELD = frozenset({LaneState.DEPLOYING, LaneState.INITIALIZING, LaneState.RUNNING, LaneState.CANCELING})
#: States that this attempt does not leave.
ENDED_LANE = frozenset({LaneState.FINISHED, LaneState.CANCELED, LaneState.FAILED})


@dataclass(frozen=True)
class Lane:
    """One planned attempt of a lane in one slot of this TaskManager."""

    job: str
    name: str
    incarnation: int
    slot: int
    attempt: Attempt
    state: LaneState = LaneState.SCHEDULED
    reason: str = ""
    worker: int | None = None  #: serial of the worker that has it; exactly while the state is in HELD
    failures: int = 0  #: of user code, in a row with no commit between
    troubles: int = 0  #: other failures, likewise
    start_ms: int = 0  #: SCHEDULED: not before this
    stop_ms: int = 0  #: CANCELING: its worker is killed when it has not ended by then
    failure: Failure | None = None  #: FAILED: why it failed for good

    @property
    def key(self) -> LaneKey:
        return self.job, self.name


class WorkerPhase(Enum):
    UP = "takes lanes"
    LEAVING = "was told to exit"
    KILLED = "was sent SIGKILL"


@dataclass(frozen=True)
class Worker:
    """One slot worker. It belongs to one job for its whole life."""

    serial: int
    slot: int
    job: str
    heard_by_ms: int  #: killed when nothing was heard by then
    phase: WorkerPhase = WorkerPhase.UP
    useful_ms: int = 0  #: UP: from then on, or from its first commit, its death is a first one
    why: str = ""  #: KILLED: why


@dataclass(frozen=True)
class Deaths:
    """Workers of one slot that died in a row without having achieved anything."""

    count: int = 0
    start_ms: int = 0  #: no new worker before this


class Freshness(Enum):
    """Whether the plans were read to their end since this process last slept."""

    STALE = "nothing is started until they are"
    FRESH = "they were, and are followed since"


@dataclass(frozen=True)
class Desired:
    """The plan that counts for a job, with its graph as workers get it."""

    plan: Plan
    graph: bytes


@dataclass(frozen=True)
class Environment:
    """Where the workers of a job run: ``python`` "" is this process's own; ``paths`` go on sys.path, first."""

    python: str = ""
    paths: tuple[str, ...] = ()


#: Of jobs without files and requirements.
BASE = Environment()


@dataclass(frozen=True)
class TaskManagerState:
    """All that one TaskManager knows. ``core.step`` makes the next one."""

    id: str
    instance: str
    slots: int
    jobs: dict[str, Desired] = field(default_factory=dict)
    lanes: dict[LaneKey, Lane] = field(default_factory=dict)
    workers: dict[int, Worker] = field(default_factory=dict)  #: by serial
    deaths: dict[int, Deaths] = field(default_factory=dict)  #: by slot
    refused: dict[LaneKey, LaneRefused] = field(default_factory=dict)
    code: Mapping[str, str | None] = field(default_factory=dict)  #: sha256 to local file, None while fetched
    #: sha256 of a job's dependencies to where its workers run, None while that is prepared
    environments: Mapping[str, Environment | None] = field(default_factory=dict)
    python: str = ""  #: version of this process's Python, "3.11.7"
    freshness: Freshness = Freshness.STALE
    leaving: bool = False
    serial: int = 0  #: of the newest worker
    ticked_ms: int = 0


# ---- events


@dataclass(frozen=True)
class PlanChanged:
    """Another plan counts for the job, or none."""

    job_id: str
    plan: Plan | None


@dataclass(frozen=True)
class NewClaim:
    """A JobMaster took command and wants to know how things stand."""

    job_id: str
    epoch: int


@dataclass(frozen=True)
class CaughtUp:
    """Every plan that was in the log when CatchUp was asked for has been told."""


@dataclass(frozen=True)
class PlansReread:
    """Answer to RereadPlans: the job's plans were told up to the end they had when it was asked."""

    serial: int
    job_id: str
    lane: str
    attempt: str


@dataclass(frozen=True)
class WorkerSaid:
    serial: int
    message: LaneMoved | LaneFenced


@dataclass(frozen=True)
class WorkerBeat:
    """Any sign of life."""

    serial: int


@dataclass(frozen=True)
class LaneCommitted:
    """The first commit of a local attempt."""

    serial: int
    lane: str
    attempt: str


@dataclass(frozen=True)
class WorkerExited:
    """The process is gone, and everything it had said was told. ``how``: "SIGKILL", "exit status 3"."""

    serial: int
    how: str
    output: str = ""  #: the last lines it left on stdout and stderr


@dataclass(frozen=True)
class CodeReady:
    sha256: str
    path: str


@dataclass(frozen=True)
class CodeDelayed:
    """The package cannot be kept here at the moment (disk full, no permission); it is tried again."""

    sha256: str
    error: str


@dataclass(frozen=True)
class CodeMissing:
    """The code package is not in the log: jobs that need it cannot run."""

    sha256: str
    error: str


@dataclass(frozen=True)
class EnvironmentReady:
    """The files are unpacked and the packages installed."""

    sha256: str
    environment: Environment


@dataclass(frozen=True)
class EnvironmentDelayed:
    """It is still worked on: how far it is, or what it waits for."""

    sha256: str
    reason: str


@dataclass(frozen=True)
class EnvironmentFailed:
    """It cannot be made: jobs that need it cannot run. ``error`` begins with its code."""

    sha256: str
    error: str


@dataclass(frozen=True)
class Tick:
    """Time passed; a long time since the last one means that this process slept."""


@dataclass(frozen=True)
class Leave:
    """Stop every worker and start nothing more."""


Event = (
    PlanChanged
    | NewClaim
    | CaughtUp
    | PlansReread
    | WorkerSaid
    | WorkerBeat
    | LaneCommitted
    | WorkerExited
    | CodeReady
    | CodeDelayed
    | CodeMissing
    | EnvironmentReady
    | EnvironmentDelayed
    | EnvironmentFailed
    | Tick
    | Leave
)


# ---- effects


@dataclass(frozen=True)
class StartWorker:
    """Answered by what the worker says, and in the end by WorkerExited."""

    serial: int
    slot: int
    job_id: str
    python: str = ""  #: "": this process's own


@dataclass(frozen=True)
class Send:
    serial: int
    message: Down


@dataclass(frozen=True)
class KillWorker:
    """SIGKILL; answered by WorkerExited."""

    serial: int
    reason: str


@dataclass(frozen=True)
class Report:
    """For the task events, in order; the time is stamped when it is sent."""

    event: LaneStateChanged | LaneRefused | TaskManagerReport


@dataclass(frozen=True)
class FetchCode:
    """Answered by CodeReady or CodeMissing."""

    code: UploadedCode


@dataclass(frozen=True)
class PrepareEnvironment:
    """Answered by EnvironmentReady or EnvironmentFailed, with EnvironmentDelayed any number of times before."""

    dependencies: UploadedCode


@dataclass(frozen=True)
class CatchUp:
    """Read all plans to their present end; answered by CaughtUp."""


@dataclass(frozen=True)
class RereadPlans:
    """Read the plans of this job to their present end; answered by PlansReread."""

    serial: int
    job_id: str
    lane: str
    attempt: str


Effect = StartWorker | Send | KillWorker | Report | FetchCode | PrepareEnvironment | CatchUp | RereadPlans
