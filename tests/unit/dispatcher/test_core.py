"""The rules of a home partition, one by one."""

from __future__ import annotations

import pytest
from tests.unit.dispatcher.world import JOB, RETENTION_MS, World

from headrace.dispatcher.core import ANSWER_AGAIN_MS, SWEEP_MS, HomePartition, IllegalEventError, Phase
from headrace.dispatcher.events import (
    Accept,
    AcceptedRead,
    Gained,
    Leased,
    Lost,
    Removed,
    Replayed,
    Retire,
    StopMaster,
    SubmissionRead,
    Tick,
    Unleased,
)
from headrace.protocol.control import Accepted
from headrace.protocol.job_log import JobLogKey, Kind
from headrace.protocol.states import JobStatus

A, B = "a1" * 32, "b2" * 32


def acting() -> World:
    world = World()
    world.take_over()
    return world


def test_first_content_is_accepted_acknowledged_and_started():
    world = acting()
    world.submit(A, "r1")
    world.catch_up()
    assert world.answers("r1") == ["ACKNOWLEDGED"]
    assert world.masters == {JOB}


def test_same_content_is_acknowledged_again_and_starts_nothing():
    world = acting()
    world.submit(A, "r1")
    world.catch_up()
    world.submit(A, "r2")
    world.catch_up()
    assert world.said == [("r1", "ACKNOWLEDGED"), ("r2", "ACKNOWLEDGED")]
    assert world.masters == {JOB}


def test_other_content_is_rejected_and_removed_even_after_the_end():
    world = acting()
    world.submit(A, "r1")
    world.submit(B, "r2")
    world.catch_up()
    world.end()
    world.catch_up()
    world.master_ends()
    world.submit(B, "r3")
    world.submit(A, "r4")
    world.catch_up()
    assert dict(world.said) == {"r1": "ACKNOWLEDGED", "r2": "REJECTED", "r3": "REJECTED", "r4": "ACKNOWLEDGED"}
    assert set(world.home.jobs[JOB].submissions) == {A}
    assert world.masters == set()


def test_nothing_is_done_before_the_replay_is_over_and_the_lease_is_held():
    world = World()
    world.submit(B, "r1")
    world.submit(A, "r2")
    world.handle(Gained())
    world.catch_up()
    world.handle(Replayed())
    world.catch_up()
    assert world.said == [] and world.masters == set()
    world.handle(Leased())
    world.catch_up()
    assert world.said == [("r1", "ACKNOWLEDGED"), ("r2", "REJECTED")]


def test_the_first_content_stays_first_when_it_comes_again():
    """Everybody decides the same, whether they act or only read: a newer record of A does not let B win."""
    world = World()
    world.handle(Gained())
    world.handle(Replayed())
    world.submit(A, "r1")
    world.submit(B, "r2")
    world.submit(A, "r3")
    world.catch_up()
    world.handle(Leased())
    world.catch_up()
    assert dict(world.said) == {"r1": "ACKNOWLEDGED", "r2": "REJECTED", "r3": "ACKNOWLEDGED"}


def test_a_take_over_adopts_and_answers_again_only_the_young():
    world = acting()
    world.submit(A, "r1")
    world.catch_up()
    world.now_ms += ANSWER_AGAIN_MS
    world.submit(A, "r2")
    world.catch_up()
    world.said.clear()
    world.take_over()
    assert world.said == [("r2", "ACKNOWLEDGED")]
    assert world.masters == {JOB}


def test_a_submission_that_nobody_decided_is_answered_however_old():
    world = World()
    world.submit(A, "r1")
    world.now_ms += 10 * ANSWER_AGAIN_MS
    world.take_over()
    assert world.said == [("r1", "ACKNOWLEDGED")]


def test_a_command_goes_to_the_jobmaster_once():
    world = acting()
    world.submit(A, "r1")
    world.cancel("c1")
    world.catch_up()
    world.cancel("c1")
    world.catch_up()
    assert world.handed == ["c1"]
    world.done("c1")
    world.catch_up()
    world.take_over()
    assert world.handed == ["c1"]


