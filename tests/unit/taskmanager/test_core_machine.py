"""The TaskManager's rules under random plans, deaths, failures, sleep and late words of workers."""

from __future__ import annotations

from collections import deque

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.unit.taskmanager.plans import JOB, OTHER, plan

from headrace.protocol.control import LaneStateChanged
from headrace.protocol.states import LaneState
from headrace.protocol.submission import UploadedCode
from headrace.protocol.worker_pipe import Exit, LaneFenced, LaneMoved, ResumeLane, StartLane, StopLane
from headrace.taskmanager.core import step
from headrace.taskmanager.model import (
    HELD,
    CatchUp,
    CaughtUp,
    Environment,
    EnvironmentDelayed,
    EnvironmentFailed,
    EnvironmentReady,
    Event,
    Freshness,
    KillWorker,
    NewClaim,
    PlanChanged,
    PlansReread,
    PrepareEnvironment,
    Report,
    RereadPlans,
    Send,
    StartWorker,
    TaskManagerState,
    Tick,
    WorkerBeat,
    WorkerExited,
    WorkerSaid,
)

SLOTS = 2
LANES = ["v0/0", "v0/1"]
S = LaneState


class Process:
    """A worker process: lanes it runs by attempt, words not heard yet, commands not taken yet."""

    def __init__(self) -> None:
        self.lanes: dict[str, str] = {}
        self.said: deque[LaneMoved | LaneFenced] = deque()
        self.commands: deque[object] = deque()
        self.dead = False


