"""A job log, Dispatchers that own it one after the other, and all they said: for tests of the core.

Effects are carried out at once, in order, on a list that stands for the log; a Dispatcher can die before any of
them. JobMasters are played: they run until told to end.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from headrace.dispatcher.core import HomePartition
from headrace.dispatcher.events import (
    Accept,
    AcceptedRead,
    Acknowledge,
    AnswerAgain,
    CommandRead,
    Conclude,
    DoneRead,
    Effect,
    Event,
    Gained,
    Hand,
    Leased,
    LogEvent,
    MasterEnded,
    Refuse,
    Reject,
    Removed,
    Replayed,
    ResultRead,
    Retire,
    StartMaster,
    StopMaster,
    SubmissionRead,
)
from headrace.protocol.control import Accepted, CommandDone, JobResult
from headrace.protocol.job_log import JobLogKey, Kind
from headrace.protocol.states import JobStatus
from headrace.protocol.submission import Cancel

JOB = "a" * 32
RETENTION_MS = 10_000_000


@dataclass
class World:
    """The log and what was said in public, for ever; the Dispatcher of the moment."""

    log: list[LogEvent] = field(default_factory=list)
    said: list[tuple[str, str]] = field(default_factory=list)  #: (request id, answer)
    handed: list[str] = field(default_factory=list)
    concluded: list[Conclude] = field(default_factory=list)
    retired: list[str] = field(default_factory=list)
    masters: set[str] = field(default_factory=set)
    now_ms: int = 1_000_000
    home: HomePartition = field(default_factory=lambda: HomePartition(0, RETENTION_MS))
    read: int = 0  #: how much of the log the Dispatcher has read
    dies_after: int | None = None  #: effects until the Dispatcher dies
    _pending: list[Effect] = field(default_factory=list)

    # ---- others write

    def submit(self, content: str, request_id: str, job_id: str = JOB) -> None:
        key = JobLogKey(job_id, Kind.SUBMISSION, content)
        self.log.append(SubmissionRead(key, len(self.log), self.now_ms, request_id))

    def cancel(self, request_id: str, job_id: str = JOB) -> None:
        command = Cancel(type="cancel", request_id=request_id, job_id=job_id)
        self.log.append(CommandRead(JobLogKey(job_id, Kind.COMMAND, request_id), self.now_ms, command))

    def done(self, request_id: str, job_id: str = JOB, *, ok: bool = True) -> None:
        done = CommandDone(request_id=request_id, ok=ok)
        self.log.append(DoneRead(JobLogKey(job_id, Kind.DONE, request_id), self.now_ms, done))

    def end(self, status: JobStatus = JobStatus.FINISHED, job_id: str = JOB) -> None:
        """The job's JobMaster writes its result."""
        result = JobResult(job_id=job_id, status=status, reason="", started_ms=1, ended_ms=self.now_ms)
        self.log.append(ResultRead(JobLogKey(job_id, Kind.RESULT), result))

    def master_ends(self, job_id: str = JOB) -> None:
        self.masters.discard(job_id)
        self.handle(MasterEnded(job_id))

    # ---- the Dispatcher

    def take_over(self) -> None:
        """Whoever acted is gone; another one owns, reads everything, and acts."""
        self.home, self.read, self._pending, self.dies_after = HomePartition(0, RETENTION_MS), 0, [], None
        self.masters.clear()
        self.handle(Gained())
        self.catch_up()
        self.handle(Replayed())
        self.handle(Leased())
        self.catch_up()

    def catch_up(self) -> None:
        """Read and act until nothing is left to do."""
        while not self.dead and (self._pending or self.read < len(self.log)):
            if self._pending:
                self._carry_out(self._pending.pop(0))
            else:
                event = self.log[self.read]
                self.read += 1
                self.handle(event)

    def handle(self, event: Event) -> None:
        if not self.dead:
            self._pending += self.home.handle(event, self.now_ms)

    @property
    def dead(self) -> bool:
        return self.dies_after is not None and self.dies_after <= 0

    def answers(self, request_id: str) -> list[str]:
        return [answer for asked, answer in self.said if asked == request_id]

    def _carry_out(self, effect: Effect) -> None:
        if self.dies_after is not None:
            self.dies_after -= 1
        match effect:
            case Accept():
                accepted = Accepted(job_id=effect.job_id, content_sha256=effect.content, at_ms=self.now_ms)
                self.log.append(AcceptedRead(JobLogKey(effect.job_id, Kind.ACCEPTED), accepted))
            case Acknowledge():
                self.said.append((effect.request_id, "ACKNOWLEDGED"))
            case Reject():
                self.said.append((effect.request_id, "REJECTED"))
                self.log.append(Removed(JobLogKey(effect.job_id, Kind.SUBMISSION, effect.content)))
            case StartMaster():
                assert effect.job_id not in self.masters
                self.masters.add(effect.job_id)
            case StopMaster():
                self.masters.discard(effect.job_id)
            case Hand():
                assert effect.job_id in self.masters
                self.handed.append(effect.command.request_id)
            case Refuse():
                self.said.append((effect.request_id, "REFUSED"))
                self.done(effect.request_id, effect.job_id, ok=False)
            case AnswerAgain():
                self.said.append((effect.done.request_id, "DONE" if effect.done.ok else "REFUSED"))
            case Conclude():
                self.concluded.append(effect)
            case Retire():
                self.retired.append(effect.job_id)
                self.log += [Removed(key) for key in effect.keys]
