"""The TaskManager's rules, step by step."""

from __future__ import annotations

import msgspec
import pytest
from tests.unit.taskmanager.plans import CODE, JOB, OTHER, Story, both, plan

from headrace.graph.job_graph import JobGraph
from headrace.protocol.control import LaneRefused, LaneStateChanged, TaskManagerReport
from headrace.protocol.states import LaneState
from headrace.protocol.submission import FixedDelay, NoRestart
from headrace.protocol.worker_pipe import Exit, LaneFenced, LaneMoved, ResumeLane, StartLane, StopLane
from headrace.taskmanager.core import IllegalEventError, occupied
from headrace.taskmanager.model import (
    CatchUp,
    CaughtUp,
    CodeDelayed,
    CodeMissing,
    CodeReady,
    FetchCode,
    Freshness,
    KillWorker,
    LaneCommitted,
    Leave,
    NewClaim,
    PlanChanged,
    PlansReread,
    RereadPlans,
    Tick,
    WorkerBeat,
    WorkerExited,
    WorkerPhase,
    WorkerSaid,
)

S = LaneState


# ---- start


def test_a_plan_starts_one_worker_per_slot_and_its_lanes() -> None:
    story = Story().planned(both())
    assert story.started == [0, 1]
    tasks = [message.task for _, message in story.sent if isinstance(message, StartLane)]
    assert [(task.lane, task.attempt, task.job) for task in tasks] == [("v0/0", "1.0", JOB), ("v0/1", "1.0", JOB)]
    assert JobGraph.model_validate_json(tasks[0].graph) == both().graph
    assert story.moves == [("v0/0", "1.0", "DEPLOYING"), ("v0/1", "1.0", "DEPLOYING")]


def test_lanes_of_one_slot_share_its_worker() -> None:
    story = Story().planned(plan({"v0/0": ("tm1", 0, 1), "v0/1": ("tm1", 0, 1)}))
    assert story.started == [0]
    assert len(story.sent) == 2


def test_lanes_of_other_taskmanagers_are_none_of_ours() -> None:
    story = Story().planned(plan({"v0/0": ("tm2", 0, 1)}))
    assert story.effects == []
    assert story.state.jobs == {}


def test_nothing_starts_before_the_plans_were_read_to_their_end() -> None:
    story = Story()
    story.tell(PlanChanged(JOB, both()))
    assert story.effects == []
    story.tell(CaughtUp())
    assert story.started == [0, 1]


def test_the_same_plan_again_changes_nothing() -> None:
    story = Story().running(both())
    assert story.tell(PlanChanged(JOB, both(epoch=20, number=1))) == []


def test_code_is_fetched_once_while_the_workers_start_and_lanes_wait_for_it() -> None:
    story = Story().planned(both(code=CODE))
    assert story.started == [0, 1]
    assert [e for e in story.effects if isinstance(e, FetchCode)] == [FetchCode(CODE)]
    assert story.sent == []
    story.tell(CodeReady(CODE.sha256, "/cache/c"))
    assert [message.task.code for _, message in story.sent if isinstance(message, StartLane)] == ["/cache/c"] * 2


def test_code_that_cannot_be_kept_now_is_waited_for_with_the_reason() -> None:
    story = Story().planned(both(code=CODE))
    story.tell(CodeDelayed(CODE.sha256, "no space left"))
    assert story.moves == [("v0/0", "1.0", "SCHEDULED"), ("v0/1", "1.0", "SCHEDULED")]
    assert story.lane("v0/0").reason == "no space left"
    story.tell(CodeReady(CODE.sha256, "/cache/c"))
    assert story.lane("v0/0").state is S.DEPLOYING


def test_code_that_is_not_in_the_log_fails_the_job() -> None:
    story = Story().planned(both(code=CODE))
    story.tell(CodeMissing(CODE.sha256, "no such package"))
    assert story.moves == [("v0/0", "1.0", "FAILED"), ("v0/1", "1.0", "FAILED")]
    assert all(isinstance(r, LaneStateChanged) and r.fatal for r in story.reports)


