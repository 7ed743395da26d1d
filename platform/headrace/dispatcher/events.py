"""What happens to a home partition, and what follows from it: the words of :mod:`headrace.dispatcher.core`.

Pure: no I/O.
"""

from __future__ import annotations

from dataclasses import dataclass

from headrace.protocol.control import Accepted, CommandDone, JobResult
from headrace.protocol.job_log import JobLogKey
from headrace.protocol.submission import Cancel

# ---- events


@dataclass(frozen=True)
class Gained:
    """This Dispatcher became the owner of the partition; its log is to be read from the start."""


@dataclass(frozen=True)
class Replayed:
    """Everything that stood in the log when ownership was gained has been read."""


@dataclass(frozen=True)
class Leased:
    """This Dispatcher may act."""


@dataclass(frozen=True)
class Unleased:
    """It may not act any more, for now; reading goes on."""


@dataclass(frozen=True)
class Lost:
    """Another Dispatcher owns the partition."""


@dataclass(frozen=True)
class SubmissionRead:
    """A submission in the log. ``content`` is its sha256."""

    key: JobLogKey
    offset: int
    at_ms: int
    request_id: str

    @property
    def content(self) -> str:
        return self.key.name


@dataclass(frozen=True)
class AcceptedRead:
    key: JobLogKey
    accepted: Accepted


@dataclass(frozen=True)
class CommandRead:
    key: JobLogKey
    at_ms: int
    command: Cancel


@dataclass(frozen=True)
class DoneRead:
    key: JobLogKey
    at_ms: int
    done: CommandDone


@dataclass(frozen=True)
class ResultRead:
    key: JobLogKey
    result: JobResult


@dataclass(frozen=True)
class Removed:
    """A tombstone."""

    key: JobLogKey


@dataclass(frozen=True)
class MasterEnded:
    """The JobMaster has nothing left to do."""

    job_id: str


@dataclass(frozen=True)
class Tick:
    """Time passed: see to retention."""


LogEvent = SubmissionRead | AcceptedRead | CommandRead | DoneRead | ResultRead | Removed
Event = Gained | Replayed | Leased | Unleased | Lost | LogEvent | MasterEnded | Tick


# ---- effects; those of one partition are carried out in order, and dropped once it may not act


@dataclass(frozen=True)
class Accept:
    """Move the code of this submission to the artifacts, then append ``accepted``."""

    job_id: str
    content: str


@dataclass(frozen=True)
class Acknowledge:
    job_id: str
    request_id: str


@dataclass(frozen=True)
class Reject:
    """Say no, and remove the submission, which can never be accepted."""

    job_id: str
    request_id: str
    content: str


@dataclass(frozen=True)
class StartMaster:
    """Put the job into the registry and run its JobMaster."""

    job_id: str
    accepted: Accepted


@dataclass(frozen=True)
class StopMaster:
    """Stop commanding; the job runs on."""

    job_id: str


@dataclass(frozen=True)
class Hand:
    """Give a command to the job's JobMaster, which answers it."""

    job_id: str
    command: Cancel


@dataclass(frozen=True)
class AnswerAgain:
    """A command came again that has its outcome: say it again, its sender may not have heard it."""

    job_id: str
    done: CommandDone


@dataclass(frozen=True)
class Refuse:
    """Answer a command that has nobody to go to. ``result``: how the job ended, None if there is no such job."""

    job_id: str
    request_id: str
    result: JobResult | None


@dataclass(frozen=True)
class Conclude:
    """Finish the registry's view of an ended job; if ``sweep``, see that its topics are gone."""

    job_id: str
    result: JobResult
    sweep: bool


@dataclass(frozen=True)
class Retire:
    """Remove topics, plans, these keys in this order, and the registry's view."""

    job_id: str
    keys: tuple[JobLogKey, ...]


Effect = Accept | Acknowledge | Reject | StartMaster | StopMaster | Hand | AnswerAgain | Refuse | Conclude | Retire
