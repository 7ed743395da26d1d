"""Lanes with an async function under seeded faults: rows in flight are neither lost nor doubled."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import pytest
from tests.sim import lane_world
from tests.sim.lane_world import LANES, WINDOW_MS, LaneWorld

from headrace.datastream.functions import AsyncFunction
from headrace.graph.job_graph import Edge, JobGraph, Operator, OperatorKind, Ship, Vertex
from headrace.runtime.lane_contract import Phase

TURNS_MAX = 200_000


class Lookup(AsyncFunction):
    """Answers after some turns of its loop, which differ from value to value."""

    async def async_invoke(self, value: Any) -> list[Any]:
        for _ in range(value["v"] % 5):
            await asyncio.sleep(0)
        return [{"k": value["k"], "w": value["t"] // WINDOW_MS * WINDOW_MS, "v": value["v"]}]


def functions() -> dict[str, bytes]:
    known = {name: PLAIN_FUNCTIONS()[name] for name in ("timestamp", "keep", "key")}
    return {**known, "one": cloudpickle.dumps(lambda value: value), "ask": cloudpickle.dumps(Lookup())}


def graph() -> JobGraph:
    plain = PLAIN_GRAPH()
    ask = Operator(
        uid="ask",
        kind=OperatorKind.ASYNC_WAIT,
        name="ask",
        params={"mode": "unordered", "capacity": 5, "timeout_ms": 60_000},
        functions={"async": "ask"},
    )
    return JobGraph(
        vertices=(
            plain.vertices[0],
            Vertex(
                id="v1", name="ask", operators=(ask, plain.vertices[1].operators[1]), parallelism=LANES, lanes=LANES
            ),
        ),
        edges=(Edge(id="e0", source="v0", operator=2, target="v1", ship=Ship.HASH, key="key"),),
    )


PLAIN_FUNCTIONS, PLAIN_GRAPH = lane_world.functions, lane_world.graph


@pytest.fixture
def asking(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[LaneWorld]]:
    monkeypatch.setattr(lane_world, "functions", functions)
    monkeypatch.setattr(lane_world, "graph", graph)
    worlds: list[LaneWorld] = []
    yield worlds
    for world in worlds:
        for owner in [*world.owners.values(), *world.zombies]:
            owner.lane._close()


def run(world: LaneWorld) -> None:
    for turn in range(TURNS_MAX):
        if world.finished():
            return
        world.turn(0.01 if turn < 5_000 else 0.0)
    raise AssertionError(f"not finished: { {n: (o.lane.phase, o.lane.reason) for n, o in world.owners.items()} }")


@pytest.mark.parametrize("seed", range(10))
def test_faults_kills_and_zombies_leave_exact_results(seed: int, tmp_path: Path, asking: list[LaneWorld]) -> None:
    world = LaneWorld(seed, records=600, fault_share=0.15, output=tmp_path / "output")
    asking.append(world)
    run(world)
    assert sum(world.faults.counts.values()) > 0
    results = world.results()
    assert Counter((r["k"], r["w"]) for r in results) == world.counts
    sums: Counter[tuple[str, int]] = Counter()
    for r in results:
        sums[r["k"], r["w"]] += r["v"]
    assert sums == world.truth


@pytest.mark.parametrize("seed", range(5))
def test_at_least_once_loses_nothing(seed: int, tmp_path: Path, asking: list[LaneWorld]) -> None:
    world = LaneWorld(seed, records=400, fault_share=0.1, output=tmp_path / "output", delivery="at-least-once")
    asking.append(world)
    run(world)
    found = Counter((r["k"], r["w"]) for r in world.results())
    assert {at: n for at, n in world.counts.items() if found[at] < n} == {}


class Hangs(AsyncFunction):
    async def async_invoke(self, value: Any) -> list[Any]:
        await asyncio.Event().wait()
        return []


def test_a_lane_that_waits_for_results_is_neither_idle_nor_at_its_end(
    tmp_path: Path, asking: list[LaneWorld], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane_world, "functions", lambda: {**functions(), "ask": cloudpickle.dumps(Hangs())})
    world = LaneWorld(1, records=200, fault_share=0.0, output=tmp_path / "output")
    asking.append(world)
    sources = [owner.lane for name, owner in world.owners.items() if name.startswith("v0")]
    asks = [owner.lane for name, owner in world.owners.items() if name.startswith("v1")]
    for _ in range(1_000):
        world.turn(0.0)
        full = [lane for lane in asks if lane.reason.startswith("waiting for results of an async function")]
        if full and all(lane.phase is Phase.FINISHED for lane in sources):
            break
    for lane in full:
        monkeypatch.setattr(lane.parts.inputs, "idle", lambda _now_s: True)
        monkeypatch.setattr(lane.parts.inputs, "ended", lambda _ends: True)
        lane.step()
        assert lane.phase is Phase.RUNNING
        assert not lane._idle(0.0)
    assert full
