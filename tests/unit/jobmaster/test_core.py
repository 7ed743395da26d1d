"""The JobMaster's rules, step by step."""

from __future__ import annotations

import pytest
from tests.unit.jobmaster.job import EPOCH, JOB_ID, SOURCES, Story, grants

from headrace.jobmaster.core import step
from headrace.jobmaster.model import (
    Answer,
    CancelRequested,
    Custody,
    DeleteTopics,
    Done,
    FenceLanes,
    JobState,
    LanesFenced,
    PrepareTopics,
    Publish,
    Started,
    TaskManagerBack,
    TaskManagerLost,
    Tick,
    TopicsReady,
    TopicsRefused,
    WritePlan,
    WriteResult,
)
from headrace.jobmaster.reason import declaration_of, record_of
from headrace.jobmaster.status import TRANSITIONS, IllegalEventError
from headrace.protocol.states import ENDED, JobStatus, LaneState

LANES = ["v0/0", "v0/1", "v1/0", "v1/1"]


def kinds(story: Story) -> list[type]:
    return [type(effect) for effect in story.effects]


# ---- start


def test_a_new_job_checks_its_topics_before_anything_else() -> None:
    story = Story()
    story.tell(Started(EPOCH, None))
    assert kinds(story) == [Publish, PrepareTopics]
    assert declaration_of(story.state) is None
    assert story.plans == []


def test_slots_are_declared_once_the_topics_stand() -> None:
    story = Story().created()
    declaration = declaration_of(story.state)
    assert declaration is not None
    assert (declaration.needed, declaration.held, declaration.epoch) == (2, {}, EPOCH)


def test_the_first_plan_waits_for_every_slot() -> None:
    story = Story().created()
    story.tell(grants("tm1/0"))
    assert story.plans == []
    story.tell(grants("tm1/0", "tm2/3"))
    assert {lane: (a.taskmanager, a.slot, a.attempt) for lane, a in story.plan.lanes.items()} == {
        "v0/0": ("tm1", 0, 1),
        "v1/0": ("tm1", 0, 1),
        "v0/1": ("tm2", 3, 1),
        "v1/1": ("tm2", 3, 1),
    }
    assert (story.plan.desired, story.plan.source_partitions) == ("RUNNING", SOURCES)


def test_grants_for_another_epoch_are_not_taken() -> None:
    story = Story().created()
    story.tell(grants("tm1/0", "tm1/1", epoch=EPOCH - 1))
    assert story.plans == []


def test_too_few_slots_are_said_after_a_moment_and_again_when_the_numbers_change() -> None:
    story = Story().created()
    story.tell(grants(free=0, total=4))
    assert [event.type for event in story.events] == ["STATUS"]
    story.tell(Tick(), after_ms=600)
    assert (story.events[-1].type, story.events[-1].reason) == ("WAITING", "waiting for 2 slots: 0 of 4 free")
    story.tell(Tick(), after_ms=60_000)
    story.tell(grants(free=1, total=5))
    assert [e.reason for e in story.events if e.type == "WAITING"] == [
        "waiting for 2 slots: 0 of 4 free",
        "waiting for 2 slots: 1 of 5 free",
    ]
    assert record_of(story.state).reason == "waiting for 2 slots: 1 of 5 free"
    assert record_of(story.state).status is JobStatus.CREATED


def test_running_is_when_every_lane_runs_or_has_finished() -> None:
    story = Story().planned()
    for lane in LANES[:3]:
        story.tell(story.moved(lane, LaneState.RUNNING))
    assert story.state.status is JobStatus.CREATED
    story.tell(story.moved(LANES[3], LaneState.FINISHED))
    assert story.statuses == [JobStatus.CREATED, JobStatus.RUNNING]


def test_what_workers_need_before_they_start_is_said_as_it_changes() -> None:
    """The environment of a job with requirements takes a while."""
    story = Story().planned()
    for words in ("installing its requirements", "installing its requirements: Resolved 3 packages"):
        story.tell(story.moved(LANES[0], LaneState.SCHEDULED).model_copy(update={"reason": words}))
        story.tell(Tick(), after_ms=1_500)
    waits = [event.reason for event in story.events if event.type == "WAITING"]
    assert waits == [
        "waiting for 4 of 4 lanes to start: installing its requirements",
        "waiting for 4 of 4 lanes to start: installing its requirements: Resolved 3 packages",
    ]
    assert record_of(story.state).reason == waits[-1]
    for lane in LANES:
        story.tell(story.moved(lane, LaneState.RUNNING))
    assert (story.state.status, story.state.waiting, record_of(story.state).reason) == (JobStatus.RUNNING, None, "")


