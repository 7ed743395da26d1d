"""From desired state to running workers: what follows, whatever the event was.

    retire     lanes that the plan no longer wants here are stopped; what has ended is forgotten
    admit      lanes that the plan wants here get an entry, or are refused: no such slot, or another job's
    start      every entry gets its job's environment, its slot's worker, its code, then runs; only on fresh plans
    dismiss    a worker without lanes is told to exit
    enforce    silent workers and lanes that do not stop are killed with their process

Each part looks at the state alone, so that a restart, a new plan, a death and the passing of time are one path.

Pure: no I/O.
"""

from __future__ import annotations

from dataclasses import replace

from headrace.protocol.attempt import Attempt
from headrace.protocol.control import Assignment, Failure, LaneRefused, Plan
from headrace.protocol.states import LaneState
from headrace.protocol.worker_pipe import Exit, LaneTask, StartLane, StopLane
from headrace.taskmanager.draft import Draft
from headrace.taskmanager.model import (
    BASE,
    ENDED_LANE,
    HELD,
    CatchUp,
    Deaths,
    Desired,
    Environment,
    FetchCode,
    Freshness,
    Lane,
    PrepareEnvironment,
    Report,
    StartWorker,
    Worker,
    WorkerPhase,
)

#: A worker that says nothing for so long is killed.
SILENT_MS = 10_000
#: The first word of a new worker may take longer: it imports everything first.
FIRST_WORD_MS = 30_000
#: A lane told to stop that has not is killed with its worker: it may sit in user code for ever.
STOP_MS = 10_000
#: A worker told to exit is killed after this.
EXIT_MS = 5_000
#: A worker that lived this long was useful, with commits or without.
USEFUL_MS = 10_000


def reconcile(draft: Draft) -> None:
    _retire(draft)
    _admit(draft)
    if draft.freshness is Freshness.FRESH and not draft.leaving:
        _start(draft)
    _dismiss(draft)
    _enforce(draft)


def slept(draft: Draft) -> None:
    """This process did not run for a while: nothing that it did not hear says anything, plans may have moved."""
    draft.workers = {
        serial: replace(worker, heard_by_ms=max(worker.heard_by_ms, draft.now_ms + SILENT_MS))
        for serial, worker in draft.workers.items()
    }
    draft.lanes = {
        key: replace(lane, stop_ms=draft.now_ms + STOP_MS) if lane.state is LaneState.CANCELING else lane
        for key, lane in draft.lanes.items()
    }
    if draft.freshness is Freshness.FRESH:
        draft.freshness = Freshness.STALE
        draft.effects.append(CatchUp())


# ---- retire


def _retire(draft: Draft) -> None:
    for lane in list(draft.lanes.values()):
        if draft.wanted(lane):
            continue
        if lane.state in ENDED_LANE:
            if not draft.listed(lane):
                del draft.lanes[lane.key]
        elif lane.state is LaneState.SCHEDULED:
            draft.move(lane, LaneState.CANCELED, "not started")
            if not draft.listed(lane):
                del draft.lanes[lane.key]
        elif lane.state is not LaneState.CANCELING:
            assert lane.worker is not None
            draft.send(lane.worker, StopLane(lane.name, str(lane.attempt)))
            draft.move(lane, LaneState.CANCELING, "stopping as planned", stop_ms=draft.now_ms + STOP_MS)
    for key, refusal in list(draft.refused.items()):
        desired = draft.jobs.get(refusal.job_id)
        at = desired.plan.lanes.get(refusal.lane) if desired else None
        if at is None or at.attempt != refusal.attempt:
            del draft.refused[key]
    for job_id, desired in list(draft.jobs.items()):
        mine = any(at.taskmanager == draft.base.id for at in desired.plan.lanes.values())
        if not mine and not any(lane.job == job_id for lane in draft.lanes.values()):
            del draft.jobs[job_id]
    needed = {desired.plan.code.sha256 for desired in draft.jobs.values() if desired.plan.code}
    draft.code = {sha256: path for sha256, path in draft.code.items() if sha256 in needed}
    needed = {desired.plan.dependencies.sha256 for desired in draft.jobs.values() if desired.plan.dependencies}
    draft.environments = {sha256: env for sha256, env in draft.environments.items() if sha256 in needed}


# ---- admit


def _admit(draft: Draft) -> None:
    for job_id, desired in draft.jobs.items():
        for name, at in desired.plan.lanes.items():
            if at.taskmanager == draft.base.id and (job_id, name) not in draft.lanes:
                _admit_lane(draft, desired.plan, name, at)


def _admit_lane(draft: Draft, plan: Plan, name: str, at: Assignment) -> None:
    lane = Lane(plan.job_id, name, plan.incarnation, at.slot, Attempt(at.attempt, 0))
    if plan.desired == "STOPPED":
        # After a restart of this TaskManager: nothing of it runs here, and the JobMaster waits to hear so.
        draft.lanes[lane.key] = lane
        draft.move(lane, LaneState.CANCELED, "does not run")
        return
    if lane.key in draft.refused:
        return
    reason = _no_room(draft, lane)
    if reason is None:
        draft.lanes[lane.key] = lane
        return
    refusal = LaneRefused(
        job_id=plan.job_id,
        incarnation=plan.incarnation,
        epoch=plan.epoch,
        lane=name,
        attempt=at.attempt,
        taskmanager=draft.base.id,
        slot=at.slot,
        reason=reason,
        at_ms=0,
    )
    draft.refused[lane.key] = refusal
    draft.effects.append(Report(refusal))


