"""Session windows against a brute-force reading of Flink's rules."""

from __future__ import annotations

import functools
import random
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.operators.one_lane import OneLane, op
from tests.unit.operators.window_cases import EVALUATIONS, KEYS, Report, Total, canonical, disturbed, in_order, play

from headrace.datastream.functions import ProcessWindowFunction
from headrace.datastream.output_tag import OutputTag
from headrace.datastream.state import ValueStateDescriptor
from headrace.datastream.window import SessionWindowTimeGapExtractor
from headrace.runtime.ports import MAX_WATERMARK, MIN_WATERMARK, UserCodeError

GAP = 10
LATE = OutputTag("late")


class Own(SessionWindowTimeGapExtractor):
    """The gap depends on the value."""

    def extract(self, element: int) -> int:
        return element % 17 + 1


def sessions(evaluation: str, gap: Any = GAP, lateness: int = 0, late_tag: str | None = None) -> Any:
    functions = dict(EVALUATIONS[evaluation][0])
    params = {"assigner": {"kind": "session_event_time"}, "evaluation": list(functions), "late_tag": late_tag}
    if isinstance(gap, int):
        params["assigner"] = {"kind": "session_event_time", "gap_ms": gap}
    else:
        functions["gap"] = gap
    return op("window", functions, allowed_lateness_ms=lateness, **params)


class Flink:
    """Flink's rules, one element and one watermark at a time. A session is [start, end, fired, parts]: the elements
    of each session that merged into it, in the order of their starts; a new element joins the last part."""

    def __init__(self, evaluation: str, gap: Any, lateness: int) -> None:
        self.evaluation, self.lateness = evaluation, lateness
        self.gap_of = (lambda _value: gap) if isinstance(gap, int) else gap.extract
        self.watermark = MIN_WATERMARK
        self.held: dict[Any, list[list[Any]]] = {}
        self.late: list[tuple[Any, int]] = []
        self.out: list[tuple[Any, int]] = []

    def element(self, key: Any, value: Any, time: int) -> None:
        mine = self.held.setdefault((type(key), key), [])
        start, end = time, time + self.gap_of(value)
        touched = sorted(s for s in mine if s[0] <= end and start <= s[1])
        if not touched and end - 1 + self.lateness <= self.watermark:
            self.late.append((value, time))
            return
        for session in touched:
            mine.remove(session)
            start, end = min(start, session[0]), max(end, session[1])
        merged = [start, end, False, self._merged([session[3] for session in touched], value)]
        mine.append(merged)
        if end - 1 <= self.watermark:
            self._fire(key, merged)

    def _merged(self, parts: list[Any], value: Any) -> Any:
        """As the operator is to combine: the sessions from left to right, then the value."""
        if "reduce" in self.evaluation:
            return functools.reduce(in_order, [*parts, value])
        if not parts:
            return [value]
        flat = [element for part in parts for element in part]
        return [*flat, value]

    def advance(self, watermark: int) -> None:
        self.watermark = watermark
        everything = [(session, key) for (_, key), mine in self.held.items() for session in mine]
        for session, key in sorted(everything, key=lambda at: at[0][1]):
            if not session[2] and session[1] - 1 <= watermark:
                self._fire(key, session)
        for mine in self.held.values():
            mine[:] = [session for session in mine if session[1] - 1 + self.lateness > watermark]

    def _fire(self, key: Any, session: list[Any]) -> None:
        start, end, _, held = session
        session[2] = True
        if "reduce" in self.evaluation:
            results = [held]
        else:
            results = [[sum(held), len(held)]] if "aggregate" in self.evaluation else list(held)
        if "process" in self.evaluation:
            self.out.append(((key, start, end, results), end - 1))
            self.out.append(((key, "at", self.watermark), end - 1))
        else:
            self.out += [(result, end - 1) for result in results]


rows = st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 99), st.integers(-60, 200)), max_size=6)
steps_of = st.lists(rows | st.integers(-60, 260), max_size=14)


def rising(steps: list[Any]) -> list[Any]:
    """Watermarks that do not go back, and the end."""
    out: list[Any] = []
    highest = MIN_WATERMARK
    for step in steps:
        if isinstance(step, list):
            out.append(step)
        elif step > highest:
            highest = step
            out.append(step)
    return [*out, MAX_WATERMARK]