# ---- refusal


def test_an_occupied_slot_is_refused_and_the_lane_that_runs_there_is_not_disturbed() -> None:
    story = Story().running(both())
    story.tell(PlanChanged(OTHER, plan({"v0/0": ("tm1", 0, 1)}, job=OTHER)))
    (refusal,) = story.reports
    assert isinstance(refusal, LaneRefused)
    assert (refusal.job_id, refusal.lane, refusal.slot, refusal.attempt) == (OTHER, "v0/0", 0, 1)
    assert JOB in refusal.reason
    assert story.sent == [] and story.started == []


def test_a_slot_that_does_not_exist_is_refused() -> None:
    story = Story().planned(plan({"v0/0": ("tm1", 5, 1)}))
    (refusal,) = story.reports
    assert isinstance(refusal, LaneRefused)
    assert refusal.reason == "no slot 5: this TaskManager has 2"


def test_a_refused_attempt_is_refused_once_and_stays_refused() -> None:
    story = Story().running(both())
    wanted = plan({"v0/0": ("tm1", 0, 1)}, job=OTHER)
    story.tell(PlanChanged(OTHER, wanted))
    assert story.tell(Tick()) == []
    story.tell(PlanChanged(JOB, both(number=2, desired="STOPPED")))
    assert not any(job == OTHER for job, _ in story.state.lanes)
    story.tell(PlanChanged(OTHER, plan({"v0/0": ("tm1", 0, 2)}, job=OTHER, number=2)))
    assert story.lane("v0/0", OTHER).state is S.SCHEDULED


def test_a_slot_that_is_being_left_is_waited_for_instead() -> None:
    story = Story().running(plan({"v0/0": ("tm1", 0, 1)}))
    first = story.serial("v0/0")
    story.tell(PlanChanged(JOB, plan({"v0/0": ("tm1", 0, 1)}, number=2, desired="STOPPED")))
    story.tell(PlanChanged(OTHER, plan({"v0/0": ("tm1", 0, 1)}, job=OTHER)))
    assert story.effects == []
    story.say("v0/0", S.CANCELED)
    assert story.sent == [(first, Exit())]
    story.tell(WorkerExited(first, "exit status 0"))
    assert story.started == [0]
    assert story.lane("v0/0", OTHER).state is S.DEPLOYING


# ---- stop


def test_a_stopped_plan_stops_lanes_confirms_and_lets_the_workers_go() -> None:
    story = Story().running(both())
    story.tell(PlanChanged(JOB, both(number=2, desired="STOPPED")))
    assert [message for _, message in story.sent] == [StopLane("v0/0", "1.0"), StopLane("v0/1", "1.0")]
    assert [state for _, _, state in story.moves] == ["CANCELING", "CANCELING"]
    story.say("v0/0", S.CANCELED)
    assert story.moves == [("v0/0", "1.0", "CANCELED")]
    assert [message for _, message in story.sent] == [Exit()]


def test_confirmations_are_kept_until_the_plan_forgets_the_lanes() -> None:
    story = Story().running(both())
    story.tell(PlanChanged(JOB, both(number=2, desired="STOPPED")))
    story.say("v0/0", S.CANCELED)
    story.say("v0/1", S.FINISHED)
    story.tell(NewClaim(JOB, 30))
    (report,) = story.reports
    assert isinstance(report, TaskManagerReport)
    assert {lane: status.state for lane, status in report.lanes.items()} == {"v0/0": "CANCELED", "v0/1": "FINISHED"}
    story.tell(PlanChanged(JOB, plan({}, epoch=30, desired="STOPPED")))
    assert story.state.lanes == {} and story.state.jobs == {}


def test_a_restarted_taskmanager_confirms_what_it_does_not_run() -> None:
    story = Story().planned(both(desired="STOPPED"))
    assert story.moves == [("v0/0", "1.0", "CANCELED"), ("v0/1", "1.0", "CANCELED")]
    assert story.started == []