class Site(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.now_ms = 1_000_000
        self.state = TaskManagerState("tm1", "i1", SLOTS)
        self.processes: dict[int, Process] = {}
        self.number = 0
        self.attempt = 1
        self.catching_up = True
        self.rereads: list[RereadPlans] = []
        self.preparing: list[str] = []
        self.told: dict[tuple[str, str], LaneStateChanged] = {}

    def tell(self, event: Event) -> None:
        fresh = self.state.freshness is Freshness.FRESH or isinstance(event, CaughtUp)
        self.state, effects = step(self.state, event, self.now_ms)
        for effect in effects:
            match effect:
                case StartWorker(serial, job_id=job, python=python):
                    assert fresh, "started on plans that may be stale"
                    needs = self.state.jobs[job].plan.dependencies
                    assert python == ("" if needs is None else needs.sha256)
                    self.processes[serial] = Process()
                case Send(serial, message):
                    assert not isinstance(message, StartLane) or fresh
                    if isinstance(message, ResumeLane):
                        lane = self.state.lanes[self.state.workers[serial].job, message.lane]
                        assert lane.state is not S.CANCELING, "resumed what was stopped"
                    self.processes[serial].commands.append(message)
                case KillWorker(serial):
                    self.processes[serial].dead = True
                case CatchUp():
                    self.catching_up = True
                case PrepareEnvironment(needs):
                    self.preparing.append(needs.sha256)
                case RereadPlans():
                    self.rereads.append(effect)
                case Report(LaneStateChanged() as change):
                    self.told[change.job_id, change.lane] = change

    # ---- plans

    @rule(
        job=st.sampled_from([JOB, OTHER]),
        slots=st.lists(st.sampled_from([-1, 0, 0, 1, 1, 2]), min_size=2, max_size=2),
        desired=st.sampled_from(["RUNNING", "RUNNING", "STOPPED"]),
        restarted=st.booleans(),
        needs=st.sampled_from([None, None, "d", "e"]),
    )
    def plans(self, job: str, slots: list[int], desired: str, restarted: bool, needs: str | None) -> None:
        """A slot of -1 is another TaskManager's; slot 2 does not exist."""
        self.number += 1
        self.attempt += restarted
        places = {
            lane: ("tm1" if slot >= 0 else "tm2", max(slot, 0), self.attempt)
            for lane, slot in zip(LANES, slots, strict=True)
        }
        dependencies = None if needs is None else UploadedCode(sha256=needs * 64, offset=0, chunks=1)
        written = plan(places, job=job, number=self.number, desired=desired)
        self.tell(PlanChanged(job, written.model_copy(update={"dependencies": dependencies})))

    @rule(job=st.sampled_from([JOB, OTHER]), claimed=st.booleans())
    def claim_or_forget(self, job: str, claimed: bool) -> None:
        self.tell(NewClaim(job, self.number) if claimed else PlanChanged(job, None))

    @precondition(lambda self: self.catching_up)
    @rule()
    def caught_up(self) -> None:
        self.catching_up = False
        self.tell(CaughtUp())

    @precondition(lambda self: self.rereads)
    @rule()
    def reread(self) -> None:
        asked = self.rereads.pop(0)
        self.tell(PlansReread(asked.serial, asked.job_id, asked.lane, asked.attempt))

    # ---- environments

    @precondition(lambda self: self.preparing)
    @rule(outcome=st.sampled_from(["ready", "ready", "delayed", "failed"]))
    def prepared(self, outcome: str) -> None:
        if outcome == "delayed":
            self.tell(EnvironmentDelayed(self.preparing[0], "not yet"))
            return
        sha256 = self.preparing.pop(0)
        ready = EnvironmentReady(sha256, Environment(sha256))
        self.tell(ready if outcome == "ready" else EnvironmentFailed(sha256, "requirements-failed: no"))

    # ---- time

    @rule(ms=st.sampled_from([100, 600, 2_500]))
    def tick(self, ms: int) -> None:
        self.now_ms += ms
        self.tell(Tick())
        for serial, process in list(self.processes.items()):
            if not process.dead and serial in self.state.workers:
                self.tell(WorkerBeat(serial))

    @rule()
    def sleep(self) -> None:
        self.now_ms += 60_000
        self.tell(Tick())

    # ---- workers

    def alive(self) -> list[int]:
        return [serial for serial, process in self.processes.items() if not process.dead]

    @precondition(lambda self: any(p.commands for p in self.processes.values()))
    @rule()
    def obey(self) -> None:
        """Every process takes its next command."""
        for process in self.processes.values():
            if process.commands and not process.dead:
                self.take(process, process.commands.popleft())

    def take(self, process: Process, command: object) -> None:
        match command:
            case StartLane(task):
                assert task.lane not in process.lanes, "a lane was started over itself"
                process.lanes[task.lane] = task.attempt
                process.said.append(LaneMoved(task.lane, task.attempt, "INITIALIZING"))
                process.said.append(LaneMoved(task.lane, task.attempt, "RUNNING"))
            case StopLane(lane, attempt) if process.lanes.get(lane) == attempt:
                del process.lanes[lane]
                process.said.append(LaneMoved(lane, attempt, "CANCELED"))
            case ResumeLane(lane, attempt):
                assert process.lanes.get(lane, attempt) == attempt
            case Exit():
                process.dead = True
            case _:
                pass

    @precondition(lambda self: any(p.said for p in self.processes.values()))
    @rule(pick=st.integers(0, 9))
    def hear(self, pick: int) -> None:
        speaking = [serial for serial, process in sorted(self.processes.items()) if process.said]
        serial = speaking[pick % len(speaking)]
        self.tell(WorkerSaid(serial, self.processes[serial].said.popleft()))

    @precondition(lambda self: any(self.processes[serial].lanes for serial in self.alive()))
    @rule(pick=st.integers(0, 9), what=st.sampled_from(["FINISHED", "FAILED", "FAILED", "FENCED"]))
    def lane_does(self, pick: int, what: str) -> None:
        running = [(serial, lane) for serial in self.alive() for lane in sorted(self.processes[serial].lanes)]
        serial, lane = running[pick % len(running)]
        process = self.processes[serial]
        if what == "FENCED":
            process.said.append(LaneFenced(lane, process.lanes[lane]))
            return
        attempt = process.lanes.pop(lane)
        process.said.append(LaneMoved(lane, attempt, what, error="E: no", user=True, committed=pick % 2 == 0))

    @precondition(lambda self: self.alive())
    @rule(pick=st.integers(0, 9))
    def die(self, pick: int) -> None:
        self.processes[self.alive()[pick % len(self.alive())]].dead = True

    @precondition(lambda self: any(p.dead for p in self.processes.values()))
    @rule()
    def bury(self) -> None:
        """What a process said before its end is heard first."""
        serial = next(serial for serial, process in self.processes.items() if process.dead)
        process = self.processes[serial]
        while process.said:
            self.tell(WorkerSaid(serial, process.said.popleft()))
        del self.processes[serial]
        self.tell(WorkerExited(serial, "SIGKILL"))

    # ---- always

    @invariant()
    def held_lanes_are_in_a_worker_of_their_slot_and_job(self) -> None:
        for lane in getattr(self, "state", TaskManagerState("", "", 0)).lanes.values():
            assert (lane.worker is not None) == (lane.state in HELD)
            if lane.worker is not None:
                worker = self.state.workers[lane.worker]
                assert (worker.slot, worker.job) == (lane.slot, lane.job)

    @invariant()
    def a_slot_has_one_worker_at_most(self) -> None:
        if hasattr(self, "state"):
            slots = [worker.slot for worker in self.state.workers.values()]
            assert len(slots) == len(set(slots)) and set(slots) <= set(range(SLOTS))
            assert self.state.workers.keys() == self.processes.keys()

    # ---- in the end

    def teardown(self) -> None:
        """Faults stop: what the plans want runs, and nothing else does; what was reported last is true."""
        if not hasattr(self, "state"):
            return
        for _ in range(400):
            if self.catching_up:
                self.caught_up()
            while self.rereads:
                self.reread()
            while self.preparing:
                self.prepared("ready")
            if any(p.dead for p in self.processes.values()):
                self.bury()
            if any(p.commands for p in self.processes.values()):
                self.obey()
            while any(p.said for p in self.processes.values()):
                self.hear(0)
            self.tick(600)
        running = {(lane.job, lane.name) for lane in self.state.lanes.values() if lane.state is S.RUNNING}
        wanted = {
            (job, name)
            for job, desired in self.state.jobs.items()
            for name, at in desired.plan.lanes.items()
            if desired.plan.desired == "RUNNING" and at.taskmanager == "tm1"
        }
        ended = {lane.key for lane in self.state.lanes.values() if lane.state in (S.FINISHED, S.FAILED, S.CANCELED)}
        assert running == wanted - ended - self.state.refused.keys()
        assert {name for p in self.processes.values() for name in p.lanes} == {name for _, name in running}
        for key, lane in self.state.lanes.items():
            assert (self.told[key].state, self.told[key].attempt) == (lane.state, str(lane.attempt))


Site.TestCase.settings = settings(
    max_examples=200,
    stateful_step_count=50,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],  # shrinking a site takes minutes; add Phase.shrink by hand
    suppress_health_check=list(HealthCheck),
)
TestSite = Site.TestCase