def test_an_unanswered_command_goes_to_the_next_jobmaster():
    world = acting()
    world.submit(A, "r1")
    world.cancel("c1")
    world.catch_up()
    world.take_over()
    assert world.handed == ["c1", "c1"]


def test_commands_to_unknown_or_ended_jobs_are_refused_once():
    world = acting()
    world.cancel("c1", "b" * 32)
    world.submit(A, "r1")
    world.catch_up()
    world.end()
    world.catch_up()
    world.master_ends()
    world.cancel("c2")
    world.catch_up()
    world.take_over()
    assert world.answers("c1") == ["REFUSED"]
    assert world.answers("c2") == ["REFUSED"]
    assert world.handed == []


def test_a_command_that_its_jobmaster_answered_before_the_end_is_not_refused_too():
    """The JobMaster ends before the Dispatcher has read what it wrote last."""
    world = acting()
    world.submit(A, "r1")
    world.cancel("c1")
    world.catch_up()
    world.master_ends()
    world.catch_up()
    assert world.answers("c1") == [] and world.masters == set()
    world.done("c1")
    world.end(JobStatus.CANCELED)
    world.catch_up()
    assert world.answers("c1") == []
    assert [c.result.status for c in world.concluded] == [JobStatus.CANCELED]


def test_a_command_that_the_job_outran_is_refused_when_its_jobmaster_has_ended():
    world = acting()
    world.submit(A, "r1")
    world.catch_up()
    world.end()
    world.cancel("c1")
    world.catch_up()
    assert world.answers("c1") == []  # the JobMaster is still there and may answer
    world.master_ends()
    world.catch_up()
    assert world.answers("c1") == ["REFUSED"]


def test_losing_the_lease_stops_jobmasters_and_gaining_it_starts_them():
    world = acting()
    world.submit(A, "r1")
    world.catch_up()
    assert world.home.handle(Unleased(), world.now_ms) == [StopMaster(JOB)]
    world.masters.clear()
    world.submit(A, "r2")
    world.catch_up()
    assert world.answers("r2") == []
    world.handle(Leased())
    world.catch_up()
    assert world.masters == {JOB} and world.answers("r2") == ["ACKNOWLEDGED"]
    assert world.home.handle(Lost(), world.now_ms) == [StopMaster(JOB)]
    assert world.home.jobs == {} and world.home.phase is Phase.ABSENT


def test_topics_of_a_job_that_just_ended_are_swept_after_a_take_over():
    world = acting()
    world.submit(A, "r1")
    world.end()
    world.take_over()
    assert [c.sweep for c in world.concluded] == [True]
    world.now_ms += SWEEP_MS
    world.take_over()
    assert [c.sweep for c in world.concluded] == [True, False]


def test_topics_of_a_failed_job_are_not_swept():
    world = acting()
    world.submit(A, "r1")
    world.end(JobStatus.FAILED)
    world.take_over()
    assert [c.sweep for c in world.concluded] == [False]


def test_an_ended_job_is_retired_after_retention_and_its_id_is_free_again():
    world = acting()
    world.submit(A, "r1")
    world.cancel("c1")
    world.done("c1")
    world.catch_up()
    world.end()
    world.catch_up()
    world.master_ends()
    world.now_ms += RETENTION_MS
    world.handle(Tick())
    world.catch_up()
    assert world.retired == []
    world.now_ms += 1
    world.handle(Tick())
    world.handle(Tick())
    world.catch_up()
    assert world.retired == [JOB]
    assert world.home.jobs == {}
    world.submit(B, "r2")
    world.catch_up()
    assert world.answers("r2") == ["ACKNOWLEDGED"] and world.masters == {JOB}


def test_a_submission_during_retirement_begins_a_new_life():
    world = acting()
    world.submit(A, "r1")
    world.catch_up()
    world.end()
    world.catch_up()
    world.master_ends()
    world.catch_up()
    world.now_ms += RETENTION_MS + 1
    world.handle(Tick())
    world.submit(B, "r2")
    world.catch_up()
    assert world.answers("r2") == ["ACKNOWLEDGED"] and world.masters == {JOB}