def test_missing_topics_fail_the_job_before_anything_starts() -> None:
    story = Story()
    story.tell(Started(EPOCH, None))
    story.tell(TopicsRefused("topic-missing", "no such Kafka topic: 'bids' (source bids)"))
    assert story.statuses == [JobStatus.CREATED, JobStatus.FAILING, JobStatus.FAILED]
    assert story.events[-1].code == "topic-missing"
    assert "'bids'" in story.events[-1].reason
    assert story.plan.lanes == {}
    assert DeleteTopics not in kinds(story)
    assert isinstance(story.effects[-1], Done)


# ---- the end


def test_a_job_finishes_when_every_lane_has() -> None:
    story = Story().running()
    for lane in LANES:
        story.tell(story.moved(lane, LaneState.FINISHED))
    assert story.state.status is JobStatus.FINISHED
    assert kinds(story) == [WritePlan, WriteResult, Publish, DeleteTopics, Done]
    assert (story.plan.desired, story.plan.lanes, story.plan.waiting) == ("STOPPED", {}, {})
    assert story.plan.outcome is not None
    assert story.plan.outcome.status is JobStatus.FINISHED


def test_a_job_of_no_time_at_all_is_running_before_it_is_finished() -> None:
    story = Story().planned()
    for lane in LANES:
        story.tell(story.moved(lane, LaneState.FINISHED))
    assert story.statuses == [JobStatus.CREATED, JobStatus.RUNNING, JobStatus.FINISHED]


def test_cancel_is_answered_after_the_stopped_plan_and_ends_when_every_lane_confirmed() -> None:
    story = Story().running()
    story.tell(CancelRequested("r1"))
    assert kinds(story) == [WritePlan, Publish, Answer]
    assert (story.plan.desired, set(story.plan.lanes)) == ("STOPPED", set(LANES))
    for lane in LANES[:3]:
        story.tell(story.moved(lane, LaneState.CANCELED))
    assert story.state.status is JobStatus.CANCELLING
    story.tell(story.moved(LANES[3], LaneState.CANCELED))
    assert kinds(story) == [WritePlan, WriteResult, Publish, DeleteTopics, Done]
    assert story.state.status is JobStatus.CANCELED


def test_cancel_while_waiting_for_slots_ends_at_once() -> None:
    story = Story().created()
    story.tell(CancelRequested("r1"))
    assert story.state.status is JobStatus.CANCELED
    assert [type(e) for e in story.effects[:3]] == [WritePlan, Publish, Answer]
    assert story.plan.desired == "STOPPED"


def test_cancel_twice_is_answered_twice() -> None:
    story = Story().running()
    story.tell(CancelRequested("r1"))
    story.tell(CancelRequested("r2"))
    assert story.effects == [Answer("r2", True)]


@pytest.mark.parametrize("end", [JobStatus.FINISHED, JobStatus.FAILING])
def test_cancel_of_a_job_that_ends_otherwise_is_refused(end: JobStatus) -> None:
    story = Story().running()
    if end is JobStatus.FINISHED:
        for lane in LANES:
            story.tell(story.moved(lane, LaneState.FINISHED))
    else:
        story.tell(story.moved("v0/0", LaneState.FAILED, fatal=True))
    story.tell(CancelRequested("r1"))
    assert story.effects == [Answer("r1", False, f"the job is {end} already")]


def test_canceled_waits_for_the_fence_of_lanes_on_a_lost_taskmanager() -> None:
    story = Story().running("tm1/0", "tm2/0")
    story.tell(CancelRequested("r1"))
    for lane in ("v0/0", "v1/0"):
        story.tell(story.moved(lane, LaneState.CANCELED))
    story.tell(TaskManagerLost("tm2"))
    assert FenceLanes(("v0/1", "v1/1")) in story.effects
    assert story.state.status is JobStatus.CANCELLING
    story.tell(LanesFenced(("v0/1",)))
    assert story.state.status is JobStatus.CANCELLING
    story.tell(LanesFenced(("v1/1",)))
    assert story.state.status is JobStatus.CANCELED


