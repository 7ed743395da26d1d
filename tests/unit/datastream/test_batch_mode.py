"""Batch mode: keyed reductions give the last value of each key, exactly once, also when they are cut and restored."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.operators.one_lane import OneLane, op

from headrace.common import Configuration, WatermarkStrategy
from headrace.datastream import RuntimeExecutionMode, StreamExecutionEnvironment
from headrace.datastream.connectors.datagen import DataGeneratorSource
from headrace.datastream.connectors.number_seq import NumberSequenceSource
from headrace.errors import UsageError
from headrace.runtime.ports import MAX_WATERMARK

PAIRS = [("ab", 1), ("cde", 2), ("ab", 3), ("cde", -1), ("f", 0)]


@pytest.fixture
def env() -> StreamExecutionEnvironment:
    return StreamExecutionEnvironment.get_execution_environment()


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (lambda s: s.reduce(lambda a, b: (a[0], a[1] + b[1])), [("ab", 4), ("cde", 1), ("f", 0)]),
        (lambda s: s.sum(1), [("ab", 4), ("cde", 1), ("f", 0)]),
        (lambda s: s.max(1), [("ab", 3), ("cde", 2), ("f", 0)]),
        (lambda s: s.min_by(1), [("ab", 1), ("cde", -1), ("f", 0)]),
    ],
)
@pytest.mark.parametrize("mode", [RuntimeExecutionMode.BATCH, RuntimeExecutionMode.AUTOMATIC])
def test_the_last_value_of_each_key_comes_at_the_end(
    env: StreamExecutionEnvironment, mode: RuntimeExecutionMode, build: Any, expected: Any
) -> None:
    env.set_runtime_mode(mode)
    keyed = env.from_collection(PAIRS).key_by(lambda pair: pair[0])
    assert sorted(build(keyed).map(lambda pair: pair).execute_and_collect()) == expected


def test_streaming_gives_every_value(env: StreamExecutionEnvironment) -> None:
    env.configure(Configuration({"execution.runtime-mode": "STREAMING"}))
    rows = list(env.from_collection(PAIRS).key_by(lambda pair: pair[0]).sum(1).execute_and_collect())
    assert len(rows) == len(PAIRS)


def test_a_source_without_an_end_is_refused_in_batch_mode(env: StreamExecutionEnvironment) -> None:
    endless = DataGeneratorSource(lambda n: n, None)
    stream = env.from_source(endless, WatermarkStrategy.no_watermarks(), "endless")
    stream.key_by(lambda n: n).sum().print()
    env.set_runtime_mode(RuntimeExecutionMode.AUTOMATIC)
    env.program()
    env.set_runtime_mode(RuntimeExecutionMode.BATCH)
    with pytest.raises(UsageError, match="'Source: endless' has no end") as refused:
        env.program()
    assert refused.value.code == "batch-unbounded"


def test_other_sources_with_an_end(env: StreamExecutionEnvironment) -> None:
    env.set_runtime_mode(RuntimeExecutionMode.BATCH)
    numbers = env.from_source(NumberSequenceSource(1, 100), WatermarkStrategy.no_watermarks(), "numbers")
    assert sorted(numbers.key_by(lambda n: n % 3).sum().execute_and_collect()) == [1650, 1683, 1717]


def test_a_mode_that_is_none_is_refused(env: StreamExecutionEnvironment) -> None:
    with pytest.raises(UsageError, match="set_runtime_mode"):
        env.set_runtime_mode("BATCH")  # type: ignore[arg-type]
    env.configure(Configuration({"execution.runtime-mode": "fast"}))
    with pytest.raises(UsageError, match="streaming, batch or automatic"):
        env.program()


@given(
    st.lists(st.tuples(st.sampled_from("abcdefg"), st.integers(0, 9)), max_size=30),
    st.integers(1, 4),
    st.lists(st.sampled_from(["commit", "kill", "abort"]), max_size=8),
)
def test_values_leave_in_pieces_and_each_once(rows: list[tuple[str, int]], rows_max: int, faults: list[str]) -> None:
    lane = OneLane(op("reduce", {"reduce": lambda a, b: a + b}, final=True))
    if rows:
        lane.chain.process_rows(0, [key for key, _ in rows], [number for _, number in rows], [None] * len(rows))
    lane.commit()
    faults = list(faults)
    while not lane.chain.advance(MAX_WATERMARK, rows_max):
        match faults.pop() if faults else "commit":
            case "commit":
                lane.commit()
            case "kill":
                lane.kill()
            case _:
                lane.abort()
    lane.commit()
    sums = {key: sum(number for each, number in rows if each == key) for key, _ in rows}
    assert sorted(value for value, _ in lane.committed[0]) == sorted(sums.values())
