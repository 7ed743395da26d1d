"""Which plan counts, whatever is in the partition and whenever one starts to read it."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.taskmanager.plans import JOB, OTHER, both

from headrace.protocol.control import Plan
from headrace.protocol.fence import (
    Change,
    Claimed,
    Forgotten,
    PlanFence,
    Planned,
    Unreadable,
    claim_key,
    plan_key,
)


class Partition:
    """A partition of plans, and a reader that keeps up with it."""

    def __init__(self) -> None:
        self.records: list[tuple[int, str, bytes | None]] = []
        self.fence = PlanFence()

    def add(self, key: str, value: bytes | None) -> Change | None:
        self.records.append((len(self.records), key, value))
        return self.fence.feed(*self.records[-1])

    def claim(self, job: str = JOB) -> int:
        self.add(claim_key(job), b"{}")
        return len(self.records) - 1

    def plan(self, epoch: int, number: int = 1, job: str = JOB) -> Plan | None:
        plan = both(epoch=epoch, number=number, job=job)
        change = self.add(plan_key(job, epoch), plan.model_dump_json().encode())
        return change.plan if isinstance(change, Planned) else None


def test_a_plan_below_a_claim_before_it_does_not_count() -> None:
    partition = Partition()
    first, second = partition.claim(), partition.claim()
    assert partition.plan(first) is None
    assert partition.plan(second) is not None
    assert partition.plan(first, number=99) is None
    assert partition.fence.epoch(JOB) == second


def test_the_plan_of_an_older_epoch_counts_until_the_next_one_comes() -> None:
    partition = Partition()
    first = partition.claim()
    old = partition.plan(first)
    second = partition.claim()
    assert partition.fence.plan(JOB) == old
    new = partition.plan(second)
    assert partition.fence.plan(JOB) == new


def test_within_an_epoch_the_higher_number_counts() -> None:
    partition = Partition()
    epoch = partition.claim()
    partition.plan(epoch, number=2)
    assert partition.plan(epoch, number=2) is None
    assert partition.plan(epoch, number=1) is None
    assert partition.plan(epoch, number=3) is not None


def test_only_the_tombstone_of_the_plan_that_counts_matters() -> None:
    partition = Partition()
    first = partition.claim()
    partition.plan(first)
    second = partition.claim()
    partition.plan(second)
    assert partition.add(plan_key(JOB, first), None) is None
    assert partition.add(plan_key(JOB, second), None) == Forgotten(JOB)
    assert partition.add(claim_key(JOB), None) is None
    assert partition.fence.epoch(JOB) == -1


def test_jobs_do_not_disturb_each_other() -> None:
    partition = Partition()
    mine = partition.claim(JOB)
    other = partition.claim(OTHER)
    assert partition.plan(mine, job=JOB) is not None
    assert partition.plan(other, job=OTHER) is not None


def test_what_cannot_be_read_changes_nothing_and_is_told() -> None:
    partition = Partition()
    epoch = partition.claim()
    plan = partition.plan(epoch)
    for key in (plan_key(JOB, epoch), f"{JOB}/plan/x", "stray", f"{JOB}/something"):
        assert isinstance(partition.add(key, b"\xff{"), Unreadable)
    assert partition.fence.plan(JOB) == plan


def test_records_fed_again_are_skipped() -> None:
    partition = Partition()
    epoch = partition.claim()
    partition.plan(epoch)
    assert [partition.fence.feed(*record) for record in partition.records] == [None, None]
    assert isinstance(Partition().fence.feed(0, claim_key(JOB), b"{}"), Claimed)


@settings(deadline=None, max_examples=200, derandomize=True)
@given(st.lists(st.one_of(st.just("claim"), st.tuples(st.integers(0, 3), st.integers(1, 3))), max_size=12))
def test_a_reader_after_compaction_agrees_with_one_that_saw_everything(steps: list[object]) -> None:
    """Once the newest JobMaster has written a plan: as its claim was read before any of its plans."""
    partition = Partition()
    claims = [partition.claim()]
    for what in [*steps, "claim"]:
        if what == "claim":
            claims.append(partition.claim())
        else:
            index, number = what  # type: ignore[misc]
            partition.plan(claims[index % len(claims)], number)
    partition.plan(claims[-1], 1)
    newest = {key: offset for offset, key, _ in partition.records}
    late = PlanFence()
    for offset, key, value in partition.records:
        if newest[key] == offset:
            late.feed(offset, key, value)
    assert late.plan(JOB) == partition.fence.plan(JOB)
    assert late.epoch(JOB) == partition.fence.epoch(JOB) == claims[-1]


def test_every_order_of_two_writers_ends_with_the_newest_epoch() -> None:
    for order in itertools.permutations([("a", 1), ("a", 2), ("b", 1), ("b", 2)]):
        partition = Partition()
        epochs = {"a": partition.claim(), "b": partition.claim()}
        for writer, number in order:
            partition.plan(epochs[writer], number)
        plan = partition.fence.plan(JOB)
        assert plan is not None and (plan.epoch, plan.number) == (epochs["b"], 2)
