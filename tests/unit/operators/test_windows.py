"""Windows on a grid against a brute-force reading of Flink's rules."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

import pytest
from tests.unit.operators.one_lane import OneLane, op
from tests.unit.operators.window_cases import EVALUATIONS, KEYS, canonical, disturbed, play, reduced

from headrace.datastream.functions import ProcessWindowFunction, RuntimeContext
from headrace.datastream.state import ReducingStateDescriptor, ValueStateDescriptor
from headrace.runtime.failures import describe
from headrace.runtime.ports import MAX_WATERMARK, MIN_WATERMARK, UserCodeError


class Flink:
    """The rules, one element and one watermark at a time, over plain lists."""

    def __init__(self, evaluation: str, size: int, offset: int, lateness: int) -> None:
        self.evaluation, self.size, self.offset, self.lateness = evaluation, size, offset, lateness
        self.watermark = MIN_WATERMARK
        self.held: dict[tuple[int, Any], list[Any]] = {}
        self.dropped = 0
        self.out: list[tuple[Any, int]] = []

    def element(self, key: Any, value: Any, time: int) -> None:
        start = next(s for s in range(time - self.size + 1, time + 1) if (s - self.offset) % self.size == 0)
        last = start + self.size - 1
        if last + self.lateness <= self.watermark:
            self.dropped += 1
            return
        self.held.setdefault((start, key), []).append(value)
        if last <= self.watermark:
            self._fire(start, key)

    def advance(self, watermark: int) -> None:
        before, self.watermark = self.watermark, watermark
        for start, key in sorted(self.held, key=lambda at: at[0]):
            if before < start + self.size - 1 <= watermark:
                self._fire(start, key)
        for start, key in list(self.held):
            if start + self.size - 1 + self.lateness <= watermark:
                del self.held[start, key]

    def _fire(self, start: int, key: Any) -> None:
        values, last = self.held[start, key], start + self.size - 1
        combine = EVALUATIONS[self.evaluation][1]
        results = list(values) if combine is None else combine(values)
        if "process" in self.evaluation:
            self.out.append(((key, start, start + self.size, results), last))
            self.out.append(((key, "at", self.watermark), last))
        else:
            self.out += [(result, last) for result in results]


def window(evaluation: str, size: int = 10, offset: int = 0, lateness: int = 0, name: str = "window") -> Any:
    functions = EVALUATIONS[evaluation][0]
    assigner = {"kind": "tumbling_event_time", "size_ms": size, "offset_ms": offset}
    return op(
        "window",
        functions,
        name=name,
        assigner=assigner,
        evaluation=list(functions),
        allowed_lateness_ms=lateness,
    )


def keys_are(keys: Iterable[Any], *wanted: Any) -> bool:
    return canonical((k, type(k)) for k in keys) == canonical((k, type(k)) for k in wanted)


@pytest.mark.parametrize("evaluation", EVALUATIONS)
@pytest.mark.parametrize("lateness", [0, 7, 25])
@pytest.mark.parametrize("seed", range(12))
def test_windows_are_flinks_for_random_streams(evaluation: str, lateness: int, seed: int) -> None:
    """Out-of-order elements of several keys, negative times, an offset, watermarks that jump; then the end."""
    rng = random.Random(f"{evaluation} {lateness} {seed}")
    size, offset = rng.choice([(10, 0), (10, 3), (7, -2), (1, 0)])
    lane = OneLane(window(evaluation, size, offset, lateness))
    oracle = Flink(evaluation, size, offset, lateness)
    now = -30
    for _ in range(60):
        rows = [
            (rng.choice("abc"), rng.randrange(100), now + rng.randrange(-25, 15)) for _ in range(rng.randrange(6))
        ]
        lane.rows(*rows)
        for row in rows:
            oracle.element(*row)
        now += rng.randrange(6)
        if rng.random() < 0.5 and now - 8 > oracle.watermark:
            lane.advance(now - 8, rows_max=rng.choice([1, 3, 1000]))
            oracle.advance(now - 8)
        if rng.random() < 0.3:
            lane.commit()
    lane.advance(MAX_WATERMARK)
    oracle.advance(MAX_WATERMARK)
    assert canonical(lane.out()) == canonical(oracle.out)
    assert lane.chain.late_dropped == oracle.dropped
    assert lane.state_left() == {}


@pytest.mark.parametrize("evaluation", ["reduce", "process"])
def test_keys_of_different_types_have_windows_of_their_own(evaluation: str) -> None:
    lane = OneLane(window("reduce+process" if evaluation == "reduce" else "process"))
    lane.rows(*[(key, 1, 5) for key in KEYS], *[(key, 2, 6) for key in KEYS])
    lane.advance(9)
    fired = [value for value in lane.values() if value[1] == 0]
    assert keys_are([value[0] for value in fired], *KEYS)
    assert all(value[3] == (reduced([1, 2]) if evaluation == "reduce" else [1, 2]) for value in fired)


def test_windows_fire_in_the_order_of_their_ends() -> None:
    lane = OneLane(window("reduce"))
    lane.rows(("a", 3, 25), ("a", 1, 5), ("a", 2, 15))
    lane.advance(100)
    assert lane.out() == [(1, 9), (2, 19), (3, 29)]


def test_firing_many_keys_is_cut_into_several_calls_and_none_is_lost_or_doubled() -> None:
    lane = OneLane(window("reduce"))
    lane.rows(*[(f"k{n}", n, 5) for n in range(1_000)])
    calls = lane.advance(9, rows_max=64, between=lane.commit)
    assert calls >= 1_000 // 64
    assert sorted(lane.values()) == list(range(1_000))


@pytest.mark.parametrize("lateness", [0, 20])
@pytest.mark.parametrize("evaluation", ["reduce", "process"])
def test_a_lane_killed_while_its_windows_fire_goes_on_as_if_it_had_not_been(evaluation: str, lateness: int) -> None:
    """Elements that come after the restart are late for the watermark that was being fired, not on time again."""

    def run(killed: bool) -> dict[str, list[Any]]:
        lane = OneLane(window(f"{evaluation}+process" if evaluation == "reduce" else "process", lateness=lateness))
        lane.rows(*[(f"k{n:03}", n, 5) for n in range(40)])
        lane.advance(3)
        lane.commit()
        assert not lane.chain.advance(9, 10)
        lane.commit()
        if killed:
            lane.kill()
        lane.rows(*[(f"k{n:03}", 1_000, 6) for n in range(40)])
        lane.commit()
        lane.advance(9)
        lane.advance(MAX_WATERMARK)
        results: dict[str, list[Any]] = {}
        for value in lane.values():
            if value[1] != "at":
                results.setdefault(value[0], []).append(value[3])
        return results

    whole, cut = run(killed=False), run(killed=True)
    assert len(cut) == 40 and {key: r[-1] for key, r in cut.items()} == {key: r[-1] for key, r in whole.items()}
    if not lateness:
        assert cut == whole and all(len(results) == 1 for results in cut.values())


def test_a_late_element_of_a_key_that_has_still_to_fire_fires_with_it_once() -> None:
    lane = OneLane(window("process", lateness=100))
    lane.rows(*[(f"k{n}", n, 5) for n in range(4)])
    assert not lane.chain.advance(9, 2)
    lane.rows(("k0", 100, 5), ("k3", 100, 5))
    lane.advance(9)
    fired = [value for value in lane.values() if value[1] != "at"]
    assert [(key, elements) for key, _, _, elements in fired] == [
        *[("k0", [0]), ("k1", [1]), ("k0", [0, 100])],
        *[("k2", [2]), ("k3", [3, 100])],
    ]


def test_a_watermark_below_the_one_being_fired_does_not_make_late_elements_timely() -> None:
    lane = OneLane(window("reduce"))
    lane.rows(*[(f"k{n}", n, 5) for n in range(4)])
    assert not lane.chain.advance(9, 2)
    lane.commit()
    lane.kill()
    lane.advance(5)
    lane.rows(("k0", 100, 6))
    lane.advance(MAX_WATERMARK)
    assert sorted(lane.values()) == [0, 1, 2, 3] and lane.chain.late_dropped == 1


def test_a_record_without_event_time_is_refused_in_plain_words() -> None:
    lane = OneLane(window("reduce"))
    with pytest.raises(UserCodeError, match=r"(?i)event time") as failed:
        lane.rows(("a", 1, 5), ("a", 1, None))
    told = describe(failed.value)
    assert told.error.startswith("event-time-missing: ") and "timestamp assigner" in told.error
    assert (told.user, told.traceback) == (True, "")


def test_results_do_not_change_after_they_left() -> None:
    """The accumulator goes on changing in place for late elements while the first result waits for its commit."""
    lane = OneLane(window("aggregate", lateness=100))
    lane.rows(("a", 1, 5))
    lane.advance(9)
    lane.rows(("a", 10, 6))
    lane.rows(("a", 100, 6))
    assert lane.values() == [[1, 1], [11, 2], [111, 3]]


def test_a_map_that_changes_results_in_place_does_not_reach_the_state() -> None:
    def spoil(value: list[int]) -> list[int]:
        value.append(-1)
        return value

    lane = OneLane(window("aggregate", lateness=100), op("map", {"map": spoil}))
    lane.rows(("a", 1, 5))
    lane.advance(9)
    lane.commit()
    lane.rows(("a", 10, 6))
    assert lane.values() == [[1, 1, -1], [11, 2, -1]]


def test_many_open_windows_cost_nothing_until_they_are_due() -> None:
    lane = OneLane(window("reduce", size=1))
    lane.rows(*[("a", 1, n) for n in range(50_000)])
    for watermark in range(0, 2_000):  # a scan of all windows at each step would take minutes
        lane.advance(watermark)
    assert len(lane.out()) == 2_000


class Remembering(ProcessWindowFunction[Any, Any, Any, Any]):
    """State of the key from open(), state of the key from the context, and state of the window."""

    def open(self, runtime_context: RuntimeContext) -> None:
        self.fired = runtime_context.get_state(ValueStateDescriptor("fired"))

    def process(self, key: Any, context: Any, elements: Iterable[Any]) -> Iterable[Any]:
        self.fired.update((self.fired.value() or 0) + 1)
        total = context.global_state().get_reducing_state(ReducingStateDescriptor("total", lambda a, b: a + b))
        again = context.window_state().get_state(ValueStateDescriptor("again"))
        again.update((again.value() or 0) + 1)
        for element in elements:
            total.add(element)
        yield key, context.window().start, self.fired.value(), total.get(), again.value()

    def clear(self, context: Any) -> None:
        context.window_state().get_state(ValueStateDescriptor("again")).clear()


def test_window_functions_hold_state_of_the_key_and_of_the_window() -> None:
    lane = OneLane(
        op(
            "window",
            {"reduce": lambda a, b: a + b, "process": Remembering()},
            assigner={"kind": "tumbling_event_time", "size_ms": 10, "offset_ms": 0},
            evaluation=["reduce", "process"],
            allowed_lateness_ms=100,
        )
    )
    lane.rows(("a", 1, 5), ("b", 10, 5), ("a", 2, 15))
    lane.advance(20)
    lane.rows(("a", 4, 6), ("a", 8, 6))
    assert lane.values() == [
        *[("a", 0, 1, 1, 1), ("b", 0, 1, 10, 1), ("a", 10, 2, 3, 1)],
        *[("a", 0, 3, 8, 2), ("a", 0, 4, 21, 3)],
    ]
    assert "op0/window-value/again" in lane.state_left()
    lane.advance(MAX_WATERMARK)
    lane.commit()
    assert set(lane.state_left()) == {"op0/value/fired", "op0/value/total"}


@pytest.mark.parametrize("evaluation", EVALUATIONS)
@pytest.mark.parametrize("lateness", [0, 20])
@pytest.mark.parametrize("seed", range(5))
def test_aborts_and_kills_leave_the_results_of_an_undisturbed_run(evaluation: str, lateness: int, seed: int) -> None:
    """Steps since the last durable commit are played again after each fault."""
    rng = random.Random(f"{evaluation} {lateness} {seed}")
    steps: list[Any] = []
    now = 0
    for _ in range(50):
        steps.append([(rng.choice(KEYS), rng.randrange(9), now + rng.randrange(-12, 10)) for _ in range(6)])
        now += rng.randrange(6)
        if rng.random() < 0.5:
            steps.append(now)
    steps.append(MAX_WATERMARK)

    plain = OneLane(window(evaluation, lateness=lateness))
    for step in steps:
        play(plain, step, rng)
    lane = OneLane(window(evaluation, lateness=lateness))
    assert disturbed(lane, steps, rng) > 3
    assert canonical(lane.out()) == canonical(plain.out())


def test_what_falls_between_sliding_windows_is_late_by_its_own_time_only() -> None:
    """As Flink has it, whatever comes in the same batch."""
    assigner = {"kind": "sliding_event_time", "size_ms": 10, "slide_ms": 20}
    lane = OneLane(op("window", {"reduce": max}, assigner=assigner, allowed_lateness_ms=5))
    lane.advance(200)
    lane.rows(("k", 1, 195))
    assert lane.chain.late_dropped == 1, "in no window, and 5 ms of lateness are over"
    lane.rows(("k", 1, 196), ("k", 1, 35))
    assert lane.chain.late_dropped == 2, "196 is in no window and not late"
