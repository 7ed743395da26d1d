"""What the tests of windows share: ways of evaluating them, and runs with faults."""

from __future__ import annotations

import functools
import random
from collections.abc import Iterable
from typing import Any

from tests.unit.operators.one_lane import OneLane

from headrace.datastream.functions import AggregateFunction, ProcessWindowFunction


class Total(AggregateFunction):
    """With an accumulator that changes in place."""

    def create_accumulator(self) -> list[int]:
        return [0, 0]

    def add(self, value: int, accumulator: list[int]) -> list[int]:
        accumulator[0] += value
        accumulator[1] += 1
        return accumulator

    def get_result(self, accumulator: list[int]) -> list[int]:
        return accumulator

    def merge(self, acc_a: list[int], acc_b: list[int]) -> list[int]:
        return [acc_a[0] + acc_b[0], acc_a[1] + acc_b[1]]


class Report(ProcessWindowFunction[Any, Any, Any, Any]):
    """Everything it is told, and two outputs for each firing."""

    def process(self, key: Any, context: Any, elements: Iterable[Any]) -> Iterable[Any]:
        window = context.window()
        yield key, window.start, window.end, list(elements)
        yield key, "at", context.current_watermark()


def in_order(a: int, b: int) -> int:
    """Depends on the order of its arguments and of the elements."""
    return (a * 31 + b) % 1_009


def reduced(values: list[int]) -> list[Any]:
    return [functools.reduce(in_order, values)]


def totalled(values: list[int]) -> list[Any]:
    return [[sum(values), len(values)]]


EVALUATIONS: dict[str, tuple[dict[str, Any], Any]] = {
    "reduce": ({"reduce": in_order}, reduced),
    "aggregate": ({"aggregate": Total()}, totalled),
    "process": ({"process": Report()}, None),
    "reduce+process": ({"reduce": in_order, "process": Report()}, reduced),
    "aggregate+process": ({"aggregate": Total(), "process": Report()}, totalled),
}


def canonical(rows: Iterable[tuple[Any, Any]]) -> list[str]:
    return sorted(map(repr, rows))


KEYS = ("a", "b", 1, 1.0, True, b"a", None, ("a", 1))


def play(lane: OneLane, step: Any, rng: random.Random) -> None:
    """A step is a list of rows, or a watermark."""
    if isinstance(step, list):
        lane.rows(*step)
    else:
        lane.advance(step, rows_max=rng.choice([2, 1000]))


def disturbed(lane: OneLane, steps: list[Any], rng: random.Random) -> int:
    """The steps with commits, aborts and kills between; what was not durable is played again; how many faults."""
    at = durable = flying = faults = 0
    while at < len(steps):
        play(lane, steps[at], rng)
        at += 1
        match rng.randrange(6):
            case 0 if not lane.committing:
                lane.begin_commit()
                flying = at
            case 1 if lane.committing:
                lane.end_commit()
                durable = flying
            case 2 if faults < 30:
                faults += 1
                lane.abort() if rng.random() < 0.5 else lane.kill()
                at = durable
    return faults
