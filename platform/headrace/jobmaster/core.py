"""The JobMaster's rules: ``step(state, event, now_ms) -> (state, effects)``.

Start and adoption are one path: the newest valid plan, or none, is the state to go on from. Everything after
is level-triggered: an event changes what is known, then ``_conclude`` draws what follows from it (run, end,
place lanes, write a plan, say what is waited for).

A lane is placed only while VACANT, and becomes VACANT again only when nothing can commit for it: its slot
refused it before it started, or its transactional id was initialised. CANCELED and FAILED are declared when
every lane has settled; FINISHED when every lane has finished.

Pure: no I/O.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal, assert_never

from headrace.jobmaster.model import (
    Answer,
    CancelRequested,
    Custody,
    DeleteTopics,
    Done,
    Effect,
    Event,
    FenceLanes,
    Granted,
    JobState,
    Lane,
    LanesFenced,
    Place,
    PrepareTopics,
    Publish,
    Started,
    TaskManagerBack,
    TaskManagerLost,
    Tick,
    TopicsReady,
    TopicsRefused,
    Waiting,
    WritePlan,
    WriteResult,
)
from headrace.jobmaster.reason import failure_code, failure_text, waited_for
from headrace.jobmaster.reports import heard
from headrace.jobmaster.status import IllegalEventError, checked
from headrace.protocol.control import (
    Assignment,
    Failure,
    JobEvent,
    JobResult,
    LaneRefused,
    LaneStateChanged,
    Plan,
    TaskManagerReport,
)
from headrace.protocol.states import JobStatus, LaneState

#: A slot that refused a lane is left alone for this long, so that the ResourceManager can hear of it.
SHUN_MS = 1000
#: Waiting shorter than this is not worth a word.
WAITING_GRACE_MS = 500
#: What is waited for is said again, when it changed, at most this often.
WAITING_EVENT_MS = 1000

STARTING = frozenset({JobStatus.CREATED, JobStatus.RECONCILING})
PLACING = frozenset({JobStatus.CREATED, JobStatus.RECONCILING, JobStatus.RUNNING})
STARTED_LANE = frozenset({LaneState.RUNNING, LaneState.FINISHED})


def step(state: JobState, event: Event, now_ms: int) -> tuple[JobState, list[Effect]]:
    """The next state and what is to be done. Raises IllegalEventError, having changed nothing."""
    if state.status is JobStatus.INITIALIZING and not isinstance(event, Started):
        raise IllegalEventError(state.job.job_id, event, "came before the claim was read back")
    if state.status.ended and not isinstance(event, Started | CancelRequested):
        return state, []
    turn = _Turn(state, event, now_ms)
    turn.take()
    turn.conclude()
    return turn.result()


def plan_of(state: JobState) -> Plan:
    """The desired state that follows from what is known."""
    job, ended = state.job, state.status.ended
    return Plan(
        job_id=job.job_id,
        epoch=state.epoch,
        number=state.number,
        name=job.name,
        incarnation=job.incarnation,
        desired="RUNNING" if state.outcome is None else "STOPPED",
        graph=job.graph,
        code=job.code,
        dependencies=job.dependencies,
        client=job.client,
        delivery=job.delivery,
        restart=job.restart,
        config=job.config,
        source_partitions=state.source_partitions or {},
        lanes={
            name: Assignment(taskmanager=lane.place.taskmanager, slot=lane.place.slot, attempt=lane.planned)
            for name, lane in state.lanes.items()
            if lane.place is not None and not ended
        },
        waiting={
            name: lane.planned
            for name, lane in state.lanes.items()
            if lane.place is None and lane.planned and not ended
        },
        outcome=state.outcome,
    )


class _Turn:
    """One event: the state while it is worked on. Thrown away when the event turns out illegal."""

    def __init__(self, state: JobState, event: Event, now_ms: int) -> None:
        self.state = state
        self._event = event
        self._now_ms = now_ms
        self._plan_changed = False
        self._effects: list[Effect] = []

    def result(self) -> tuple[JobState, list[Effect]]:
        """The plan first: a fence, an answer or a result rests on it."""
        if not self._plan_changed:
            return self.state, self._effects
        state = replace(self.state, number=self.state.number + 1)
        return state, [WritePlan(plan_of(state)), *self._effects]

    # ---- what an event says

    def take(self) -> None:
        event = self._event
        match event:
            case Started():
                self._start(event)
            case CancelRequested():
                self._cancel(event)
            case TopicsReady() | TopicsRefused():
                self._topics(event)
            case Granted():
                self._grant(event)
            case LaneStateChanged() | TaskManagerReport():
                self._report(event)
            case LaneRefused():
                self._refuse(event)
            case TaskManagerLost():
                self._lose(event)
            case TaskManagerBack():
                self.state = replace(self.state, absent=self.state.absent - {event.taskmanager})
            case LanesFenced():
                self._fenced(event)
            case Tick():
                pass
            case _:
                assert_never(event)

    def _start(self, event: Started) -> None:
        if self.state.status is not JobStatus.INITIALIZING:
            raise IllegalEventError(self.state.job.job_id, event, f"came twice, now in {self.state.status}")
        plan = event.plan
        if plan is None:
            self.state = replace(self.state, epoch=event.epoch)
            self._move(JobStatus.CREATED, "checking topics")
            self._effects.append(PrepareTopics())
            return
        lanes = {name: _adopted(lane, plan, name) for name, lane in self.state.lanes.items()}
        self.state = replace(
            self.state,
            job=replace(self.state.job, incarnation=plan.incarnation),
            epoch=event.epoch,
            lanes=lanes,
            slots={lane.slot: lane.place for lane in lanes.values() if lane.place is not None},
            source_partitions=plan.source_partitions,
        )
        self._plan_changed = True
        self._move(JobStatus.RECONCILING, "a new JobMaster takes over; nothing restarts")
        if plan.outcome is not None:
            self._stop(plan.outcome)
        if unsure := tuple(name for name, lane in lanes.items() if lane.custody is Custody.FENCING):
            self._effects.append(FenceLanes(unsure))

    def _cancel(self, event: CancelRequested) -> None:
        status = self.state.status
        if status in PLACING:
            self._stop(self._outcome(JobStatus.CANCELED, "canceled by request"))
        elif status is not JobStatus.CANCELLING:
            self._effects.append(Answer(event.request_id, False, f"the job is {status} already"))
            return
        self._effects.append(Answer(event.request_id, True))

    def _topics(self, event: TopicsReady | TopicsRefused) -> None:
        if self.state.source_partitions is not None:
            raise IllegalEventError(self.state.job.job_id, event, "came although the topics stand")
        if isinstance(event, TopicsReady):
            self.state = replace(self.state, source_partitions=event.source_partitions)
        elif self.state.status is JobStatus.CREATED:  # else the job is ending for another reason
            failure = Failure(error=f"{event.code}: {event.reason}", at_ms=self._now_ms, retryable=False)
            self.state = replace(self.state, code=event.code)
            self._stop(self._outcome(JobStatus.FAILED, failure.error, failure))

    def _grant(self, event: Granted) -> None:
        grants = event.grants
        if grants.epoch != self.state.epoch or self.state.status not in PLACING:
            return
        shunned = {place: until for place, until in self.state.shunned.items() if until > self._now_ms}
        slots = dict(self.state.slots)
        for index, text in grants.grants.items():
            place = Place.parse(text)
            if place in shunned or place.taskmanager in self.state.absent:
                continue  # the ResourceManager does not know it yet
            if int(index) < self.state.job.graph.slots:
                slots.setdefault(int(index), place)
        self.state = replace(self.state, slots=slots, shunned=shunned, offer=grants)

    def _report(self, event: LaneStateChanged | TaskManagerReport) -> None:
        lanes = heard(self.state, event)
        self.state = replace(self.state, lanes={**self.state.lanes, **lanes})
        for lane in lanes.values():
            if lane.failure is not None and self.state.status in PLACING:
                failure = lane.failure
                self.state = replace(self.state, code=failure_code(failure))
                self._stop(self._outcome(JobStatus.FAILED, failure_text(failure), failure))

    def _refuse(self, event: LaneRefused) -> None:
        lane = self.state.lanes.get(event.lane)
        place = Place(event.taskmanager, event.slot)
        if (
            lane is None
            or event.incarnation != self.state.job.incarnation
            or (lane.place, lane.planned) != (place, event.attempt)
        ):
            return  # of a plan that no longer counts
        self.state = replace(self.state, shunned={**self.state.shunned, place: self._now_ms + SHUN_MS})
        self._vacate(
            lambda other: other == place,
            f"slot {place} refused: {event.reason}",
            fence=lambda other: other.state is not LaneState.SCHEDULED,
        )

    def _lose(self, event: TaskManagerLost) -> None:
        self.state = replace(self.state, absent=self.state.absent | {event.taskmanager})
        self._vacate(
            lambda place: place.taskmanager == event.taskmanager,
            f"TaskManager {event.taskmanager} is lost",
            fence=lambda lane: True,
        )

    def _fenced(self, event: LanesFenced) -> None:
        lanes = dict(self.state.lanes)
        for name in event.lanes:
            if name not in lanes or lanes[name].custody is not Custody.FENCING:
                raise IllegalEventError(self.state.job.job_id, event, f"names {name}, which is not being fenced")
            lanes[name] = replace(lanes[name], custody=Custody.VACANT)
        self.state = replace(self.state, lanes=lanes)

    # ---- what follows from it

    def conclude(self) -> None:
        status, lanes = self.state.status, self.state.lanes.values()
        if status.ended:
            return
        if self.state.outcome is not None:
            if all(lane.settled for lane in lanes):
                self._end()
        elif status in PLACING and all(lane.finished for lane in lanes):
            if status is JobStatus.CREATED:
                self._move(JobStatus.RUNNING, "every lane runs")
            self._stop(self._outcome(JobStatus.FINISHED, "all input was read and every result committed"))
            self._end()
        elif status in STARTING and self._runs():
            self._move(JobStatus.RUNNING, "every lane runs")
        self._place_lanes()
        self._speak()

    def _runs(self) -> bool:
        """A new job runs when every lane does; an adopted one when those do that have a slot."""
        lanes = [
            lane
            for lane in self.state.lanes.values()
            if self.state.status is JobStatus.CREATED or lane.custody is Custody.PLANNED
        ]
        return all(lane.state in STARTED_LANE for lane in lanes)

    def _place_lanes(self) -> None:
        """Give every lane without a place the slot of its index; at the first start all of them or none."""
        state = self.state
        if state.status not in PLACING or state.source_partitions is None:
            return
        if state.number == 0 and state.status is JobStatus.CREATED and len(state.slots) < state.job.graph.slots:
            return
        fencing = {lane.slot for lane in state.lanes.values() if lane.custody is Custody.FENCING}
        placed = {
            name: replace(
                lane,
                custody=Custody.PLANNED,
                place=state.slots[lane.slot],
                planned=lane.planned + 1,
                local=0,
                instance="",
                state=LaneState.SCHEDULED,
                reason="",
            )
            for name, lane in state.lanes.items()
            if lane.custody is Custody.VACANT
            and not lane.finished
            and lane.slot in state.slots
            and lane.slot not in fencing
        }
        if placed:
            self.state = replace(state, lanes={**state.lanes, **placed})
            self._plan_changed = True

    def _speak(self) -> None:
        """Say what is waited for, when it has lasted or changed."""
        if self.state.status not in PLACING or waited_for(self.state) is None:
            self.state = replace(self.state, waiting=None)
            return
        waiting = self.state.waiting or Waiting(self._now_ms)
        self.state = replace(self.state, waiting=waiting)
        text = waited_for(self.state)
        assert text is not None
        due_ms = max(waiting.since_ms + WAITING_GRACE_MS, waiting.told_ms + WAITING_EVENT_MS)
        if text != waiting.told and self._now_ms >= due_ms:
            self.state = replace(self.state, waiting=replace(waiting, told=text, told_ms=self._now_ms))
            self._publish("WAITING", text)

    # ---- moves

    def _vacate(self, gone: Callable[[Place], bool], reason: str, *, fence: Callable[[Lane], bool]) -> None:
        """Take slots away, and their lanes out of the plan; a lane that may be running is to be fenced."""
        lanes, to_fence = dict(self.state.lanes), []
        for name, lane in self.state.lanes.items():
            if lane.place is None or not gone(lane.place):
                continue
            if lane.settled:
                lanes[name] = replace(lane, custody=Custody.VACANT, place=None)
            else:
                custody = Custody.FENCING if fence(lane) else Custody.VACANT
                lanes[name] = replace(lane, custody=custody, place=None, state=LaneState.SCHEDULED, reason=reason)
                if custody is Custody.FENCING:
                    to_fence.append(name)
            self._plan_changed = True
        slots = {index: place for index, place in self.state.slots.items() if not gone(place)}
        self.state = replace(self.state, lanes=lanes, slots=slots)
        if to_fence:
            self._effects.append(FenceLanes(tuple(to_fence)))

    def _outcome(self, status: JobStatus, reason: str, failure: Failure | None = None) -> JobResult:
        job = self.state.job
        started_ms = job.submitted_ms or self.state.timestamps.get(JobStatus.INITIALIZING, self._now_ms)
        return JobResult(
            job_id=job.job_id, status=status, reason=reason, failure=failure, started_ms=started_ms, ended_ms=0
        )

    def _stop(self, outcome: JobResult) -> None:
        """From now on the plan says STOPPED, and how the job will end."""
        self.state = replace(self.state, outcome=outcome)
        self._plan_changed = True
        if outcome.status is JobStatus.FAILED:
            self._move(JobStatus.FAILING, outcome.reason)
        elif outcome.status is JobStatus.CANCELED:
            self._move(JobStatus.CANCELLING, outcome.reason)

    def _end(self) -> None:
        """Everything has settled: free the slots, write the result, then clean up."""
        assert self.state.outcome is not None
        result = self.state.outcome.model_copy(update={"ended_ms": self._now_ms})
        self.state = replace(self.state, outcome=result, slots={})
        self._plan_changed = True
        self._effects.append(WriteResult(result))
        self._move(result.status, result.reason)
        if result.status is not JobStatus.FAILED:
            self._effects.append(DeleteTopics())
        self._effects.append(Done(result))

    def _move(self, status: JobStatus, reason: str) -> None:
        checked(self.state.job.job_id, self.state.status, status, self._event)
        timestamps = {**self.state.timestamps, status: self._now_ms}
        self.state = replace(self.state, status=status, timestamps=timestamps)
        self._publish("STATUS", reason)

    def _publish(self, kind: Literal["STATUS", "WAITING"], reason: str) -> None:
        state = self.state
        failed = kind == "STATUS" and state.status in (JobStatus.FAILING, JobStatus.FAILED)
        self._effects.append(
            Publish(
                JobEvent(
                    job_id=state.job.job_id,
                    type=kind,
                    status=state.status,
                    reason=reason,
                    code=state.code if failed else "",
                    failure=state.outcome.failure if failed and state.outcome else None,
                    epoch=state.epoch,
                    at_ms=self._now_ms,
                )
            )
        )


def _adopted(lane: Lane, plan: Plan, name: str) -> Lane:
    """A lane as the newest valid plan leaves it."""
    assignment = plan.lanes.get(name)
    if assignment is not None:
        return replace(
            lane,
            custody=Custody.PLANNED,
            place=Place(assignment.taskmanager, assignment.slot),
            planned=assignment.attempt,
            state=LaneState.RECONCILING,
            reason="no report yet",
        )
    last = plan.waiting.get(name, 0)
    if not last:
        return lane
    # It ran once, and whether its last process was fenced is not in the log: fence it again.
    return replace(lane, custody=Custody.FENCING, planned=last, state=LaneState.SCHEDULED)
