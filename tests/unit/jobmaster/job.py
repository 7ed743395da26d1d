"""A small job and short names for what happens to it."""

from __future__ import annotations

from headrace.graph.job_graph import Edge, JobGraph, Operator, OperatorKind, Ship, Vertex
from headrace.jobmaster.core import step
from headrace.jobmaster.model import (
    Effect,
    Event,
    Granted,
    Job,
    JobState,
    Publish,
    Started,
    TopicsReady,
    WritePlan,
)
from headrace.protocol.control import (
    Failure,
    JobEvent,
    LaneRefused,
    LaneStateChanged,
    LaneStatus,
    Plan,
    SlotGrants,
    TaskManagerReport,
)
from headrace.protocol.states import JobStatus, LaneState
from headrace.protocol.submission import ExponentialDelay

JOB_ID = "0123456789abcdef0123456789abcdef"
EPOCH = 10
SOURCES = {"read": {"bids": 4}}


def graph(parallelism: int = 2) -> JobGraph:
    """bids ─hash► v1 ─► results, ``parallelism`` lanes each."""
    return JobGraph(
        vertices=(
            Vertex(
                id="v0",
                name="read",
                parallelism=parallelism,
                lanes=parallelism,
                operators=(
                    Operator(uid="read", kind=OperatorKind.KAFKA_SOURCE, name="bids", params={"topics": ["bids"]}),
                ),
            ),
            Vertex(
                id="v1",
                name="write",
                parallelism=parallelism,
                lanes=parallelism,
                operators=(
                    Operator(uid="sum", kind=OperatorKind.REDUCE, name="sum", functions={"reduce": "f"}),
                    Operator(
                        uid="write", kind=OperatorKind.KAFKA_SINK, name="out", input=0, params={"topic": "results"}
                    ),
                ),
            ),
        ),
        edges=(Edge(id="e0", source="v0", operator=0, target="v1", ship=Ship.HASH, key="k"),),
    )


def job(parallelism: int = 2) -> Job:
    return Job(JOB_ID, "bids", graph(parallelism), None, "exactly-once", ExponentialDelay(), {}, "d1", 500)


class Story:
    """A JobMaster's core with its history: ``tell`` steps it, ``effects`` are those of the last step."""

    def __init__(self, parallelism: int = 2) -> None:
        self.state = JobState.of(job(parallelism), 1000)
        self.now_ms = 1000
        self.effects: list[Effect] = []
        self.plans: list[Plan] = []
        self.events: list[JobEvent] = []

    def tell(self, event: Event, *, after_ms: int = 1) -> list[Effect]:
        self.now_ms += after_ms
        self.state, self.effects = step(self.state, event, self.now_ms)
        self.plans += [effect.plan for effect in self.effects if isinstance(effect, WritePlan)]
        self.events += [effect.event for effect in self.effects if isinstance(effect, Publish)]
        return self.effects

    @property
    def plan(self) -> Plan:
        return self.plans[-1]

    @property
    def statuses(self) -> list[JobStatus | None]:
        return [event.status for event in self.events if event.type == "STATUS"]

    @property
    def lanes(self) -> list[str]:
        return list(self.state.lanes)

    # ---- the usual beginnings

    def created(self) -> Story:
        self.tell(Started(EPOCH, None))
        self.tell(TopicsReady(SOURCES))
        return self

    def planned(self, *places: str) -> Story:
        """All slots granted: by default both on one TaskManager."""
        self.created()
        self.tell(grants(*(places or ("tm1/0", "tm1/1"))))
        return self

    def running(self, *places: str) -> Story:
        self.planned(*places)
        for lane in self.lanes:
            self.tell(self.moved(lane, LaneState.RUNNING))
        return self

    # ---- what TaskManagers say

    def moved(
        self,
        lane: str,
        state: LaneState,
        *,
        attempt: str = "",
        instance: str = "i1",
        taskmanager: str = "",
        fatal: bool = False,
    ) -> LaneStateChanged:
        """By default about the attempt and the TaskManager of the newest plan."""
        assignment = self.plan.lanes.get(lane)
        return LaneStateChanged(
            job_id=JOB_ID,
            incarnation=1,
            epoch=self.plan.epoch,
            lane=lane,
            attempt=attempt or f"{assignment.attempt if assignment else 1}.0",
            taskmanager=taskmanager or (assignment.taskmanager if assignment else "tm1"),
            instance=instance,
            state=state,
            failure=Failure(error="ValueError: no", user=True, lane=lane) if fatal else None,
            fatal=fatal,
            at_ms=self.now_ms,
        )

    def refused(self, lane: str, *, attempt: int = 0) -> LaneRefused:
        assignment = self.plan.lanes[lane]
        return LaneRefused(
            job_id=JOB_ID,
            incarnation=1,
            epoch=self.plan.epoch,
            lane=lane,
            attempt=attempt or assignment.attempt,
            taskmanager=assignment.taskmanager,
            slot=assignment.slot,
            reason="it runs another job",
            at_ms=self.now_ms,
        )

    def report(self, taskmanager: str, lanes: dict[str, tuple[str, LaneState]]) -> TaskManagerReport:
        return TaskManagerReport(
            job_id=JOB_ID,
            incarnation=1,
            epoch=self.state.epoch,
            taskmanager=taskmanager,
            instance="i1",
            lanes={name: LaneStatus(attempt=attempt, state=state) for name, (attempt, state) in lanes.items()},
            at_ms=self.now_ms,
        )


def grants(*places: str, free: int = 0, total: int = 4, epoch: int = EPOCH) -> Granted:
    """Slot index i at ``places[i]``; an empty text is a slot not granted."""
    given = {str(index): place for index, place in enumerate(places) if place}
    return Granted(SlotGrants(job_id=JOB_ID, epoch=epoch, grants=given, free=free, total=total))