def _no_room(draft: Draft, lane: Lane) -> str | None:
    if not 0 <= lane.slot < draft.base.slots:
        return f"no slot {lane.slot}: this TaskManager has {draft.base.slots}"
    for other in draft.lanes.values():
        if other.slot == lane.slot and other.job != lane.job and draft.wanted(other):
            return f"slot {lane.slot} runs job {other.job}"
    return None


# ---- start


def _start(draft: Draft) -> None:
    for lane in sorted(draft.lanes.values(), key=lambda lane: (lane.slot, lane.key)):
        if lane.state is not LaneState.SCHEDULED or lane.start_ms > draft.now_ms:
            continue
        desired = draft.jobs[lane.job]
        if (wrong := _other_python(draft, desired.plan)) is not None:
            failure = Failure(error=wrong, lane=lane.name, user=True, retryable=False, code="python-version")
            draft.move(lane, LaneState.FAILED, wrong, failure=failure)
            continue
        environment = _environment(draft, desired)
        if environment is None:
            continue
        worker = draft.worker_of(lane.slot) or _start_worker(draft, lane, environment)
        if worker is None or worker.phase is not WorkerPhase.UP or worker.job != lane.job:
            continue  # a back-off, or a worker that is on its way out
        path = _code_path(draft, desired)
        if path is None:
            continue
        draft.send(worker.serial, StartLane(_task(desired, lane, path, environment)))
        draft.move(lane, LaneState.DEPLOYING, worker=worker.serial)


def _other_python(draft: Draft, plan: Plan) -> str | None:
    """Why this Python cannot load the job's code, None when it can: bytecode is of one minor version."""
    ours, theirs = draft.base.python, plan.client.python
    if plan.code is None or not ours or not theirs or ours.split(".")[:2] == theirs.split(".")[:2]:
        return None
    minor = ".".join(ours.split(".")[:2])
    return (
        f"python-version: the job was submitted with Python {theirs} and TaskManager {draft.base.id} runs Python "
        f"{ours}, which cannot load its code - submit with Python {minor}, or run TaskManagers on the script's"
    )


def _environment(draft: Draft, desired: Desired) -> Environment | None:
    """Where the job's workers run; None while it is prepared."""
    dependencies = desired.plan.dependencies
    if dependencies is None:
        return BASE
    if dependencies.sha256 not in draft.environments:
        draft.environments[dependencies.sha256] = None
        draft.effects.append(PrepareEnvironment(dependencies))
    return draft.environments[dependencies.sha256]


def _start_worker(draft: Draft, lane: Lane, environment: Environment) -> Worker | None:
    if draft.deaths.get(lane.slot, Deaths()).start_ms > draft.now_ms:
        return None
    draft.serial += 1
    worker = Worker(
        draft.serial,
        lane.slot,
        lane.job,
        heard_by_ms=draft.now_ms + FIRST_WORD_MS,
        useful_ms=draft.now_ms + USEFUL_MS,
    )
    draft.workers[worker.serial] = worker
    draft.effects.append(StartWorker(worker.serial, worker.slot, worker.job, environment.python))
    return worker


def _code_path(draft: Draft, desired: Desired) -> str | None:
    """The local file of the job's code, "" for a job without; None while it is fetched."""
    code = desired.plan.code
    if code is None:
        return ""
    if code.sha256 not in draft.code:
        draft.code[code.sha256] = None
        draft.effects.append(FetchCode(code))
    return draft.code[code.sha256]


def _task(desired: Desired, lane: Lane, code: str, environment: Environment) -> LaneTask:
    plan = desired.plan
    return LaneTask(
        job=plan.job_id,
        name=plan.name,
        incarnation=plan.incarnation,
        lane=lane.name,
        attempt=str(lane.attempt),
        graph=desired.graph,
        code=code,
        delivery=plan.delivery,
        config=plan.config,
        source_partitions=plan.source_partitions,
        paths=list(environment.paths),
        packages=plan.client.packages,
    )


# ---- dismiss


def _dismiss(draft: Draft) -> None:
    for worker in list(draft.workers.values()):
        if worker.phase is not WorkerPhase.UP:
            continue
        if draft.leaving or not any(_needs(lane, worker) for lane in draft.lanes.values()):
            draft.workers[worker.serial] = replace(
                worker, phase=WorkerPhase.LEAVING, heard_by_ms=draft.now_ms + EXIT_MS
            )
            draft.send(worker.serial, Exit())
            draft.deaths.pop(worker.slot, None)


def _needs(lane: Lane, worker: Worker) -> bool:
    if lane.state in HELD:
        return lane.worker == worker.serial
    return lane.state is LaneState.SCHEDULED and (lane.slot, lane.job) == (worker.slot, worker.job)


# ---- enforce


def _enforce(draft: Draft) -> None:
    for worker in list(draft.workers.values()):
        if worker.phase is WorkerPhase.KILLED:
            continue
        if draft.now_ms >= worker.heard_by_ms:
            silent = worker.phase is WorkerPhase.UP
            draft.kill(worker, "silent" if silent else "did not exit")
            continue
        for lane in draft.held_by(worker.serial):
            if lane.state is LaneState.CANCELING and draft.now_ms >= lane.stop_ms:
                draft.kill(worker, f"lane {lane.name} did not stop within {STOP_MS // 1000} s")
                break
