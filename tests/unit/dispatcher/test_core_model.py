"""The rules hold whatever is written, and wherever a Dispatcher dies."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.dispatcher.world import JOB, RETENTION_MS, World

from headrace.dispatcher.events import AcceptedRead, DoneRead, Leased, SubmissionRead, Tick, Unleased

CONTENTS = ["a1" * 32, "b2" * 32, "c3" * 32]
JOBS = [JOB, "b" * 32]

writes = st.one_of(
    st.tuples(st.just("submit"), st.sampled_from(CONTENTS), st.sampled_from(JOBS)),
    st.tuples(st.just("cancel"), st.just(""), st.sampled_from(JOBS)),
    st.tuples(st.just("done"), st.just(""), st.sampled_from(JOBS)),
    st.tuples(st.just("end"), st.just(""), st.sampled_from(JOBS)),
    st.tuples(st.just("die"), st.integers(0, 4), st.just(JOB)),
    st.tuples(st.just("pause"), st.just(""), st.just(JOB)),
    st.tuples(st.just("read"), st.just(""), st.just(JOB)),
)


def play(steps: list[tuple[str, object, str]]) -> World:
    """Write and act step by step; afterwards a healthy Dispatcher has read everything."""
    world = World()
    world.take_over()
    ended: set[str] = set()
    for number, (what, argument, job_id) in enumerate(steps):
        match what:
            case "submit":
                world.submit(str(argument), f"r{number}", job_id)
            case "cancel":
                world.cancel(f"c{number}", job_id)
            case "done":
                for request_id in world.home.jobs[job_id].commands if job_id in world.home.jobs else ():
                    if job_id in world.masters:
                        world.done(request_id, job_id)
            case "end":
                if job_id in world.masters:
                    world.end(job_id=job_id)
                    ended.add(job_id)
            case "die":
                world.dies_after = int(str(argument))
                world.catch_up()
                world.take_over()
            case "pause":
                if not world.dead:
                    world.handle(Unleased())
                    world.catch_up()
                    world._pending.clear()
                    world.masters.clear()
                    world.handle(Leased())
            case "read":
                world.catch_up()
                for job_id in sorted(ended & world.masters):
                    world.master_ends(job_id)
    world.catch_up()
    for job_id in sorted(ended & world.masters):
        world.master_ends(job_id)
    world.catch_up()
    return world


@settings(max_examples=200, deadline=None)
@given(st.lists(writes, max_size=25))
def test_every_request_has_one_kind_of_answer_and_one_content_wins(steps):
    world = play(steps)
    accepted: dict[str, set[str]] = {}
    for event in world.log:
        if isinstance(event, AcceptedRead):
            accepted.setdefault(event.key.job_id, set()).add(event.accepted.content_sha256)
    for contents in accepted.values():
        assert len(contents) == 1
    for event in world.log:
        if isinstance(event, SubmissionRead):
            wins = event.content in accepted[event.key.job_id]
            assert set(world.answers(event.request_id)) == {"ACKNOWLEDGED" if wins else "REJECTED"}
    first = {e.key.job_id: e.content for e in reversed(world.log) if isinstance(e, SubmissionRead)}
    assert accepted == {job_id: {content} for job_id, content in first.items()}


@settings(max_examples=200, deadline=None)
@given(st.lists(writes, max_size=25))
def test_a_job_has_a_jobmaster_until_its_result_and_every_command_an_end(steps):
    world = play(steps)
    for job_id, job in world.home.jobs.items():
        assert (job_id in world.masters) == (job.accepted is not None and job.result is None)
        for request_id in job.commands:
            assert job_id in world.masters and request_id in world.handed
    refused = [asked for asked, answer in world.said if answer == "REFUSED"]
    assert len(refused) == len(set(refused)) or any(step[0] == "die" for step in steps)
    answered = {e.key.name for e in world.log if isinstance(e, DoneRead)}
    assert set(refused) <= answered


@settings(max_examples=200, deadline=None)
@given(st.lists(writes, max_size=20))
def test_after_retention_only_living_jobs_are_left(steps):
    world = play(steps)
    living = {job_id for job_id in world.home.jobs if job_id in world.masters}
    world.now_ms += RETENTION_MS + 1
    world.handle(Tick())
    world.catch_up()
    assert set(world.home.jobs) == living
    world.take_over()
    assert set(world.home.jobs) == living
    assert world.masters == living
