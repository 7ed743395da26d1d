"""Plans, and a TaskManager's core with its history."""

from __future__ import annotations

from headrace.graph.job_graph import JobGraph, Operator, OperatorKind, Vertex
from headrace.protocol.control import Assignment, LaneRefused, LaneStateChanged, Plan, TaskManagerReport
from headrace.protocol.states import LaneState
from headrace.protocol.submission import ExponentialDelay, RestartStrategy, UploadedCode
from headrace.protocol.worker_pipe import Down, LaneMoved
from headrace.taskmanager.core import step
from headrace.taskmanager.model import (
    CaughtUp,
    Effect,
    Event,
    Lane,
    PlanChanged,
    Report,
    Send,
    StartWorker,
    TaskManagerState,
    WorkerSaid,
)

JOB = "a" * 32
OTHER = "b" * 32
CODE = UploadedCode(sha256="c" * 64, offset=0, chunks=1)


def graph(lanes: int = 2) -> JobGraph:
    source = Operator(uid="s", kind=OperatorKind.COLLECTION_SOURCE, name="numbers", params={"count": 1})
    return JobGraph(vertices=(Vertex(id="v0", name="v", parallelism=lanes, lanes=lanes, operators=(source,)),))


def plan(
    places: dict[str, tuple[str, int, int]],
    *,
    job: str = JOB,
    epoch: int = 10,
    number: int = 1,
    desired: str = "RUNNING",
    code: UploadedCode | None = None,
    restart: RestartStrategy | None = None,
) -> Plan:
    """``places``: lane to (TaskManager, slot, attempt)."""
    return Plan(
        job_id=job,
        epoch=epoch,
        number=number,
        name="job",
        incarnation=1,
        desired=desired,  # type: ignore[arg-type]
        graph=graph(),
        code=code,
        delivery="exactly-once",
        restart=restart or ExponentialDelay(),
        lanes={lane: Assignment(taskmanager=tm, slot=s, attempt=a) for lane, (tm, s, a) in places.items()},
    )


def both(attempt: int = 1, **more: object) -> Plan:
    """Lanes v0/0 and v0/1 in slots 0 and 1 of tm1."""
    return plan({"v0/0": ("tm1", 0, attempt), "v0/1": ("tm1", 1, attempt)}, **more)  # type: ignore[arg-type]


class Story:
    """``tell`` steps the core; ``effects`` are those of the last step."""

    def __init__(self, slots: int = 2) -> None:
        self.state = TaskManagerState("tm1", "i1", slots)
        self.now_ms = 100_000
        self.effects: list[Effect] = []

    def tell(self, event: Event, *, after_ms: int = 1) -> list[Effect]:
        self.now_ms += after_ms
        self.state, self.effects = step(self.state, event, self.now_ms)
        return self.effects

    def fresh(self) -> Story:
        self.tell(CaughtUp())
        return self

    def planned(self, plan: Plan) -> Story:
        self.fresh()
        self.tell(PlanChanged(plan.job_id, plan))
        return self

    def running(self, plan: Plan) -> Story:
        self.planned(plan)
        for lane in list(self.state.lanes.values()):
            self.say(lane.name, LaneState.RUNNING, job=lane.job)
        return self

    # ---- questions

    def lane(self, name: str, job: str = JOB) -> Lane:
        return self.state.lanes[job, name]

    def serial(self, name: str, job: str = JOB) -> int:
        worker = self.lane(name, job).worker
        assert worker is not None
        return worker

    def worker_in(self, slot: int) -> int | None:
        return next((w.serial for w in self.state.workers.values() if w.slot == slot), None)

    # ---- what happened in the last step

    @property
    def sent(self) -> list[tuple[int, Down]]:
        return [(effect.serial, effect.message) for effect in self.effects if isinstance(effect, Send)]

    @property
    def started(self) -> list[int]:
        return [effect.slot for effect in self.effects if isinstance(effect, StartWorker)]

    @property
    def reports(self) -> list[LaneStateChanged | LaneRefused | TaskManagerReport]:
        return [effect.event for effect in self.effects if isinstance(effect, Report)]

    @property
    def moves(self) -> list[tuple[str, str, str]]:
        """(lane, attempt, state) of every state change reported in the last step."""
        return [(r.lane, r.attempt, str(r.state)) for r in self.reports if isinstance(r, LaneStateChanged)]

    # ---- what workers say

    def say(
        self,
        name: str,
        state: LaneState,
        *,
        attempt: str = "",
        job: str = JOB,
        serial: int = 0,
        user: bool = True,
        retryable: bool = True,
        committed: bool = False,
        after_ms: int = 1,
    ) -> list[Effect]:
        message = LaneMoved(
            name,
            attempt or str(self.lane(name, job).attempt),
            state,
            error="ValueError: no" if state is LaneState.FAILED else "",
            user=user,
            retryable=retryable,
            committed=committed,
        )
        return self.tell(WorkerSaid(serial or self.serial(name, job), message), after_ms=after_ms)