def test_a_plan_that_is_removed_stops_its_lanes_too() -> None:
    story = Story().running(both())
    story.tell(PlanChanged(JOB, None))
    assert len(story.sent) == 2
    story.say("v0/0", S.CANCELED)
    story.say("v0/1", S.CANCELED)
    assert story.state.lanes == {}


def test_a_new_attempt_waits_until_the_old_one_has_stopped() -> None:
    story = Story().running(both())
    story.tell(PlanChanged(JOB, plan({"v0/0": ("tm1", 0, 2), "v0/1": ("tm1", 1, 1)}, number=2)))
    assert [message for _, message in story.sent] == [StopLane("v0/0", "1.0")]
    story.say("v0/0", S.CANCELED)
    assert story.moves == [("v0/0", "1.0", "CANCELED"), ("v0/0", "2.0", "DEPLOYING")]
    assert story.started == [], "the worker serves on"
    assert story.lane("v0/1").state is S.RUNNING


def test_a_lane_that_fails_while_stopping_has_stopped() -> None:
    story = Story().running(both())
    story.tell(PlanChanged(JOB, both(number=2, desired="STOPPED")))
    story.say("v0/0", S.FAILED)
    assert story.moves == [("v0/0", "1.0", "CANCELED")]


def test_a_lane_that_does_not_stop_is_killed_with_its_worker() -> None:
    story = Story().running(both())
    serial = story.serial("v0/0")
    story.tell(PlanChanged(JOB, plan({"v0/1": ("tm1", 1, 1)}, number=2)))
    beats(story, 9_000)
    assert KillWorker not in map(type, story.effects)
    beats(story, 2_000)
    assert story.state.workers[serial].phase is WorkerPhase.KILLED
    story.tell(WorkerExited(serial, "SIGKILL"))
    assert story.moves == [("v0/0", "1.0", "CANCELED")]
    assert story.lane("v0/1").state is S.RUNNING


