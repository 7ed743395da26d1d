"""The rules of a home partition: which submission counts, who is told, which JobMasters run.

    ABSENT ──Gained──► REPLAYING ──Replayed──► STANDBY ◄──Leased, Unleased──► ACTING      any ──Lost──► ABSENT

Records of the job log change what is known in every phase but ABSENT; effects come in ACTING only. What a job
needs is drawn from what is known (``_settle``), not from the record that just came, so that a take-over at any
point, a record that comes twice and a normal start are one path.

The decision. The first content in log order is accepted, once; the job starts when the ``accepted`` record is
read back. Everybody who reads the log decides the same, so a second owner at work for a moment does no harm.

Pure: no I/O.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import Enum

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
    Lost,
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
    Tick,
    Unleased,
)
from headrace.protocol.control import Accepted, CommandDone, JobResult
from headrace.protocol.job_log import JobLogKey, Kind
from headrace.protocol.states import JobStatus
from headrace.protocol.submission import Cancel

#: After a take-over, submissions younger than this are answered again: their client may still wait.
ANSWER_AGAIN_MS = 60_000
#: After a take-over, topics of jobs that ended less than this ago are swept: the last owner may have died first.
SWEEP_MS = 600_000
#: Answers owed for one job; older ones are forgotten, and a client that gets none asks again.
ANSWERS_MAX = 100


class Phase(Enum):
    ABSENT = "another Dispatcher owns the partition"
    REPLAYING = "owned; its log is being read"
    STANDBY = "owned and known; another Dispatcher's lease still stands, or Redis does not answer"
    ACTING = "owned, known and leased"


class Work(Enum):
    """What this Dispatcher has under way for a job, since it acts."""

    NONE = "nothing"
    DECIDING = "accepted is being appended"
    MASTERED = "a JobMaster runs"
    CLEARED = "its JobMaster has ended; the result is about to be read"
    CONCLUDED = "the job has ended and is shown so"
    RETIRING = "its keys are being removed"


class IllegalEventError(Exception):
    """An event that cannot come in this phase; nothing was changed."""


#: Which phases each event of ownership may come in, and where it leads.
EDGES: dict[type, dict[Phase, Phase]] = {
    Gained: {Phase.ABSENT: Phase.REPLAYING},
    Replayed: {Phase.REPLAYING: Phase.STANDBY},
    Leased: {Phase.STANDBY: Phase.ACTING},
    Unleased: {Phase.ACTING: Phase.STANDBY},
    Lost: {Phase.REPLAYING: Phase.ABSENT, Phase.STANDBY: Phase.ABSENT, Phase.ACTING: Phase.ABSENT},
}


@dataclass
class Job:
    """What the log says about one job id, and what is under way here."""

    submissions: dict[str, SubmissionRead] = field(default_factory=dict)  #: by content, the newest record of it
    first: str = ""  #: content of the first submission
    owed: deque[SubmissionRead] = field(default_factory=lambda: deque(maxlen=ANSWERS_MAX))
    accepted: Accepted | None = None
    commands: dict[str, Cancel] = field(default_factory=dict)  #: without an answer, in log order
    outcomes: dict[str, CommandDone] = field(default_factory=dict)  #: of commands that have their answer
    result: JobResult | None = None
    keys: set[JobLogKey] = field(default_factory=set)
    newest_ms: int = 0
    work: Work = Work.NONE
    handed: set[str] = field(default_factory=set)  #: commands given to the JobMaster, or refused
    retiring: set[JobLogKey] = field(default_factory=set)


class HomePartition:
    """One home partition in one Dispatcher. ``handle`` is the only way to change it."""

    def __init__(self, partition: int, retention_ms: int) -> None:
        self.partition = partition
        self.phase = Phase.ABSENT
        self.jobs: dict[str, Job] = {}
        self._retention_ms = retention_ms

    def handle(self, event: Event, now_ms: int) -> list[Effect]:
        """Take one event; what is to be done now. Raises IllegalEventError."""
        match event:
            case Gained() | Replayed() | Leased() | Unleased() | Lost():
                return self._enter(event, now_ms)
            case Tick():
                return self._retire(now_ms) if self.phase is Phase.ACTING else []
            case MasterEnded():
                return self._master_ended(event.job_id)
            case _:
                return self._read(event)

    # ---- phases

    def _enter(self, event: Event, now_ms: int) -> list[Effect]:
        edges = EDGES[type(event)]
        if self.phase not in edges:
            raise IllegalEventError(f"partition {self.partition}: {event} while {self.phase.name}")
        before, self.phase = self.phase, edges[self.phase]
        if self.phase is Phase.ACTING:
            return self._take_over(now_ms)
        effects = self._let_go() if before is Phase.ACTING else []
        if self.phase is Phase.ABSENT:
            self.jobs.clear()
        return effects

    def _take_over(self, now_ms: int) -> list[Effect]:
        effects: list[Effect] = []
        for job_id, job in self.jobs.items():
            if job.accepted is not None:
                young = [s for s in job.owed if now_ms - s.at_ms < ANSWER_AGAIN_MS]
                job.owed = deque(young, maxlen=ANSWERS_MAX)
            sweep = job.result is not None and now_ms - job.result.ended_ms < SWEEP_MS
            effects += self._settle(job_id, job, sweep=sweep)
        return effects

    def _let_go(self) -> list[Effect]:
        effects: list[Effect] = []
        for job_id, job in self.jobs.items():
            if job.work is Work.MASTERED:
                effects.append(StopMaster(job_id))
            job.work = Work.NONE
            job.handed.clear()
            job.retiring.clear()
        return effects

    def _master_ended(self, job_id: str) -> list[Effect]:
        job = self.jobs.get(job_id)
        if job is None or job.work is not Work.MASTERED:
            return []
        job.work = Work.CLEARED
        return self._settle(job_id, job, sweep=False)

    # ---- records

    def _read(self, event: LogEvent) -> list[Effect]:
        if self.phase is Phase.ABSENT:
            raise IllegalEventError(f"partition {self.partition}: {event} while ABSENT")
        job_id = event.key.job_id
        if isinstance(event, Removed):
            return self._remove(event.key)
        job = self.jobs.setdefault(job_id, Job())
        job.keys.add(event.key)
        again: list[Effect] = []
        match event:
            case SubmissionRead():
                job.submissions[event.content] = event
                job.first = job.first or event.content
                job.owed.append(event)
                job.newest_ms = max(job.newest_ms, event.at_ms)
            case AcceptedRead():
                job.accepted = job.accepted or event.accepted
            case CommandRead():
                done = job.outcomes.get(event.key.name)
                if done is None:
                    job.commands[event.key.name] = event.command
                elif self.phase is Phase.ACTING:
                    again = [AnswerAgain(job_id, done)]
                job.newest_ms = max(job.newest_ms, event.at_ms)
            case DoneRead():
                job.commands.pop(event.key.name, None)
                job.outcomes[event.key.name] = event.done
                job.newest_ms = max(job.newest_ms, event.at_ms)
            case ResultRead():
                job.result = job.result or event.result
        return again + self._settle(job_id, job, sweep=False)

    def _remove(self, key: JobLogKey) -> list[Effect]:
        job = self.jobs.get(key.job_id)
        if job is None:
            return []
        job.keys.discard(key)
        match key.kind:
            case Kind.SUBMISSION:
                job.submissions.pop(key.name, None)
                if job.first == key.name:
                    job.first = (
                        min(job.submissions.values(), key=lambda s: s.offset).content if job.submissions else ""
                    )
            case Kind.ACCEPTED:
                job.accepted = None
            case Kind.COMMAND:
                job.commands.pop(key.name, None)
            case Kind.RESULT:
                job.result = None
            case Kind.DONE:
                job.outcomes.pop(key.name, None)
        if not job.keys:
            del self.jobs[key.job_id]
            return []
        if job.work is Work.RETIRING:
            job.retiring.discard(key)
            if job.retiring:
                return []
            job.work = Work.NONE  # a new life of the id has begun meanwhile
        return self._settle(key.job_id, job, sweep=False)

    # ---- what follows

    def _settle(self, job_id: str, job: Job, *, sweep: bool) -> list[Effect]:
        """Everything that is to be done for a job and is not under way."""
        if self.phase is not Phase.ACTING or job.work is Work.RETIRING:
            return []
        if job.result is not None:
            effects = self._answer(job_id, job)
            if job.work is not Work.MASTERED:  # else its JobMaster is still clearing up
                effects += self._conclude(job_id, job, sweep)
            return effects
        if job.accepted is None:
            return self._decide(job_id, job)
        return self._answer(job_id, job) + self._master(job_id, job)

    def _decide(self, job_id: str, job: Job) -> list[Effect]:
        if job.submissions:
            if job.work is Work.DECIDING:
                return []
            job.work = Work.DECIDING
            return [Accept(job_id, job.first)]
        return self._refuse(job_id, job)

    def _answer(self, job_id: str, job: Job) -> list[Effect]:
        if job.accepted is None:
            return []
        effects: list[Effect] = []
        accepted = job.accepted.content_sha256
        while job.owed:
            asked = job.owed.popleft()
            if asked.content == accepted:
                effects.append(Acknowledge(job_id, asked.request_id))
            else:
                effects.append(Reject(job_id, asked.request_id, asked.content))
        return effects

    def _master(self, job_id: str, job: Job) -> list[Effect]:
        if job.accepted is None or job.work is Work.CLEARED:
            return []
        effects: list[Effect] = []
        if job.work is not Work.MASTERED:
            if job.accepted.content_sha256 not in job.submissions:  # half removed by hand: nothing to run
                return []
            job.work = Work.MASTERED
            effects.append(StartMaster(job_id, job.accepted))
        for request_id, command in job.commands.items():
            if request_id not in job.handed:
                job.handed.add(request_id)
                effects.append(Hand(job_id, command))
        return effects

    def _conclude(self, job_id: str, job: Job, sweep: bool) -> list[Effect]:
        assert job.result is not None
        if job.work is Work.CONCLUDED:
            return self._refuse(job_id, job)
        job.work = Work.CONCLUDED
        job.handed.clear()
        sweep = sweep and job.result.status is not JobStatus.FAILED
        return [*self._refuse(job_id, job), Conclude(job_id, job.result, sweep)]

    def _refuse(self, job_id: str, job: Job) -> list[Effect]:
        refused = [request_id for request_id in job.commands if request_id not in job.handed]
        job.handed.update(refused)
        return [Refuse(job_id, request_id, job.result) for request_id in refused]

    def _retire(self, now_ms: int) -> list[Effect]:
        effects: list[Effect] = []
        for job_id, job in self.jobs.items():
            if job.result is not None:
                over = job.work is Work.CONCLUDED and now_ms - job.result.ended_ms > self._retention_ms
            else:  # nothing but commands to a job that never was
                unknown = job.accepted is None and not job.submissions and not job.commands
                over = unknown and job.work is Work.NONE and now_ms - job.newest_ms > self._retention_ms
            if over:
                job.work = Work.RETIRING
                job.retiring = set(job.keys)
                effects.append(Retire(job_id, tuple(sorted(job.keys, key=_removal_order))))
        return effects


def _removal_order(key: JobLogKey) -> tuple[int, str]:
    """Submission before accepted before result: whatever is left after a crash says "ended" and starts nothing."""
    order = [Kind.COMMAND, Kind.DONE, Kind.SUBMISSION, Kind.ACCEPTED, Kind.RESULT]
    return order.index(key.kind), key.name