def test_a_failure_that_will_be_restarted_does_not_confirm_a_stop() -> None:
    story = Story().running()
    story.tell(story.moved("v0/0", LaneState.FAILED))
    story.tell(CancelRequested("r1"))
    for lane in LANES[1:]:
        story.tell(story.moved(lane, LaneState.CANCELED))
    assert story.state.status is JobStatus.CANCELLING
    story.tell(story.moved("v0/0", LaneState.CANCELED, attempt="1.1"))
    assert story.state.status is JobStatus.CANCELED


def test_a_lane_that_failed_for_good_fails_the_job_with_its_failure() -> None:
    story = Story().running()
    story.tell(story.moved("v1/0", LaneState.FAILED, fatal=True))
    assert story.state.status is JobStatus.FAILING
    assert (story.plan.desired, story.events[-1].code) == ("STOPPED", "user-code-failed")
    for lane in ("v0/0", "v0/1", "v1/1"):
        story.tell(story.moved(lane, LaneState.CANCELED))
    assert story.state.status is JobStatus.FAILED
    result = next(effect.result for effect in story.effects if isinstance(effect, WriteResult))
    assert result.failure is not None
    assert (result.failure.error, result.failure.lane) == ("ValueError: no", "v1/0")
    assert DeleteTopics not in kinds(story)


def test_a_lane_that_restarts_locally_leaves_the_job_running() -> None:
    story = Story().running()
    for attempt, state in [("1.0", "FAILED"), ("1.1", "DEPLOYING"), ("1.1", "INITIALIZING"), ("1.1", "RUNNING")]:
        story.tell(story.moved("v0/0", LaneState(state), attempt=attempt))
        assert story.state.lanes["v0/0"].state == state
    assert story.state.status is JobStatus.RUNNING


# ---- losses


def test_lanes_of_a_lost_taskmanager_leave_the_plan_are_fenced_and_only_then_placed_again() -> None:
    story = Story().running("tm1/0", "tm2/0")
    story.tell(TaskManagerLost("tm2"))
    assert kinds(story) == [WritePlan, FenceLanes]
    assert set(story.plan.lanes) == {"v0/0", "v1/0"}
    assert story.plan.waiting == {"v0/1": 1, "v1/1": 1}
    declaration = declaration_of(story.state)
    assert declaration is not None
    assert declaration.held == {"0": "tm1/0"}
    story.tell(grants("tm1/0", "tm3/0"))
    assert len(story.plans) == 2, "not before they are fenced"
    story.tell(LanesFenced(("v0/1",)))
    assert len(story.plans) == 2, "a slot's lanes go together"
    story.tell(LanesFenced(("v1/1",)))
    assert (story.plan.lanes["v0/1"].taskmanager, story.plan.lanes["v0/1"].attempt) == ("tm3", 2)
    assert story.plan.lanes["v0/0"].attempt == 1
    assert story.state.status is JobStatus.RUNNING
    assert [plan.number for plan in story.plans] == [1, 2, 3]


def test_a_grant_on_a_lost_taskmanager_is_not_taken_until_it_is_back() -> None:
    """The ResourceManager learns of the loss a moment later than the JobMaster."""
    story = Story().running("tm1/0", "tm2/0")
    story.tell(TaskManagerLost("tm2"))
    story.tell(LanesFenced(("v0/1", "v1/1")))
    story.tell(grants("tm1/0", "tm2/0"))
    assert len(story.plans) == 2
    story.tell(TaskManagerBack("tm2"))
    story.tell(grants("tm1/0", "tm2/0"))
    assert story.plan.lanes["v0/1"].attempt == 2


def test_lost_lanes_wait_for_a_slot_with_a_reason_while_the_job_runs_on() -> None:
    story = Story().running("tm1/0", "tm2/0")
    story.tell(TaskManagerLost("tm2"))
    story.tell(LanesFenced(("v0/1", "v1/1")))
    story.tell(grants("tm1/0", free=0, total=3))
    story.tell(Tick(), after_ms=600)
    record = record_of(story.state)
    assert record.status is JobStatus.RUNNING
    assert record.reason == "waiting for 1 slot: 0 of 3 free since 00:00:01 UTC"
    assert record.lanes["v0/1"].state is LaneState.SCHEDULED
    assert story.events[-1].type == "WAITING"