@settings(deadline=None, derandomize=True, max_examples=60)
@given(steps=steps_of, seed=st.integers(0, 99))
@pytest.mark.parametrize("gap", [GAP, Own()], ids=["gap", "dynamic"])
@pytest.mark.parametrize("lateness", [0, 25])
@pytest.mark.parametrize("evaluation", EVALUATIONS)
def test_sessions_are_flinks(evaluation: str, lateness: int, gap: Any, steps: list[Any], seed: int) -> None:
    rng = random.Random(seed)
    lane, oracle = OneLane(sessions(evaluation, gap, lateness)), Flink(evaluation, gap, lateness)
    for step in rising(steps):
        play(lane, step, rng)
        if isinstance(step, list):
            for row in step:
                oracle.element(*row)
        else:
            oracle.advance(step)
        if rng.random() < 0.3:
            lane.commit()
    assert canonical(map(sorted_elements, lane.out())) == canonical(map(sorted_elements, oracle.out))
    assert lane.chain.late_dropped == len(oracle.late)
    assert lane.state_left() == {}


def sorted_elements(row: Any) -> Any:
    """The order of elements after a merge is promised for each session that merged, not by the rules of Flink."""
    value, time = row
    if isinstance(value, tuple) and isinstance(value[-1], list) and all(isinstance(v, int) for v in value[-1]):
        return (*value[:-1], sorted(value[-1])), time
    return row


@settings(deadline=None, derandomize=True, max_examples=100)
@given(
    elements=st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 99), st.integers(0, 150)), max_size=25),
    cuts=st.lists(st.integers(0, 25)),
)
def test_whatever_the_order_of_arrival_sessions_are_what_gaps_leave_together(
    elements: list[tuple[str, int, int]], cuts: list[int]
) -> None:
    """The definition: sort a key's elements; a new session begins where more than the gap lies between."""
    expected = []
    for key in "ab":
        session: list[tuple[int, int]] = []
        for time, value in sorted((time, value) for k, value, time in elements if k == key):
            if session and time > session[-1][0] + GAP:
                expected.append((key, session[0][0], session[-1][0] + GAP, sorted(v for _, v in session)))
                session = []
            session.append((time, value))
        if session:
            expected.append((key, session[0][0], session[-1][0] + GAP, sorted(v for _, v in session)))
    lane = OneLane(sessions("process"))
    for number, element in enumerate(elements):
        lane.rows(element)
        if number in cuts:
            lane.commit()
            lane.kill()
    lane.advance(MAX_WATERMARK)
    fired = [(key, start, end, sorted(values)) for key, start, end, values in _reports(lane)]
    assert sorted(fired) == sorted(expected)


def _reports(lane: OneLane) -> list[Any]:
    return [value for value in lane.values() if value[1] != "at"]


@pytest.mark.parametrize("evaluation", EVALUATIONS)
@pytest.mark.parametrize("lateness", [0, 20])
@pytest.mark.parametrize("gap", [GAP, Own()], ids=["gap", "dynamic"])
@pytest.mark.parametrize("seed", range(6))
def test_aborts_and_kills_leave_the_results_of_an_undisturbed_run(
    evaluation: str, lateness: int, gap: Any, seed: int
) -> None:
    rng = random.Random(f"{evaluation} {lateness} {gap == GAP} {seed}")
    steps: list[Any] = []
    now = 0
    for _ in range(60):
        steps.append([(rng.choice(KEYS), rng.randrange(50), now + rng.randrange(-25, 15)) for _ in range(4)])
        now += rng.randrange(8)
        if rng.random() < 0.5 and now > 0:
            steps.append(now)
    steps = rising(steps)
    plain, lane = OneLane(sessions(evaluation, gap, lateness)), OneLane(sessions(evaluation, gap, lateness))
    for step in steps:
        play(plain, step, rng)
    assert disturbed(lane, steps, rng) > 3
    assert canonical(lane.out()) == canonical(plain.out())
    assert lane.state_left() == {}


def test_sessions_that_only_touch_are_one_and_a_millisecond_more_parts_them() -> None:
    lane = OneLane(sessions("process"))
    lane.rows(("a", 1, 0), ("a", 2, 10), ("b", 1, 0), ("b", 2, 11))
    lane.advance(MAX_WATERMARK)
    assert sorted(_reports(lane)) == [("a", 0, 20, [1, 2]), ("b", 0, 10, [1]), ("b", 11, 21, [2])]


def test_a_late_element_between_two_sessions_makes_them_one() -> None:
    """Each of them has fired, and is kept; the middle one itself is far behind the watermark."""
    lane = OneLane(sessions("aggregate+process", lateness=100))
    lane.rows(("a", 1, 0), ("a", 2, 16))
    lane.advance(30)
    lane.rows(("a", 4, 8))
    assert _reports(lane) == [("a", 0, 10, [[1, 1]]), ("a", 16, 26, [[2, 1]]), ("a", 0, 26, [[7, 3]])]


def test_an_element_behind_the_watermark_is_not_late_when_its_session_is_alive() -> None:
    lane = OneLane(sessions("process"))
    lane.rows(("a", 1, 20))
    lane.advance(25)
    lane.rows(("a", 2, 12), ("a", 3, 5))
    lane.advance(MAX_WATERMARK)
    assert _reports(lane) == [("a", 5, 30, [1, 2, 3])] and lane.chain.late_dropped == 0


