"""The JobMaster's rules in a world of random losses, refusals, late reports, crashes and take-overs.

The world keeps the truth that the JobMaster cannot see: which processes could still commit for a lane.
"""

from __future__ import annotations

from collections import deque

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.unit.jobmaster.job import EPOCH, JOB_ID, SOURCES, graph, job

from headrace.jobmaster.core import step
from headrace.jobmaster.model import (
    Answer,
    CancelRequested,
    Custody,
    Done,
    Effect,
    Event,
    FenceLanes,
    Granted,
    JobState,
    LanesFenced,
    PrepareTopics,
    Publish,
    Started,
    TaskManagerBack,
    TaskManagerLost,
    Tick,
    TopicsReady,
    WritePlan,
    WriteResult,
)
from headrace.jobmaster.reason import declaration_of, record_of
from headrace.protocol.control import (
    Assignment,
    Failure,
    JobResult,
    LaneRefused,
    LaneStateChanged,
    LaneStatus,
    Plan,
    SlotGrants,
    TaskManagerReport,
)
from headrace.protocol.fence import PlanFence, claim_key, plan_key
from headrace.protocol.states import JobStatus, LaneState

PARALLELISM = 2
TASKMANAGERS = ("tm0", "tm1", "tm2")
#: Which slots of which TaskManagers there are: one each, so that three losses leave too few.
SLOTS = [f"{tm}/0" for tm in TASKMANAGERS]
LANES = sorted(graph(PARALLELISM).lane_slots())


class Process:
    """One attempt of a lane on a TaskManager."""

    def __init__(self, lane: str, assignment: Assignment) -> None:
        self.lane, self.assignment = lane, assignment
        self.state = LaneState.DEPLOYING
        self.local = 0