def test_a_finished_lane_is_not_placed_again() -> None:
    story = Story().running("tm1/0", "tm2/0")
    story.tell(story.moved("v0/1", LaneState.FINISHED))
    story.tell(TaskManagerLost("tm2"))
    assert FenceLanes(("v1/1",)) in story.effects
    story.tell(LanesFenced(("v1/1",)))
    story.tell(grants("tm1/0", "tm3/0"))
    assert "v0/1" not in story.plan.lanes
    assert story.plan.lanes["v1/1"].attempt == 2


def test_a_slot_granted_but_not_used_yet_is_lost_with_its_taskmanager_and_no_other() -> None:
    story = Story(3).created()
    story.tell(grants("tm1/0", "tm2/0"))
    story.tell(TaskManagerLost("tm2"))
    assert [str(place) for place in story.state.slots.values()] == ["tm1/0"]


def test_a_refused_slot_is_given_back_and_not_taken_again_at_once() -> None:
    story = Story().planned()
    story.tell(story.refused("v0/1"))
    assert kinds(story) == [WritePlan], "nothing started there: nothing to fence"
    assert set(story.plan.lanes) == {"v0/0", "v1/0"}
    story.tell(grants("tm1/0", "tm1/1"))
    assert len(story.plans) == 2
    story.tell(grants("tm1/0", "tm2/0"))
    assert story.plan.lanes["v0/1"].attempt == 2
    assert story.state.status is JobStatus.CREATED


def test_a_refused_slot_may_be_taken_again_later() -> None:
    story = Story().planned()
    story.tell(story.refused("v0/1"))
    story.tell(grants("tm1/0", "tm1/1"), after_ms=1001)
    assert story.plan.lanes["v0/1"].slot == 1


def test_lanes_that_ran_in_a_slot_that_is_refused_later_are_fenced() -> None:
    story = Story().running()
    story.tell(story.refused("v0/1"))
    assert kinds(story) == [WritePlan, FenceLanes]
    assert story.state.lanes["v1/1"].custody is Custody.FENCING


def test_a_refusal_of_an_older_attempt_changes_nothing() -> None:
    story = Story().running()
    before = story.state
    story.tell(story.refused("v0/1", attempt=7))
    assert story.state == before


# ---- reports that do not count


@pytest.mark.parametrize(
    ("attempt", "taskmanager", "instance", "state"),
    [
        ("0.9", "", "i1", "RUNNING"),  # an older planned attempt
        ("2.0", "", "i1", "RUNNING"),  # one that was never planned
        ("1.0", "tm9", "i1", "FAILED"),  # not its TaskManager
        ("1.0", "", "i1", "FAILED"),  # behind local restart 2
        ("1.2", "", "i1", "DEPLOYING"),  # goes back
    ],
)
def test_late_and_foreign_reports_change_nothing(attempt: str, taskmanager: str, instance: str, state: str) -> None:
    story = Story().running()
    story.tell(story.moved("v0/0", LaneState.RUNNING, attempt="1.2"))
    before = story.state
    story.tell(story.moved("v0/0", LaneState(state), attempt=attempt, taskmanager=taskmanager, instance=instance))
    assert story.state == before


def test_a_restarted_taskmanager_counts_local_restarts_from_zero() -> None:
    story = Story().running()
    story.tell(story.moved("v0/0", LaneState.RUNNING, attempt="1.7"))
    story.tell(story.moved("v0/0", LaneState.DEPLOYING, attempt="1.0", instance="i2"))
    assert record_of(story.state).lanes["v0/0"].state is LaneState.DEPLOYING


def test_finished_is_not_taken_back() -> None:
    story = Story().running()
    story.tell(story.moved("v0/0", LaneState.FINISHED))
    story.tell(story.moved("v0/0", LaneState.DEPLOYING, attempt="1.0", instance="i2"))
    assert story.state.lanes["v0/0"].finished


def test_every_report_may_come_twice() -> None:
    once, twice = Story().running(), Story().planned()
    for lane in LANES:
        for _ in range(2):
            twice.tell(twice.moved(lane, LaneState.RUNNING))
    assert twice.state.lanes == once.state.lanes
    assert twice.statuses == once.statuses


# ---- adoption


def adopted(earlier: Story, epoch: int = EPOCH + 5) -> Story:
    story = Story()
    story.tell(Started(epoch, earlier.plan))
    return story


