"""The next state of a TaskManager while one event is worked on; thrown away when the event turns out illegal.

Every move of a lane passes ``move``, which knows the legal edges and reports the move.

    SCHEDULED ─► DEPLOYING ─► INITIALIZING ─► RUNNING ─► FINISHED
        ▲            └──────────────┴────────────┴─────► FAILED ─► SCHEDULED   next local attempt
        │                                        └─────► CANCELING ─► CANCELED or FINISHED
        └── a lane that is not held by a worker goes to CANCELED, or to FAILED for good, at once

Pure: no I/O.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from headrace.protocol.attempt import Attempt
from headrace.protocol.control import Failure, LaneStateChanged, LaneStatus, TaskManagerReport
from headrace.protocol.states import LaneState
from headrace.protocol.worker_pipe import Down
from headrace.taskmanager.model import (
    HELD,
    Effect,
    KillWorker,
    Lane,
    Report,
    Send,
    TaskManagerState,
    Worker,
    WorkerPhase,
)

S = LaneState
EDGES: dict[LaneState, frozenset[LaneState]] = {
    S.SCHEDULED: frozenset({S.DEPLOYING, S.CANCELED, S.FAILED}),
    S.DEPLOYING: frozenset({S.INITIALIZING, S.RUNNING, S.FINISHED, S.FAILED, S.CANCELING, S.CANCELED}),
    S.INITIALIZING: frozenset({S.RUNNING, S.FINISHED, S.FAILED, S.CANCELING, S.CANCELED}),
    S.RUNNING: frozenset({S.INITIALIZING, S.FINISHED, S.FAILED, S.CANCELING, S.CANCELED}),
    S.CANCELING: frozenset({S.CANCELED, S.FINISHED}),
    S.FAILED: frozenset(),  # restarting makes a new attempt
    S.FINISHED: frozenset(),
    S.CANCELED: frozenset(),
}


class IllegalEventError(Exception):
    """An event that cannot happen in this state. Nothing was changed."""


class Draft:
    """A working copy; ``done`` gives the state, ``effects`` what is to be done."""

    def __init__(self, state: TaskManagerState, event: object, now_ms: int) -> None:
        self.base = state
        self.event = event
        self.now_ms = now_ms
        self.jobs = dict(state.jobs)
        self.lanes = dict(state.lanes)
        self.workers = dict(state.workers)
        self.deaths = dict(state.deaths)
        self.refused = dict(state.refused)
        self.code = dict(state.code)
        self.environments = dict(state.environments)
        self.freshness = state.freshness
        self.leaving = state.leaving
        self.serial = state.serial
        self.ticked_ms = state.ticked_ms
        self.effects: list[Effect] = []

    def done(self) -> TaskManagerState:
        return replace(
            self.base,
            jobs=self.jobs,
            lanes=self.lanes,
            workers=self.workers,
            deaths=self.deaths,
            refused=self.refused,
            code=self.code,
            environments=self.environments,
            freshness=self.freshness,
            leaving=self.leaving,
            serial=self.serial,
            ticked_ms=self.ticked_ms,
        )

    # ---- questions

    def wanted(self, lane: Lane) -> bool:
        """The plan that counts wants exactly this attempt to run here."""
        desired = self.jobs.get(lane.job)
        return desired is not None and desired.plan.desired == "RUNNING" and self.listed(lane)

    def listed(self, lane: Lane) -> bool:
        """The plan that counts gives exactly this attempt to this TaskManager, running or stopped."""
        desired = self.jobs.get(lane.job)
        if desired is None or desired.plan.incarnation != lane.incarnation:
            return False
        at = desired.plan.lanes.get(lane.name)
        return at is not None and (at.taskmanager, at.slot, at.attempt) == (
            self.base.id,
            lane.slot,
            lane.attempt.planned,
        )

    def worker_of(self, slot: int) -> Worker | None:
        return next((worker for worker in self.workers.values() if worker.slot == slot), None)

    def held_by(self, serial: int) -> list[Lane]:
        return [lane for lane in self.lanes.values() if lane.worker == serial]

    def illegal(self, story: str) -> IllegalEventError:
        return IllegalEventError(f"{type(self.event).__name__}: {story}; event: {self.event}")

    # ---- changes

    def move(
        self, lane: Lane, state: LaneState, reason: str = "", *, told: Failure | None = None, **changes: Any
    ) -> None:
        """Take a lane along one edge and report it, with the failure that was the cause if there was one."""
        if state not in EDGES[lane.state]:
            raise self.illegal(f"lane {lane.name} {lane.attempt} of job {lane.job} would go {lane.state} to {state}")
        if state not in HELD:
            changes["worker"] = None
        moved = replace(lane, state=state, reason=reason, **changes)
        self.lanes[lane.key] = moved
        self.report(moved, told or moved.failure)

    def restart(self, lane: Lane, reason: str, told: Failure, **changes: Any) -> None:
        """The attempt has failed; the next local one follows."""
        self.move(lane, LaneState.FAILED, reason, told=told)
        self.lanes[lane.key] = replace(
            self.lanes[lane.key],
            attempt=Attempt(lane.attempt.planned, lane.attempt.local + 1),
            state=LaneState.SCHEDULED,
            **changes,
        )

    def send(self, serial: int, message: Down) -> None:
        self.effects.append(Send(serial, message))

    def kill(self, worker: Worker, reason: str) -> None:
        self.workers[worker.serial] = replace(worker, phase=WorkerPhase.KILLED, why=reason)
        self.effects.append(KillWorker(worker.serial, reason))

    # ---- reports

    def report(self, lane: Lane, failure: Failure | None = None) -> None:
        """Where a lane stands. ``failure`` of a lane that is not to be started again is fatal for its job."""
        desired = self.jobs.get(lane.job)
        self.effects.append(
            Report(
                LaneStateChanged(
                    job_id=lane.job,
                    incarnation=lane.incarnation,
                    epoch=desired.plan.epoch if desired else -1,
                    lane=lane.name,
                    attempt=str(lane.attempt),
                    taskmanager=self.base.id,
                    instance=self.base.instance,
                    state=lane.state,
                    reason=lane.reason,
                    failure=failure,
                    fatal=lane.failure is not None,
                    at_ms=0,
                )
            )
        )

    def report_all(self, job_id: str, epoch: int) -> None:
        """Everything about one job: its lanes, failures for good and refusals again."""
        lanes = [lane for lane in self.lanes.values() if lane.job == job_id]
        if lanes:
            self.effects.append(
                Report(
                    TaskManagerReport(
                        job_id=job_id,
                        incarnation=lanes[0].incarnation,
                        epoch=epoch,
                        taskmanager=self.base.id,
                        instance=self.base.instance,
                        lanes={lane.name: status_of(lane) for lane in lanes},
                        at_ms=0,
                    )
                )
            )
        for lane in lanes:
            if lane.failure is not None:
                self.report(lane, lane.failure)
        self.effects += [Report(refusal) for (job, _), refusal in self.refused.items() if job == job_id]


def status_of(lane: Lane) -> LaneStatus:
    return LaneStatus(attempt=str(lane.attempt), state=lane.state, reason=lane.reason)
