"""The TaskManager's rules: ``step(state, event, now_ms) -> (state, effects)``.

An event changes what is known (here); what follows from it is drawn from the whole (``reconcile``).

Workers are restarted by this TaskManager alone: a process that died, or an exception in user code, becomes the
next local attempt "n.m" of the same planned attempt. Only the restart strategy of the plan, or a failure that
cannot be cured by trying again, ends a lane for good; the JobMaster then fails the job.

Pure: no I/O.
"""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from headrace.protocol.attempt import Attempt
from headrace.protocol.control import Failure
from headrace.protocol.states import LaneState
from headrace.protocol.submission import ExponentialDelay, FixedDelay, RestartStrategy
from headrace.protocol.worker_pipe import LaneFenced, LaneMoved, ResumeLane
from headrace.taskmanager.draft import Draft, IllegalEventError
from headrace.taskmanager.model import (
    HELD,
    CaughtUp,
    CodeDelayed,
    CodeMissing,
    CodeReady,
    Deaths,
    Desired,
    Effect,
    EnvironmentDelayed,
    EnvironmentFailed,
    EnvironmentReady,
    Event,
    Freshness,
    Lane,
    LaneCommitted,
    Leave,
    NewClaim,
    PlanChanged,
    PlansReread,
    RereadPlans,
    TaskManagerState,
    Tick,
    Worker,
    WorkerBeat,
    WorkerExited,
    WorkerPhase,
    WorkerSaid,
)
from headrace.taskmanager.reconcile import SILENT_MS, reconcile, slept
from headrace.taskmanager.restart import death_delay_ms, failure_delay_ms

__all__ = ["IllegalEventError", "step"]

#: Ticks further apart than this mean that the process slept.
SLEPT_MS = 3_000
#: Failures travel in task events, plans and results: one of any length would not fit into a Kafka message.
ERROR_CHARS_MAX = 2_000
TRACEBACK_CHARS_MAX = 20_000


def step(state: TaskManagerState, event: Event, now_ms: int) -> tuple[TaskManagerState, list[Effect]]:
    """The next state and what is to be done. Raises IllegalEventError, having changed nothing."""
    draft = Draft(state, event, now_ms)
    _take(draft, event)
    reconcile(draft)
    return draft.done(), draft.effects


def occupied(state: TaskManagerState) -> dict[str, str]:
    """Slot number to job id, for every slot that a job uses or has not quite left."""
    draft = Draft(state, None, 0)
    lanes = {str(lane.slot): lane.job for lane in state.lanes.values() if draft.wanted(lane)}
    return {str(worker.slot): worker.job for worker in state.workers.values()} | lanes


def _take(draft: Draft, event: Event) -> None:
    match event:
        case PlanChanged():
            _plan(draft, event)
        case NewClaim():
            draft.report_all(event.job_id, event.epoch)
        case CaughtUp():
            draft.freshness = Freshness.FRESH
        case PlansReread():
            _reread(draft, event)
        case WorkerSaid():
            worker = _heard(draft, event.serial)
            if isinstance(event.message, LaneMoved):
                _moved(draft, worker, event.message)
            else:
                _fenced(draft, worker, event.message)
        case WorkerBeat():
            _heard(draft, event.serial)
        case LaneCommitted():
            _committed(draft, event)
        case WorkerExited():
            _exited(draft, event)
        case CodeReady():
            draft.code[event.sha256] = event.path
        case CodeDelayed():
            for lane in _waiting_for(draft, event.sha256):
                draft.lanes[lane.key] = replace(lane, reason=event.error)
                draft.report(draft.lanes[lane.key])
        case CodeMissing():
            _no_code(draft, event)
        case EnvironmentReady():
            draft.environments[event.sha256] = event.environment
        case EnvironmentDelayed():
            for lane in _waiting_for_environment(draft, event.sha256):
                draft.lanes[lane.key] = replace(lane, reason=event.reason)
                draft.report(draft.lanes[lane.key])
        case EnvironmentFailed():
            _no_environment(draft, event)
        case Tick():
            if draft.ticked_ms and draft.now_ms - draft.ticked_ms > SLEPT_MS:
                slept(draft)
            draft.ticked_ms = draft.now_ms
        case Leave():
            draft.leaving = True
        case _:
            assert_never(event)


