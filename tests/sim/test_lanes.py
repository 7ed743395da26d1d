"""Lanes under seeded faults give exact results: nothing lost, nothing twice, whatever dies when."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from tests.sim.lane_world import JOB, LaneWorld

from headrace.log.lane import PositionLostError
from headrace.protocol.topics import Topics

TURNS_MAX = 60_000


def check(world: LaneWorld) -> None:
    results = world.results()
    keys = Counter((r["k"], r["w"]) for r in results)
    assert [k for k, n in keys.items() if n > 1] == []
    assert {(r["k"], r["w"]): r["v"] for r in results} == dict(world.truth)
    assert {(r["k"], r["w"]): r["n"] for r in results} == dict(world.counts)


def run(world: LaneWorld, kill_share: float) -> int:
    for turn in range(TURNS_MAX):
        if world.finished():
            return turn
        world.turn(kill_share if turn < TURNS_MAX // 2 else 0.0)
    raise AssertionError(f"not finished: { {n: (o.lane.phase, o.lane.reason) for n, o in world.owners.items()} }")


@pytest.mark.parametrize("seed", range(30))
def test_random_faults_kills_and_zombies_leave_exact_results(seed: int, tmp_path: Path) -> None:
    world = LaneWorld(seed, records=1_500, fault_share=0.15, output=tmp_path / "output")
    run(world, kill_share=0.01)
    check(world)
    assert sum(world.faults.counts.values()) > 0
    assert world.trims > 0


def test_records_that_are_gone_for_everybody_fail_the_lane(tmp_path: Path) -> None:
    """An overtaken owner that finds its input trimmed asks and goes on; the only owner must not go on."""
    world = LaneWorld(3, records=1_500, fault_share=0.0, output=tmp_path / "output")
    for _ in range(100):
        world.turn(kill_share=0.0)
    split = (Topics("sim").exchange(JOB, 1, "e0"), 0)
    world.start("v1/0")  # its reader begins at what is committed
    end = world.broker.partition(split).end
    assert end > world.owners["v1/0"].lane.committed.positions[f"{split[0]}/0"] + 1
    world.broker.delete_before({split: end})
    with pytest.raises(PositionLostError):
        for _ in range(10):
            world.owners["v1/0"].lane.step()


def test_without_faults_nothing_is_repeated(tmp_path: Path) -> None:
    world = LaneWorld(1, records=3_000, fault_share=0.0, output=tmp_path / "output")
    run(world, kill_share=0.0)
    check(world)
    assert {name: owner.lane.records_in for name, owner in world.owners.items() if name.startswith("v0")} == {
        "v0/0": 1_500,
        "v0/1": 1_500,
    }


def test_at_least_once_without_faults_is_exact(tmp_path: Path) -> None:
    world = LaneWorld(2, records=2_000, fault_share=0.0, output=tmp_path / "output", delivery="at-least-once")
    run(world, kill_share=0.0)
    check(world)


@pytest.mark.parametrize("seed", range(15))
def test_at_least_once_under_faults_loses_nothing(seed: int, tmp_path: Path) -> None:
    """Rows may be counted again after a failure, never less than once; no window is missing."""
    world = LaneWorld(seed, records=1_000, fault_share=0.1, output=tmp_path / "output", delivery="at-least-once")
    run(world, kill_share=0.01)
    counts: Counter[tuple[str, int]] = Counter()
    for result in world.results():
        at = (result["k"], result["w"])
        counts[at] = max(counts[at], result["n"])
    assert counts.keys() == world.counts.keys()
    assert {at: n for at, n in world.counts.items() if counts[at] < n} == {}