def test_an_element_too_late_goes_to_its_side_output_with_its_time() -> None:
    late, main = op("side_output", tag="late"), sessions("reduce", late_tag="late")
    lane = OneLane(main, late, taps=[0, 1])
    lane.rows(("a", 1, 0))
    lane.advance(30)
    lane.rows(("a", 2, 5), ("a", 3, 40))
    lane.advance(MAX_WATERMARK)
    assert lane.out(0) == [(1, 9), (3, 49)]
    assert lane.out(1) == [(2, 5)] and lane.chain.late_dropped == 0


def test_sessions_fire_in_the_order_of_their_ends_also_when_they_grew() -> None:
    lane = OneLane(sessions("reduce"))
    lane.rows(("a", 1, 0), ("b", 2, 5), ("a", 1, 9), ("c", 3, 40))
    lane.advance(MAX_WATERMARK)
    assert [time for _, time in lane.out()] == [14, 18, 49]


def test_firing_many_sessions_is_cut_and_an_element_that_comes_between_finds_its_key_settled() -> None:
    lane = OneLane(sessions("process"))
    lane.rows(*[(f"k{n:02}", n, 0) for n in range(40)])
    assert not lane.chain.advance(20, 5)
    lane.commit()
    lane.kill()
    lane.rows(*[(f"k{n:02}", 100, 10) for n in range(40)])  # would have prolonged a session that is over
    lane.rows(*[(f"k{n:02}", 200, 15) for n in range(40)])
    lane.advance(20)
    lane.advance(MAX_WATERMARK)
    assert sorted(_reports(lane)) == sorted(
        [*[(f"k{n:02}", 0, 10, [n]) for n in range(40)], *[(f"k{n:02}", 15, 25, [200]) for n in range(40)]]
    )
    assert lane.chain.late_dropped == 40


def test_accumulators_that_change_in_place_are_undone_by_an_abort() -> None:
    """The merge changes its first argument; what was committed must not see it."""

    class Joined(Total):
        def merge(self, acc_a: list[int], acc_b: list[int]) -> list[int]:
            acc_a[0] += acc_b[0]
            acc_a[1] += acc_b[1]
            return acc_a

    assigner = {"kind": "session_event_time", "gap_ms": GAP}
    lane = OneLane(op("window", {"aggregate": Joined()}, assigner=assigner, evaluation=["aggregate"]))
    lane.rows(("a", 1, 0), ("a", 2, 16))
    lane.commit()
    for _ in range(3):
        lane.rows(("a", 4, 8), ("a", 4, 9), ("a", 1, -5))
        lane.abort()
    lane.rows(("a", 4, 8))
    lane.advance(MAX_WATERMARK)
    assert lane.values() == [[7, 3]]


def test_many_sessions_of_one_key_cost_no_search_through_all() -> None:
    lane = OneLane(sessions("reduce", gap=1))
    lane.rows(*[("a", 1, n * 5) for n in range(40_000)])
    lane.rows(*[("a", 1, n * 5) for n in range(40_000)])  # a search through all would take minutes
    lane.advance(MAX_WATERMARK)
    assert len(lane.out()) == 40_000


@pytest.mark.parametrize("gap", [0, -1, 1.5, None])
def test_a_gap_that_is_none_is_refused_with_the_value_it_is_of(gap: Any) -> None:
    lane = OneLane(sessions("reduce", lambda value: gap))
    with pytest.raises(UserCodeError, match=r"gap of a session .* for 7"):
        lane.rows(("a", 7, 0))


def test_sessions_have_state_of_their_key_and_none_of_their_own() -> None:
    class Counting(ProcessWindowFunction[Any, Any, Any, Any]):
        def process(self, key: Any, context: Any, elements: Iterable[Any]) -> Iterable[Any]:
            count = context.global_state().get_state(ValueStateDescriptor("count"))
            count.update((count.value() or 0) + 1)
            yield count.value()

    class Refused(Report):
        def process(self, key: Any, context: Any, elements: Iterable[Any]) -> Iterable[Any]:
            context.window_state().get_state(ValueStateDescriptor("count"))
            return []

    def one(function: Any) -> OneLane:
        assigner = {"kind": "session_event_time", "gap_ms": GAP}
        lane = OneLane(op("window", {"process": function}, assigner=assigner, evaluation=["process"]))
        lane.rows(("a", 1, 0), ("a", 1, 50))
        return lane

    lane = one(Counting())
    lane.advance(MAX_WATERMARK)
    assert lane.values() == [1, 2]
    with pytest.raises(UserCodeError, match="session windows merge"):
        one(Refused()).advance(MAX_WATERMARK)
