"""Count windows against their definition: window n holds a key's elements from n * slide, and fires when full."""

from __future__ import annotations

import functools
import random
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.operators.one_lane import OneLane, op
from tests.unit.operators.window_cases import KEYS, Total, canonical, disturbed, in_order

from headrace.datastream.functions import ProcessWindowFunction
from headrace.datastream.state import ValueStateDescriptor
from headrace.datastream.window import CountWindow
from headrace.runtime.ports import MAX_WATERMARK


class Numbered(ProcessWindowFunction[Any, Any, Any, CountWindow]):
    def process(self, key: Any, context: Any, elements: Iterable[Any]) -> Iterable[Any]:
        yield key, context.window().id, list(elements)


EVALUATIONS: dict[str, Any] = {
    "reduce": ({"reduce": in_order}, lambda values: functools.reduce(in_order, values)),
    "aggregate": ({"aggregate": Total()}, lambda values: [sum(values), len(values)]),
    "process": ({"process": Numbered()}, None),
}


def window(evaluation: str, size: int, slide: int) -> Any:
    functions = EVALUATIONS[evaluation][0]
    assigner = {"kind": "count", "size": size, "slide": slide}
    return op("window", functions, assigner=assigner, evaluation=list(functions))


def expected(rows: list[tuple[Any, int, Any]], evaluation: str, size: int, slide: int) -> list[tuple[Any, Any]]:
    found: list[tuple[Any, Any]] = []
    for key in {(type(row[0]), row[0]) for row in rows}:
        mine = [row for row in rows if (type(row[0]), row[0]) == key]
        for number, start in enumerate(range(0, len(mine), slide)):
            if start + size <= len(mine):
                values = [value for _, value, _ in mine[start : start + size]]
                combine = EVALUATIONS[evaluation][1]
                result = (key[1], number, values) if combine is None else combine(values)
                found.append((result, mine[start + size - 1][2]))
    return found


@settings(deadline=None, derandomize=True, max_examples=60)
@given(
    rows=st.lists(st.tuples(st.sampled_from(KEYS), st.integers(0, 99), st.none() | st.integers(0, 9)), max_size=60),
    size=st.integers(1, 6),
    slide=st.integers(1, 7),
    seed=st.integers(0, 99),
)
@pytest.mark.parametrize("evaluation", EVALUATIONS)
def test_count_windows_hold_what_they_should_whatever_fails(
    evaluation: str, rows: list[Any], size: int, slide: int, seed: int
) -> None:
    rng = random.Random(seed)
    steps: list[Any] = []
    while sum(map(len, steps)) < len(rows):
        at = sum(map(len, steps))
        steps.append(rows[at : at + rng.randrange(1, 6)])
    for faults in (False, True):
        lane = OneLane(window(evaluation, size, slide))
        if faults:
            disturbed(lane, [*steps, MAX_WATERMARK], rng)
        else:
            for step in steps:
                lane.rows(*step)
            lane.advance(MAX_WATERMARK)
        assert canonical(lane.out()) == canonical(expected(rows, evaluation, size, slide))


def test_a_full_window_leaves_no_state_but_the_count() -> None:
    class Once(Numbered):
        def process(self, key: Any, context: Any, elements: Iterable[Any]) -> Iterable[Any]:
            context.window_state().get_state(ValueStateDescriptor("seen")).update(1)
            return super().process(key, context, elements)

        def clear(self, context: Any) -> None:
            context.window_state().get_state(ValueStateDescriptor("seen")).clear()

    assigner = {"kind": "count", "size": 3, "slide": 3}
    lane = OneLane(op("window", {"process": Once()}, assigner=assigner, evaluation=["process"]))
    lane.rows(*[("a", n, n) for n in range(6)])
    assert lane.out() == [(("a", 0, [0, 1, 2]), 2), (("a", 1, [3, 4, 5]), 5)]
    assert set(lane.state_left()) == {"op0/count"}
