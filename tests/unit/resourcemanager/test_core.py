"""Who gets which slot."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.protocol.control import SlotDeclaration, SlotGrants, TaskManagerRecord
from headrace.resourcemanager.core import SILENT_MS, Beats, changed, reconcile


def tm(tm_id: str, slots: int, occupied: dict[str, str] | None = None, counter: int = 0) -> TaskManagerRecord:
    return TaskManagerRecord(
        id=tm_id, instance="i", counter=counter, host="h", pid=1, slots=slots, occupied=occupied or {}
    )


def tms(*records: TaskManagerRecord) -> dict[str, TaskManagerRecord]:
    return {record.id: record for record in records}


def job(job_id: str, needed: int, held: dict[str, str] | None = None, since_ms: int = 0) -> SlotDeclaration:
    return SlotDeclaration(job_id=job_id, epoch=1, needed=needed, held=held or {}, since_ms=since_ms)


def run(declarations, taskmanagers, grants=None) -> dict[str, SlotGrants]:
    return reconcile({d.job_id: d for d in declarations}, taskmanagers, grants or {}, 0)


def places(found: dict[str, SlotGrants]) -> dict[str, dict[str, str]]:
    return {job_id: grant.grants for job_id, grant in found.items()}


def test_slots_are_spread_evenly():
    found = run([job("a", 4)], tms(tm("x", 2), tm("y", 4), tm("z", 2)))
    assert places(found) == {"a": {"0": "y/0", "1": "y/1", "2": "x/0", "3": "y/2"}}
    assert (found["a"].free, found["a"].total) == (4, 8)
    even = run([job("a", 4)], tms(tm("x", 4), tm("y", 4)))
    assert sorted(even["a"].grants.values()) == ["x/0", "x/1", "y/0", "y/1"]


def test_a_new_job_gets_all_or_nothing_and_blocks_nobody():
    found = run([job("a", 3, since_ms=1), job("b", 2, since_ms=2)], tms(tm("x", 2)))
    assert places(found) == {"a": {}, "b": {"0": "x/0", "1": "x/1"}}
    assert (found["a"].free, found["a"].total) == (0, 2)


def test_the_older_declaration_comes_first():
    found = run([job("a", 2, since_ms=2), job("b", 2, since_ms=1)], tms(tm("x", 3)))
    assert places(found) == {"a": {}, "b": {"0": "x/0", "1": "x/1"}}


def test_held_slots_never_move():
    held = {"0": "x/1", "1": "x/0"}
    found = run([job("a", 3, held)], tms(tm("x", 2, {"1": "a", "0": "a"}), tm("y", 8)))
    assert places(found) == {"a": {"0": "x/1", "1": "x/0", "2": "y/0"}}


def test_given_slots_stay_until_they_are_held():
    first = run([job("a", 2)], tms(tm("x", 2), tm("y", 2)))
    again = run([job("a", 2), job("b", 1)], tms(tm("x", 9), tm("y", 2)), first)
    assert again["a"].grants == first["a"].grants
    assert again["b"].grants == {"0": "x/1"}


def test_slots_of_a_lost_taskmanager_are_replaced_before_new_jobs_are_served():
    found = run(
        [job("new", 1, since_ms=0), job("old", 2, {"0": "gone/0", "1": "x/0"}, since_ms=9)],
        tms(tm("x", 2, {"0": "old"})),
    )
    assert places(found) == {"new": {}, "old": {"0": "x/1", "1": "x/0"}}


def test_a_job_that_lost_some_slots_takes_what_there_is():
    found = run([job("a", 3, {"0": "x/0"})], tms(tm("x", 2, {"0": "a"})))
    assert places(found) == {"a": {"0": "x/0", "1": "x/1"}}


def test_a_slot_in_which_another_job_runs_is_nobodys():
    """Its JobMaster may be away: it has declared nothing."""
    taskmanagers = tms(tm("x", 2, {"0": "silent"}))
    found = run([job("a", 1)], taskmanagers, {"a": SlotGrants(job_id="a", epoch=1, grants={"0": "x/0"})})
    assert places(found) == {"a": {"0": "x/1"}}
    assert (found["a"].free, found["a"].total) == (0, 2)


def test_grants_of_a_later_epoch_are_not_taken_over():
    stale = {"a": SlotGrants(job_id="a", epoch=2, grants={"0": "x/1"})}
    assert places(run([job("a", 1)], tms(tm("x", 2)), stale)) == {"a": {"0": "x/0"}}


def test_strange_texts_are_left_out():
    held = {"zero": "x/0", "1": "x/one", "2": "nowhere", "7": "x/1"}
    assert places(run([job("a", 2, held)], tms(tm("x", 2, {"?": "b"})))) == {"a": {"0": "x/0", "1": "x/1"}}


def test_only_differences_are_written():
    stored = run([job("a", 1)], tms(tm("x", 2)))
    same = reconcile({"a": job("a", 1)}, tms(tm("x", 2)), stored, 99)
    assert changed(same, stored) == []
    more = reconcile({"a": job("a", 1)}, tms(tm("x", 3)), stored, 99)
    assert [grant.total for grant in changed(more, stored)] == [3]
    assert [grant.job_id for grant in changed(stored, {})] == ["a"]


def test_a_silent_taskmanager_gets_no_work_and_a_new_identity_gives_time():
    beats = Beats().read("one", tms(tm("x", 1, counter=1), tm("y", 1, counter=1)), 0)
    beats = beats.read("one", tms(tm("x", 1, counter=2), tm("y", 1, counter=1)), 2000)
    assert beats.live("x", SILENT_MS) and not beats.live("y", SILENT_MS)
    assert not beats.live("z", 0)
    flushed = beats.read("two", tms(tm("y", 1, counter=1)), SILENT_MS)
    assert flushed.live("y", 2 * SILENT_MS - 1) and not flushed.live("y", 2 * SILENT_MS)
    assert beats.failed(5000).live("y", 5000 + SILENT_MS - 1)
    restarted = tms(tm("y", 1, counter=1).model_copy(update={"instance": "j"}))
    assert beats.read("one", restarted, 4000).live("y", 4000 + SILENT_MS - 1)


names = st.sampled_from(["a", "b", "c", "d"])
slot_texts = st.builds(lambda t, n: f"{t}/{n}", st.sampled_from("xyz"), st.integers(0, 3))
helds = st.dictionaries(st.integers(0, 4).map(str), slot_texts, max_size=4)
declared = st.builds(job, names, st.integers(0, 5), helds, st.integers(0, 3))
records = st.builds(
    tm, st.sampled_from("xyz"), st.integers(0, 4), st.dictionaries(st.integers(0, 3).map(str), names, max_size=3)
)


@settings(max_examples=300, deadline=None)
@given(st.lists(declared, max_size=4), st.lists(records, max_size=3))
def test_no_slot_is_given_twice_and_the_answer_is_stable(declarations, found):
    wanted, taskmanagers = {d.job_id: d for d in declarations}, tms(*found)
    first = reconcile(wanted, taskmanagers, {}, 0)
    given_out = [place for grant in first.values() for place in grant.grants.values()]
    assert len(given_out) == len(set(given_out))
    for job_id, grant in first.items():
        assert all(int(index) < wanted[job_id].needed for index in grant.grants)
        for place in grant.grants.values():
            tm_id, _, slot = place.partition("/")
            assert int(slot) < taskmanagers[tm_id].slots
            assert taskmanagers[tm_id].occupied.get(slot, job_id) == job_id
    assert reconcile(wanted, taskmanagers, first, 0) == first