def _plan(draft: Draft, event: PlanChanged) -> None:
    if event.plan is None:
        draft.jobs.pop(event.job_id, None)
        return
    before = draft.jobs.get(event.job_id)
    same = before is not None and before.plan.graph == event.plan.graph
    graph = before.graph if before and same else event.plan.graph.model_dump_json().encode()
    draft.jobs[event.job_id] = Desired(event.plan, graph)


# ---- workers


def _heard(draft: Draft, serial: int) -> Worker:
    worker = draft.workers.get(serial)
    if worker is None:
        raise draft.illegal(f"there is no worker {serial}")
    if worker.phase is WorkerPhase.UP:
        worker = draft.workers[serial] = replace(worker, heard_by_ms=draft.now_ms + SILENT_MS)
    return worker


def _exited(draft: Draft, event: WorkerExited) -> None:
    """The process is gone: its lanes start again in a new one, unless they were stopping anyway."""
    worker = draft.workers.pop(event.serial, None)
    if worker is None:
        raise draft.illegal(f"there is no worker {event.serial}")
    how = f"{event.how} ({worker.why})" if worker.phase is WorkerPhase.KILLED else event.how
    if worker.phase is not WorkerPhase.LEAVING:
        before = draft.deaths.get(worker.slot, Deaths()).count
        count = 1 if draft.now_ms >= worker.useful_ms else before + 1
        _look_again(draft, worker.job)
        draft.deaths[worker.slot] = Deaths(count, draft.now_ms + death_delay_ms(count))
    for lane in draft.held_by(event.serial):
        if lane.state is LaneState.CANCELING or draft.leaving:
            draft.move(lane, LaneState.CANCELED, f"its slot worker ended: {how}")
            continue
        reason = f"slot worker died: {how}"
        failure = Failure(error=reason, traceback=event.output, lane=lane.name)
        draft.restart(lane, reason, failure)


# ---- lanes


def _lane(draft: Draft, worker: Worker, name: str, attempt: str) -> Lane | None:
    """The lane that a worker speaks of; None when what it says is overtaken."""
    lane = draft.lanes.get((worker.job, name))
    said = Attempt.parse(attempt)
    if lane is None or lane.attempt > said or (lane.attempt == said and lane.worker != worker.serial):
        return None
    if lane.attempt != said:
        raise draft.illegal(f"attempt {attempt} of lane {name} was never started, {lane.attempt} was")
    return lane


def _moved(draft: Draft, worker: Worker, message: LaneMoved) -> None:
    lane = _lane(draft, worker, message.lane, message.attempt)
    if lane is None:
        return
    state = LaneState(message.state)
    stopping = lane.state is LaneState.CANCELING
    if state in (LaneState.INITIALIZING, LaneState.RUNNING):
        if not stopping and state is not lane.state:
            draft.move(lane, state, message.reason)
    elif state is LaneState.FINISHED:
        draft.move(lane, state, message.reason)
    elif state is LaneState.CANCELED:
        if not stopping and not draft.leaving:
            raise draft.illegal(f"lane {lane.name} {lane.attempt} stopped and nobody had asked")
        draft.move(lane, state, message.reason)
    elif state is not LaneState.FAILED:
        raise draft.illegal(f"a worker does not decide that a lane is {state}")
    elif stopping:
        draft.move(lane, LaneState.CANCELED, f"failed while stopping: {message.error}")
    else:
        _failed(draft, lane, message)


def _failed(draft: Draft, lane: Lane, message: LaneMoved) -> None:
    failure = Failure(
        error=_shortened(message.error or message.reason, ERROR_CHARS_MAX),
        traceback=_shortened(message.traceback, TRACEBACK_CHARS_MAX),
        user=message.user,
        lane=lane.name,
        retryable=message.retryable,
        code=message.code,
    )
    if message.committed:
        lane = replace(lane, failures=0, troubles=0)
    if not message.retryable:
        _fail_for_good(draft, lane, failure, "trying again cannot help")
        return
    if message.user:
        strategy = draft.jobs[lane.job].plan.restart if lane.job in draft.jobs else ExponentialDelay()
        counts = {"failures": lane.failures + 1}
        delay_ms = failure_delay_ms(strategy, lane.failures + 1)
        if delay_ms is None:
            _fail_for_good(draft, lane, failure, _exhausted(strategy, lane.failures + 1))
            return
    else:  # of the engine or of Kafka: no verdict on the job, tried again for ever
        counts = {"troubles": lane.troubles + 1}
        delay_ms = death_delay_ms(lane.troubles + 1)
    reason = f"restarting{f' in {delay_ms / 1000:g} s' if delay_ms else ''} after {failure.error}"
    draft.restart(lane, reason, failure, start_ms=draft.now_ms + delay_ms, **counts)