def test_keys_of_a_job_that_never_was_are_retired_too():
    world = acting()
    world.cancel("c1")
    world.catch_up()
    world.now_ms += RETENTION_MS + 1
    world.handle(Tick())
    world.catch_up()
    assert world.retired == [JOB] and world.home.jobs == {}


@pytest.mark.parametrize(
    ("events", "illegal"),
    [
        ([], Replayed()),
        ([], Leased()),
        ([], Lost()),
        ([Gained()], Gained()),
        ([Gained()], Leased()),
        ([Gained(), Replayed()], Unleased()),
        ([Gained(), Replayed(), Leased()], Leased()),
    ],
)
def test_an_illegal_event_raises_and_changes_nothing(events, illegal):
    home = HomePartition(3, RETENTION_MS)
    for event in events:
        home.handle(event, 0)
    phase = home.phase
    with pytest.raises(IllegalEventError, match="partition 3"):
        home.handle(illegal, 0)
    assert home.phase is phase


def test_a_command_that_is_done_is_not_run_when_it_comes_again():
    world = acting()
    world.submit(A, "r1")
    world.cancel("c1")
    world.catch_up()
    world.done("c1")
    world.cancel("c1")
    world.catch_up()
    world.take_over()
    assert world.handed == ["c1"]


@pytest.mark.parametrize("ok", [True, False])
def test_a_command_that_is_done_is_answered_again_when_it_comes_again(ok):
    world = acting()
    world.submit(A, "r1")
    world.cancel("c1")
    world.catch_up()
    world.done("c1", ok=ok)
    world.catch_up()
    assert world.answers("c1") == []  # its JobMaster said it
    world.cancel("c1")
    world.catch_up()
    assert world.answers("c1") == ["DONE" if ok else "REFUSED"]
    world.take_over()  # what was said is not said again by who reads it later
    assert world.answers("c1") == ["DONE" if ok else "REFUSED"]
    world.cancel("c1")
    world.catch_up()
    assert world.answers("c1") == ["DONE" if ok else "REFUSED"] * 2
    assert world.handed == ["c1"]


def test_the_first_accepted_stands():
    world = acting()
    world.submit(A, "r1")
    world.catch_up()
    stray = Accepted(job_id=JOB, content_sha256=B, at_ms=0)
    world.log.append(AcceptedRead(JobLogKey(JOB, Kind.ACCEPTED), stray))
    world.submit(A, "r2")
    world.submit(B, "r3")
    world.catch_up()
    assert world.said[1:] == [("r2", "ACKNOWLEDGED"), ("r3", "REJECTED")]


def test_a_command_is_handed_again_after_the_lease_was_lost():
    world = acting()
    world.submit(A, "r1")
    world.cancel("c1")
    world.catch_up()
    world.handle(Unleased())
    world.catch_up()
    world.handle(Leased())
    world.catch_up()
    assert world.handed == ["c1", "c1"]


def test_one_decision_is_under_way_at_a_time():
    home = HomePartition(0, RETENTION_MS)
    for event in (Gained(), Replayed(), Leased()):
        home.handle(event, 0)
    submissions = [
        SubmissionRead(JobLogKey(JOB, Kind.SUBMISSION, content), n, 0, f"r{n}") for n, content in enumerate([A, B, A])
    ]
    assert [home.handle(event, 0) for event in submissions] == [[Accept(JOB, A)], [], []]


@pytest.mark.parametrize("removed", range(6))
def test_a_retirement_cut_short_is_finished_by_the_next_owner(removed):
    world = acting()
    world.submit(A, "r1")
    world.cancel("c1")
    world.done("c1")
    world.catch_up()
    world.end()
    world.catch_up()
    world.master_ends()
    world.catch_up()
    world.now_ms += RETENTION_MS + 1
    (retire,) = world.home.handle(Tick(), world.now_ms)
    assert isinstance(retire, Retire) and len(retire.keys) == 5
    world.log += [Removed(key) for key in retire.keys[:removed]]
    world.take_over()
    assert world.masters == set()
    world.handle(Tick())
    world.catch_up()
    assert world.home.jobs == {} and world.masters == set()
    assert world.answers("c1") == []