def test_adoption_repeats_the_attempts_first_and_restarts_nothing() -> None:
    earlier = Story().running()
    story = adopted(earlier)
    assert isinstance(story.effects[0], WritePlan)
    assert story.plan.lanes == earlier.plan.lanes
    assert story.plan.epoch == EPOCH + 5
    assert story.state.status is JobStatus.RECONCILING
    story.tell(story.report("tm1", {lane: ("1.3", LaneState.RUNNING) for lane in LANES}))
    assert story.statuses == [JobStatus.RECONCILING, JobStatus.RUNNING]
    assert len(story.plans) == 1


def test_an_adopted_job_whose_lanes_have_all_finished_finishes() -> None:
    story = adopted(Story().running())
    story.tell(story.report("tm1", {lane: ("1.0", LaneState.FINISHED) for lane in LANES}))
    assert story.state.status is JobStatus.FINISHED


def test_adoption_fences_lanes_that_had_lost_their_place() -> None:
    earlier = Story().running("tm1/0", "tm2/0")
    earlier.tell(TaskManagerLost("tm2"))
    story = adopted(earlier)
    assert FenceLanes(("v0/1", "v1/1")) in story.effects
    story.tell(LanesFenced(("v0/1", "v1/1")))
    story.tell(grants("tm1/0", "tm3/0", epoch=EPOCH + 5))
    assert story.plan.lanes["v1/1"].attempt == 2


@pytest.mark.parametrize("end", [JobStatus.CANCELED, JobStatus.FAILED])
def test_an_end_that_was_begun_is_brought_to_the_same_end(end: JobStatus) -> None:
    earlier = Story().running()
    if end is JobStatus.CANCELED:
        earlier.tell(CancelRequested("r1"))
    else:
        earlier.tell(earlier.moved("v0/0", LaneState.FAILED, fatal=True))
    story = adopted(earlier)
    assert story.plan.desired == "STOPPED"
    story.tell(story.report("tm1", {lane: ("1.0", LaneState.CANCELED) for lane in LANES}))
    assert story.state.status is end
    assert story.state.outcome is not None
    assert story.state.outcome.failure == (earlier.state.outcome.failure if earlier.state.outcome else None)


@pytest.mark.parametrize("end", [JobStatus.CANCELED, JobStatus.FINISHED])
def test_an_end_that_lacks_only_its_result_gets_it(end: JobStatus) -> None:
    earlier = Story().running()
    if end is JobStatus.CANCELED:
        earlier.tell(CancelRequested("r1"))
    for lane in LANES:
        earlier.tell(earlier.moved(lane, LaneState(end)))
    assert earlier.plan.lanes == {}
    story = adopted(earlier)
    assert story.state.status is end
    assert [type(e) for e in story.effects[-4:]] == [WriteResult, Publish, DeleteTopics, Done]


# ---- mistakes


def test_the_table_leaves_no_end_and_reaches_every_end() -> None:
    assert all(TRANSITIONS[end] == frozenset() for end in ENDED)
    reached = {JobStatus.INITIALIZING}
    while True:
        further = reached | {after for before in reached for after in TRANSITIONS[before]}
        if further == reached:
            break
        reached = further
    assert reached == set(TRANSITIONS)


@pytest.mark.parametrize(
    "event", [Tick(), CancelRequested("r"), TopicsReady({}), LanesFenced(("v0/0",)), TaskManagerLost("tm1")]
)
def test_nothing_comes_before_the_claim(event: object) -> None:
    state = Story().state
    with pytest.raises(IllegalEventError, match=JOB_ID):
        step(state, event, 2000)  # type: ignore[arg-type]
    assert state == JobState.of(state.job, 1000)


def test_an_illegal_event_tells_the_story_and_changes_nothing() -> None:
    story = Story().running()
    before = story.state
    for event, words in [
        (Started(99, None), "came twice, now in RUNNING"),
        (LanesFenced(("v0/0",)), "v0/0, which is not being fenced"),
        (TopicsReady(SOURCES), "although the topics stand"),
    ]:
        with pytest.raises(IllegalEventError, match=words):
            story.tell(event)
        assert story.state == before


def test_after_the_end_nothing_matters_any_more() -> None:
    story = Story().running()
    for lane in LANES:
        story.tell(story.moved(lane, LaneState.FINISHED))
    before = story.state
    for event in (Tick(), TaskManagerLost("tm1"), grants("tm1/0"), TopicsReady({})):
        assert story.tell(event) == []
        assert story.state == before