def _shortened(text: str, chars_max: int) -> str:
    """The beginning, with the user's first frame, and the end, with the exception."""
    if len(text) <= chars_max:
        return text
    half = chars_max // 2
    return f"{text[:half]}\n... {len(text) - 2 * half} characters left out ...\n{text[-half:]}"


def _fail_for_good(draft: Draft, lane: Lane, failure: Failure, why: str) -> None:
    final = failure.model_copy(update={"retryable": False})
    draft.move(lane, LaneState.FAILED, f"{why}: {failure.error}", failure=final)


def _exhausted(strategy: RestartStrategy, failures: int) -> str:
    if not isinstance(strategy, FixedDelay | ExponentialDelay):
        return "the restart strategy is none"
    return f"{failures} failure{'' if failures == 1 else 's'} with no commit between"


def _committed(draft: Draft, event: LaneCommitted) -> None:
    worker = _heard(draft, event.serial)
    draft.workers[worker.serial] = replace(worker, useful_ms=0)
    lane = _lane(draft, worker, event.lane, event.attempt)
    if lane is not None:
        draft.lanes[lane.key] = replace(lane, failures=0, troubles=0)


def _fenced(draft: Draft, worker: Worker, message: LaneFenced) -> None:
    """Somebody else initialised the lane's id: whose it is, the plans say, once read to their end."""
    lane = _lane(draft, worker, message.lane, message.attempt)
    if lane is not None and lane.state is not LaneState.CANCELING:
        draft.effects.append(RereadPlans(worker.serial, worker.job, message.lane, message.attempt))


def _reread(draft: Draft, event: PlansReread) -> None:
    """If the lane is not ours any more, StopLane is on its way already."""
    lane = draft.lanes.get((event.job_id, event.lane))
    if (
        lane is not None
        and (lane.worker, str(lane.attempt)) == (event.serial, event.attempt)
        and lane.state in HELD
        and draft.wanted(lane)
    ):
        draft.send(event.serial, ResumeLane(event.lane, event.attempt))


def _no_code(draft: Draft, event: CodeMissing) -> None:
    draft.code.pop(event.sha256, None)
    for lane in _waiting_for(draft, event.sha256):
        failure = Failure(error=f"code-missing: {event.error}", lane=lane.name, retryable=False, code="code-missing")
        draft.move(lane, LaneState.FAILED, failure.error, failure=failure)


def _look_again(draft: Draft, job_id: str) -> None:
    """The next worker of a job finds its environment anew: it may have been removed from the disk."""
    desired = draft.jobs.get(job_id)
    if desired is not None and desired.plan.dependencies is not None:
        sha256 = desired.plan.dependencies.sha256
        if draft.environments.get(sha256) is not None:
            del draft.environments[sha256]


def _no_environment(draft: Draft, event: EnvironmentFailed) -> None:
    draft.environments.pop(event.sha256, None)
    for lane in _waiting_for_environment(draft, event.sha256):
        error, code = _shortened(event.error, ERROR_CHARS_MAX), event.error.partition(": ")[0]
        failure = Failure(error=error, lane=lane.name, user=True, retryable=False, code=code)
        draft.move(lane, LaneState.FAILED, failure.error, failure=failure)


def _waiting_for_environment(draft: Draft, sha256: str) -> list[Lane]:
    """Lanes that are to start once these dependencies are there."""
    jobs = {
        job_id
        for job_id, at in draft.jobs.items()
        if at.plan.dependencies is not None and at.plan.dependencies.sha256 == sha256
    }
    return [lane for lane in draft.lanes.values() if lane.state is LaneState.SCHEDULED and lane.job in jobs]


def _waiting_for(draft: Draft, sha256: str) -> list[Lane]:
    """Lanes that are to start with this code package."""
    jobs = {job_id for job_id, at in draft.jobs.items() if at.plan.code is not None and at.plan.code.sha256 == sha256}
    return [lane for lane in draft.lanes.values() if lane.state is LaneState.SCHEDULED and lane.job in jobs]