def beats(story: Story, ms: int) -> None:
    """Time passes, everybody alive."""
    for _ in range(ms // 500):
        story.tell(Tick(), after_ms=500)
        for serial, worker in story.state.workers.items():
            if worker.phase is WorkerPhase.UP:
                story.tell(WorkerBeat(serial))


# ---- death of a worker


def test_a_dead_worker_is_replaced_at_once_and_its_lanes_are_the_next_local_attempt() -> None:
    story = Story().running(both())
    beats(story, 10_000)
    serial = story.serial("v0/0")
    story.tell(WorkerExited(serial, "SIGKILL", output="Fatal Python error"))
    assert story.started == [0]
    assert story.moves == [("v0/0", "1.0", "FAILED"), ("v0/0", "1.1", "DEPLOYING")]
    failed = story.reports[0]
    assert isinstance(failed, LaneStateChanged) and failed.failure is not None
    assert (failed.failure.error, failed.failure.traceback, failed.fatal) == (
        "slot worker died: SIGKILL",
        "Fatal Python error",
        False,
    )
    assert story.lane("v0/1").state is S.RUNNING, "nobody else is disturbed"


def test_deaths_in_a_row_wait_longer_and_longer_and_never_fail_the_job() -> None:
    story = Story(1).running(plan({"v0/0": ("tm1", 0, 1)}))
    waits = []
    for _ in range(12):
        story.tell(WorkerExited(story.worker_in(0) or 0, "SIGKILL"))
        waited = 0
        while story.worker_in(0) is None:
            story.tell(Tick(), after_ms=100)
            waited += 100
        waits.append(waited)
    assert waits[:6] == [0, 500, 1000, 2000, 4000, 8000]
    assert max(waits) == 10_000
    assert story.lane("v0/0").state is S.DEPLOYING


@pytest.mark.parametrize("useful", ["a commit", "ten seconds"])
def test_after_something_useful_a_death_is_the_first_again(useful: str) -> None:
    story = Story(1).running(plan({"v0/0": ("tm1", 0, 1)}))
    for _ in range(3):
        story.tell(WorkerExited(story.worker_in(0) or 0, "SIGKILL"))
        while story.worker_in(0) is None:
            story.tell(Tick(), after_ms=100)
    if useful == "a commit":
        story.tell(LaneCommitted(story.serial("v0/0"), "v0/0", "1.3"))
    else:
        beats(story, 10_000)
    story.tell(WorkerExited(story.serial("v0/0"), "SIGKILL"))
    assert story.started == [0]


def test_a_silent_worker_is_killed_and_replaced() -> None:
    story = Story().running(both())
    serial = story.serial("v0/0")
    for _ in range(19):
        story.tell(Tick(), after_ms=500)
        story.tell(WorkerBeat(story.serial("v0/1")))
    assert KillWorker not in map(type, story.effects)
    story.tell(Tick(), after_ms=500)
    assert story.effects == [KillWorker(serial, "silent")]
    story.tell(WorkerExited(serial, "SIGKILL"))
    assert story.lane("v0/0").reason == ""
    assert ("v0/0", "1.0", "FAILED") in story.moves
    failed = story.reports[0]
    assert isinstance(failed, LaneStateChanged)
    assert failed.reason == "slot worker died: SIGKILL (silent)"


def test_a_new_worker_may_take_longer_for_its_first_word() -> None:
    story = Story().planned(both())
    for _ in range(59):
        story.tell(Tick(), after_ms=500)
    assert story.effects == []
    story.tell(Tick(), after_ms=500)
    assert [type(effect) for effect in story.effects] == [KillWorker, KillWorker]


def test_a_worker_that_does_not_exit_is_killed() -> None:
    story = Story().running(plan({"v0/0": ("tm1", 0, 1)}))
    serial = story.serial("v0/0")
    story.say("v0/0", S.FINISHED)
    assert story.sent == [(serial, Exit())]
    for _ in range(10):
        story.tell(Tick(), after_ms=500)
    assert story.effects == [KillWorker(serial, "did not exit")]
    story.tell(WorkerExited(serial, "SIGKILL"))
    assert story.moves == [] and story.started == []
    assert story.lane("v0/0").state is S.FINISHED


# ---- failures of lanes


def test_user_code_that_raises_restarts_its_lane_in_the_same_worker() -> None:
    story = Story().running(plan({"v0/0": ("tm1", 0, 1), "v0/1": ("tm1", 0, 1)}))
    story.say("v0/0", S.FAILED)
    assert story.moves == [("v0/0", "1.0", "FAILED"), ("v0/0", "1.1", "DEPLOYING")]
    assert story.started == []
    assert story.lane("v0/1").state is S.RUNNING


def test_three_failures_with_no_commit_between_are_the_end() -> None:
    story = Story(1).running(plan({"v0/0": ("tm1", 0, 1)}))
    story.say("v0/0", S.FAILED)
    story.say("v0/0", S.FAILED)
    assert story.lane("v0/0").state is S.SCHEDULED, "the second restart waits a second"
    story.tell(Tick(), after_ms=1000)
    story.say("v0/0", S.FAILED)
    (report,) = story.reports
    assert isinstance(report, LaneStateChanged)
    assert report.fatal and report.failure is not None
    assert report.reason == "3 failures with no commit between: ValueError: no"
    assert (report.failure.error, report.failure.user) == ("ValueError: no", True)
    assert story.tell(Tick(), after_ms=2_000) == []
    assert story.lane("v0/0").state is S.FAILED


@pytest.mark.parametrize("how", ["in the attempt that failed", "told by metrics"])
def test_a_commit_between_starts_the_count_again(how: str) -> None:
    story = Story(1).running(plan({"v0/0": ("tm1", 0, 1)}))
    for _ in range(10):
        if how == "told by metrics":
            story.tell(LaneCommitted(story.serial("v0/0"), "v0/0", str(story.lane("v0/0").attempt)))
        story.say("v0/0", S.FAILED, committed=how != "told by metrics")
        assert story.lane("v0/0").state is S.DEPLOYING


def test_deaths_do_not_count_as_failures_of_user_code() -> None:
    story = Story(1).running(plan({"v0/0": ("tm1", 0, 1)}))
    for _ in range(5):
        story.tell(WorkerExited(story.serial("v0/0"), "SIGKILL"))
        while story.lane("v0/0").worker is None:
            story.tell(Tick(), after_ms=500)
    story.say("v0/0", S.FAILED)
    assert story.lane("v0/0").state is S.DEPLOYING


def test_failures_of_the_engine_are_tried_again_for_ever() -> None:
    story = Story(1).running(plan({"v0/0": ("tm1", 0, 1)}))
    for _ in range(10):
        story.say("v0/0", S.FAILED, user=False)
        for _ in range(20):
            story.tell(Tick(), after_ms=500)
            story.tell(WorkerBeat(story.worker_in(0) or 0))
        assert story.lane("v0/0").state is S.DEPLOYING


def test_a_failure_that_cannot_be_cured_is_fatal_at_once() -> None:
    story = Story().running(both())
    story.say("v0/0", S.FAILED, user=False, retryable=False)
    (report,) = story.reports
    assert isinstance(report, LaneStateChanged) and report.fatal


def test_a_failure_of_any_length_fits_into_a_message() -> None:
    story = Story().running(both())
    message = LaneMoved(
        "v0/0", "1.0", "FAILED", error="e" * 5_000_000, traceback="a" + "t" * 5_000_000 + "z", user=True
    )
    story.tell(WorkerSaid(story.serial("v0/0"), message))
    failed = story.reports[0]
    assert isinstance(failed, LaneStateChanged) and failed.failure is not None
    assert len(failed.model_dump_json()) < 50_000
    assert failed.failure.traceback[0] == "a" and failed.failure.traceback[-1] == "z"


@pytest.mark.parametrize(("restart", "restarts"), [(NoRestart(), 0), (FixedDelay(attempts=2, delay_ms=100), 2)])
def test_the_plans_strategy_counts(restart: NoRestart | FixedDelay, restarts: int) -> None:
    story = Story(1).running(plan({"v0/0": ("tm1", 0, 1)}, restart=restart))
    for _ in range(restarts):
        story.say("v0/0", S.FAILED)
        assert story.lane("v0/0").failure is None
        story.tell(Tick(), after_ms=100)
    story.say("v0/0", S.FAILED)
    assert story.lane("v0/0").failure is not None


def test_a_new_claim_hears_of_failures_for_good_and_refusals_again() -> None:
    story = Story().running(both())
    story.say("v0/0", S.FAILED, retryable=False)
    story.tell(PlanChanged(OTHER, plan({"v0/0": ("tm1", 1, 1)}, job=OTHER)))
    story.tell(NewClaim(JOB, 30))
    assert [type(r) for r in story.reports] == [TaskManagerReport, LaneStateChanged]
    assert isinstance(story.reports[1], LaneStateChanged) and story.reports[1].fatal
    story.tell(NewClaim(OTHER, 31))
    assert [type(r) for r in story.reports] == [LaneRefused]


# ---- fences and sleep


def test_a_fenced_lane_goes_on_only_after_the_plans_were_read() -> None:
    story = Story().running(both())
    serial = story.serial("v0/0")
    story.tell(WorkerSaid(serial, LaneFenced("v0/0", "1.0")))
    assert story.effects == [RereadPlans(serial, JOB, "v0/0", "1.0")]
    story.tell(PlansReread(serial, JOB, "v0/0", "1.0"))
    assert story.sent == [(serial, ResumeLane("v0/0", "1.0"))]


def test_a_fenced_lane_that_is_no_longer_ours_is_stopped_and_not_resumed() -> None:
    story = Story().running(both())
    serial = story.serial("v0/0")
    story.tell(WorkerSaid(serial, LaneFenced("v0/0", "1.0")))
    story.tell(PlanChanged(JOB, plan({"v0/0": ("tm2", 0, 2), "v0/1": ("tm1", 1, 1)}, number=2)))
    assert story.sent == [(serial, StopLane("v0/0", "1.0"))]
    assert story.tell(PlansReread(serial, JOB, "v0/0", "1.0")) == []


def test_after_sleep_nothing_starts_before_the_plans_were_read_on() -> None:
    story = Story().running(both())
    story.tell(Tick())
    serial = story.serial("v0/0")
    story.tell(Tick(), after_ms=60_000)
    assert story.effects == [CatchUp()], "nobody is called silent for what was not heard"
    story.tell(WorkerExited(serial, "SIGKILL"))
    assert story.started == []
    story.tell(PlanChanged(JOB, plan({"v0/0": ("tm2", 0, 2), "v0/1": ("tm1", 1, 1)}, number=2)))
    story.tell(CaughtUp())
    assert story.started == [] and story.state.freshness is Freshness.FRESH
    assert (JOB, "v0/0") not in story.state.lanes


# ---- leaving


def test_leaving_tells_every_worker_to_exit_and_starts_nothing() -> None:
    story = Story().running(both())
    story.tell(Leave())
    assert [message for _, message in story.sent] == [Exit(), Exit()]
    for serial in list(story.state.workers):
        story.tell(WorkerExited(serial, "exit status 0"))
        assert [state for _, _, state in story.moves] == ["CANCELED"]
    assert story.state.workers == {}
    assert story.tell(Tick(), after_ms=1000) == []


# ---- views and mistakes


def test_occupied_are_slots_in_use_and_slots_not_quite_left() -> None:
    story = Story().running(both())
    assert occupied(story.state) == {"0": JOB, "1": JOB}
    story.tell(PlanChanged(JOB, plan({}, number=2, desired="STOPPED")))
    story.say("v0/0", S.CANCELED)
    assert occupied(story.state) == {"0": JOB, "1": JOB}
    story.tell(WorkerExited(story.worker_in(0) or 0, "exit status 0"))
    assert occupied(story.state) == {"1": JOB}


def test_a_finished_lane_keeps_its_slot_while_its_job_runs() -> None:
    story = Story(1).running(plan({"v0/0": ("tm1", 0, 1)}))
    story.say("v0/0", S.FINISHED)
    story.tell(WorkerExited(story.worker_in(0) or 0, "exit status 0"))
    assert occupied(story.state) == {"0": JOB}


def test_words_of_an_overtaken_attempt_are_not_heard() -> None:
    story = Story(1).running(plan({"v0/0": ("tm1", 0, 1)}))
    story.say("v0/0", S.FAILED)
    before = story.state.lanes
    story.say("v0/0", S.RUNNING, attempt="1.0")
    assert story.state.lanes == before
    assert story.effects == []


@pytest.mark.parametrize("twice", [S.INITIALIZING, S.RUNNING, S.FINISHED])
def test_a_word_that_comes_twice_is_heard_once(twice: LaneState) -> None:
    story = Story().planned(both())
    serial = story.serial("v0/0")
    story.say("v0/0", twice)
    assert len(story.moves) == 1
    assert story.say("v0/0", twice, serial=serial) == []


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (WorkerBeat(9), "there is no worker 9"),
        (WorkerExited(9, "SIGKILL"), "there is no worker 9"),
        (WorkerSaid(1, LaneMoved("v0/0", "7.0", "RUNNING")), "7.0 of lane v0/0 was never started, 1.0 was"),
        (WorkerSaid(1, LaneMoved("v0/0", "1.0", "CANCELED")), "nobody had asked"),
        (WorkerSaid(1, LaneMoved("v0/0", "1.0", "SCHEDULED")), "does not decide"),
    ],
)
def test_an_illegal_event_tells_the_story_and_changes_nothing(event: WorkerSaid, words: str) -> None:
    story = Story().running(both())
    before, image = story.state, msgspec.json.encode(story.state.id) + repr(story.state).encode()
    with pytest.raises(IllegalEventError, match=words):
        story.tell(event)
    assert story.state is before
    assert msgspec.json.encode(story.state.id) + repr(story.state).encode() == image
