"""Functions that cannot be called as they must be, or answer what cannot be used: one line, at the user's place."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.operators.one_lane import OneLane, op

from headrace.datastream import (
    AggregateFunction,
    FlatMapFunction,
    KeyedProcessFunction,
    MapFunction,
    ProcessFunction,
    StreamExecutionEnvironment,
)
from headrace.errors import HeadraceError, UsageError
from headrace.runtime.failures import describe
from headrace.runtime.ports import UserCodeError


class NoContext(KeyedProcessFunction):
    def process_element(self, value: Any) -> Any:  # type: ignore[override]
        yield value


class TwoValues(MapFunction):
    def map(self, value: Any, other: Any) -> Any:  # type: ignore[override]
        return value


class AnyNumber(MapFunction):
    def map(self, *values: Any, **more: Any) -> Any:
        return values[0]


class Merging(AggregateFunction):
    def create_accumulator(self) -> Any:
        return 0

    def add(self, accumulator: Any) -> Any:  # type: ignore[override]
        return 0

    def get_result(self, accumulator: Any) -> Any:
        return 0

    def merge(self, acc_a: Any, acc_b: Any) -> Any:
        return 0


class Number(FlatMapFunction):
    def flat_map(self, value: Any) -> Any:
        return value + 1


class NumberFromProcess(ProcessFunction):
    def process_element(self, value: Any, ctx: Any) -> Any:
        return value + 1


class NumberOfKey(KeyedProcessFunction):
    def process_element(self, value: Any, ctx: Any) -> Any:
        return value + 1


@pytest.fixture
def env() -> StreamExecutionEnvironment:
    return StreamExecutionEnvironment.get_execution_environment()


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda s: s.map(lambda: 1), r"calls the lambda with 1 argument \(value\), but its parameters are \(\)"),
        (lambda s: s.map(TwoValues()), r"calls TwoValues.map with 1 argument .*\(value: 'Any', other: 'Any'\)"),
        (lambda s: s.filter(lambda a, b: a), r"calls the lambda with 1 argument"),
        (lambda s: s.key_by(lambda: 1), r"key_by\(\) calls the lambda with 1 argument"),
        (lambda s: s.key_by(len).reduce(lambda a: a), r"the lambda with 2 arguments \(value1, value2\)"),
        (lambda s: s.key_by(len).process(NoContext()), r"calls NoContext.process_element with 2 arguments"),
        (
            lambda s: s.key_by(len).count_window(2).aggregate(Merging()),
            r"calls Merging.add with 2 arguments \(value, accumulator\)",
        ),
    ],
)  # fmt: skip
def test_a_function_of_the_wrong_arity_is_refused_where_it_is_given(
    env: StreamExecutionEnvironment, build: Any, message: str
) -> None:
    with pytest.raises(UsageError, match=message) as refused:
        build(env.from_collection(["a"]))
    assert refused.value.code == "function-invalid" and "test_wrong_functions.py" in str(refused.value)


def test_what_takes_its_arguments_is_taken(env: StreamExecutionEnvironment) -> None:
    stream = env.from_collection(["a"])
    for function in (str, len, AnyNumber(), lambda value, more=1: value, lambda *values: values):
        stream.map(function)


@pytest.mark.parametrize(
    "build",
    [
        lambda s: s.flat_map(Number()),
        lambda s: s.flat_map(lambda n: n + 1),
        lambda s: s.process(NumberFromProcess()),
        lambda s: s.key_by(lambda n: n).process(NumberOfKey()),
    ],
)
def test_a_result_that_is_no_iterable_is_named(env: StreamExecutionEnvironment, build: Any) -> None:
    with pytest.raises(HeadraceError) as failed:
        list(build(env.from_collection([6])).execute_and_collect())
    assert "the function gave 7 (a int) where an iterable of values is wanted" in str(failed.value)


def test_it_has_a_code_and_no_frames_of_ours() -> None:
    lane = OneLane(op("kafka_source", watermark=None), op("flat_map", {"flat_map": Number()}, name="FlatMap: Number"))
    with pytest.raises(UserCodeError) as failed:
        lane.source([6], [None])
    told = describe(failed.value)
    assert told.error.startswith("function-result-invalid: FlatMap: Number: the function gave 7")
    assert told.error.endswith("return a list, yield values, or return None for none")
    assert (told.code, told.traceback) == ("function-result-invalid", "")