class World(RuleBasedStateMachine):
    @initialize(running=st.booleans())
    def begin(self, running: bool) -> None:
        self.now_ms = 1000
        self.log: list[tuple[str, bytes | None]] = [("other/claim", None)] * EPOCH
        self.fence = PlanFence()
        for offset, (key, value) in enumerate(self.log):
            self.fence.feed(offset, key, value)
        self.processes: dict[tuple[str, str], Process] = {}  #: by TaskManager and lane: can commit
        self.finished: set[str] = set()
        self.reports: deque[LaneStateChanged | LaneRefused | TaskManagerReport] = deque()
        self.placed: dict[str, Assignment] = {}
        self.results: list[JobResult] = []
        self.statuses: list[JobStatus | None] = []
        self.answers: dict[str, bool] = {}
        self.asked = 0
        self.take_over()
        if not running:
            return
        self.topics()
        self.grant(SLOTS, PARALLELISM)
        for tm in TASKMANAGERS:
            self.reconcile(tm)
        for pick in range(len(self.processes)):
            self.lane_moves(pick, "RUNNING")
        while self.reports:
            self.deliver(False)
        assert self.state.status is JobStatus.RUNNING

    # ---- the log and the effects

    def append(self, key: str, value: bytes) -> int:
        self.log.append((key, value))
        self.fence.feed(len(self.log) - 1, key, value)
        return len(self.log) - 1

    def tell(self, event: Event) -> None:
        self.now_ms += 1
        self.state, effects = step(self.state, event, self.now_ms)
        for effect in effects:
            self.carry_out(effect)

    def carry_out(self, effect: Effect) -> None:
        match effect:
            case WritePlan(plan):
                self.check_plan(plan)
                self.append(plan_key(JOB_ID, plan.epoch), plan.model_dump_json().encode())
            case FenceLanes(lanes):
                self.fencing += lanes
            case Publish(event) if event.type == "STATUS":
                self.statuses.append(event.status)
            case Answer(request_id, ok):
                self.answers[request_id] = ok
            case WriteResult(result):
                self.check_result(result)
                self.results.append(result)
            case Done():
                self.done = True
            case PrepareTopics():
                self.topics_asked = True
            case _:
                pass

    def check_plan(self, plan: Plan) -> None:
        """A new attempt is higher than every earlier one, and comes when nothing else can commit."""
        for lane, assignment in plan.lanes.items():
            before = self.placed.get(lane)
            if assignment != before:
                assert before is None or assignment.attempt > before.attempt
                assert not [p for (_, name), p in self.processes.items() if name == lane], "not fenced"
            self.placed[lane] = assignment

    def check_result(self, result: JobResult) -> None:
        if result.status is JobStatus.FINISHED:
            assert self.finished == set(LANES)
        else:
            assert not self.processes, "declared the end while something could still commit"
        if self.results:
            assert self.results[-1].status is result.status

    # ---- the JobMaster

    def take_over(self) -> None:
        epoch = self.append(claim_key(JOB_ID), b"{}")
        self.state = JobState.of(job(PARALLELISM), self.now_ms)
        self.fencing: list[str] = []
        self.done = self.topics_asked = False
        self.tell(Started(epoch, self.fence.plan(JOB_ID)))
        for tm in TASKMANAGERS:
            self.report_all(tm)

    @rule()
    def crash(self) -> None:
        """At any point, also in the middle of an end. The Dispatcher hands open commands over again."""
        if not self.results:
            self.take_over()
            for request in [f"r{n}" for n in range(self.asked) if f"r{n}" not in self.answers]:
                self.tell(CancelRequested(request))

    @precondition(lambda self: self.topics_asked)
    @rule()
    def topics(self) -> None:
        self.topics_asked = False
        self.tell(TopicsReady(SOURCES))

    @rule(places=st.permutations(SLOTS), count=st.integers(0, PARALLELISM))
    def grant(self, places: list[str], count: int) -> None:
        declaration = declaration_of(self.state)
        if declaration is None:
            return
        free = [place for place in places if place not in declaration.held.values()]
        missing = [str(i) for i in range(PARALLELISM) if str(i) not in declaration.held]
        given = dict(zip(missing, free[:count], strict=False)) | declaration.held
        self.tell(Granted(SlotGrants(job_id=JOB_ID, epoch=declaration.epoch, grants=given, total=3)))

    @precondition(lambda self: self.fencing)
    @rule()
    def fenced(self) -> None:
        """Everything that runs the lane now can commit no more."""
        lane = self.fencing.pop(0)
        for key in [key for key in self.processes if key[1] == lane]:
            del self.processes[key]
        self.tell(LanesFenced((lane,)))

    @rule(tm=st.sampled_from(TASKMANAGERS))
    def lost(self, tm: str) -> None:
        """A verdict, right or wrong."""
        self.tell(TaskManagerLost(tm))

    @precondition(lambda self: self.now_ms > 1025)
    @rule()
    def cancel(self) -> None:
        self.tell(CancelRequested(f"r{self.asked}"))
        self.asked += 1

    @rule(tm=st.sampled_from(TASKMANAGERS))
    def back(self, tm: str) -> None:
        self.tell(TaskManagerBack(tm))

    @rule()
    def tick(self) -> None:
        self.now_ms += 1000
        self.tell(Tick())

    @precondition(lambda self: self.reports)
    @rule(again=st.booleans())
    def deliver(self, again: bool) -> None:
        report = self.reports.popleft()
        for _ in range(2 if again else 1):
            self.tell(report)

    # ---- the TaskManagers

    @rule(tm=st.sampled_from(TASKMANAGERS))
    def reconcile(self, tm: str) -> None:
        """One TaskManager reads the plan that counts and does what it says."""
        plan = self.fence.plan(JOB_ID)
        if plan is None:
            return
        mine = {lane: a for lane, a in plan.lanes.items() if a.taskmanager == tm}
        for (_, lane), process in [item for item in self.processes.items() if item[0][0] == tm]:
            if plan.desired == "STOPPED" or mine.get(lane) != process.assignment:
                del self.processes[tm, lane]
                self.say(tm, lane, process.assignment.attempt, process.local, LaneState.CANCELED)
        for lane, assignment in mine.items():
            if (tm, lane) in self.processes:
                continue
            if plan.desired == "STOPPED":
                self.say(tm, lane, assignment.attempt, 99, LaneState.CANCELED)
            else:
                for key in [key for key in self.processes if key[1] == lane]:
                    del self.processes[key]  # a starting lane fences whoever had its id
                self.processes[tm, lane] = Process(lane, assignment)
                self.say(tm, lane, assignment.attempt, 0, LaneState.DEPLOYING)

    @precondition(lambda self: self.processes)
    @rule(
        pick=st.integers(0, 10), outcome=st.sampled_from(["RUNNING", "DIED", "DIED", "FINISHED", "FINISHED", "FATAL"])
    )
    def lane_moves(self, pick: int, outcome: str) -> None:
        (tm, lane), process = sorted(self.processes.items())[pick % len(self.processes)]
        attempt = process.assignment.attempt
        if outcome == "DIED":
            self.say(tm, lane, attempt, process.local, LaneState.FAILED)
            process.local += 1
            self.say(tm, lane, attempt, process.local, LaneState.DEPLOYING)
            return
        process.state = LaneState(outcome if outcome != "FATAL" else "FAILED")
        if outcome == "FINISHED":
            self.finished.add(lane)
        if outcome in ("FINISHED", "FATAL"):
            del self.processes[tm, lane]
        self.say(tm, lane, attempt, process.local, process.state, fatal=outcome == "FATAL")

    @precondition(lambda self: self.processes)
    @rule(pick=st.integers(0, 10))
    def refuse(self, pick: int) -> None:
        """A slot that was taken away: nothing of the job runs in it any more."""
        (tm, _), process = sorted(self.processes.items())[pick % len(self.processes)]
        for key in [key for key in self.processes if key[0] == tm]:
            del self.processes[key]
        self.reports.append(
            LaneRefused(
                job_id=JOB_ID,
                incarnation=1,
                epoch=0,
                lane=process.lane,
                attempt=process.assignment.attempt,
                taskmanager=tm,
                slot=process.assignment.slot,
                reason="occupied",
                at_ms=0,
            )
        )

    def say(self, tm: str, lane: str, planned: int, local: int, state: LaneState, *, fatal: bool = False) -> None:
        self.reports.append(
            LaneStateChanged(
                job_id=JOB_ID,
                incarnation=1,
                epoch=0,
                lane=lane,
                attempt=f"{planned}.{local}",
                taskmanager=tm,
                instance="i",
                state=state,
                failure=Failure(error="E", lane=lane) if fatal else None,
                fatal=fatal,
                at_ms=0,
            )
        )

    def report_all(self, tm: str) -> None:
        lanes = {
            lane: LaneStatus(attempt=f"{p.assignment.attempt}.{p.local}", state=p.state)
            for (at, lane), p in self.processes.items()
            if at == tm
        }
        self.reports.append(
            TaskManagerReport(
                job_id=JOB_ID, incarnation=1, epoch=0, taskmanager=tm, instance="i", lanes=lanes, at_ms=0
            )
        )

    # ---- always

    @invariant()
    def views_can_be_drawn(self) -> None:
        if hasattr(self, "state"):
            record_of(self.state)

    @invariant()
    def a_lane_has_a_place_exactly_while_it_is_planned(self) -> None:
        for lane in getattr(self, "state", JobState.of(job(), 0)).lanes.values():
            assert (lane.place is not None) == (lane.custody is Custody.PLANNED)

    @invariant()
    def an_end_is_an_end(self) -> None:
        if hasattr(self, "state") and self.state.status.ended:
            assert self.results and self.done

    # ---- in the end

    def teardown(self) -> None:
        """Faults stop: the job ends, one way or the other."""
        if not hasattr(self, "state"):
            return
        for _ in range(60):
            if self.state.status.ended:
                return
            if self.topics_asked:
                self.topics()
            while self.fencing:
                self.fenced()
            for tm in TASKMANAGERS:
                self.back(tm)
            self.grant(SLOTS, PARALLELISM)
            for tm in TASKMANAGERS:
                self.reconcile(tm)
            while self.reports:
                self.deliver(False)
            for _, lane in list(self.processes):
                index = sorted(self.processes).index(next(key for key in self.processes if key[1] == lane))
                self.lane_moves(index, "FINISHED")
            while self.reports:
                self.deliver(False)
            self.now_ms += 2000
            self.take_over() if not self.results else None
        raise AssertionError(f"still {self.state.status}: {record_of(self.state).reason}")


World.TestCase.settings = settings(
    max_examples=150,
    stateful_step_count=40,
    deadline=None,
    phases=[Phase.generate],  # shrinking a world takes minutes; add Phase.shrink by hand
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
TestWorld = World.TestCase
