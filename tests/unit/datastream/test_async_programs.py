"""AsyncDataStream in whole programs, run in this process."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from headrace.common import Duration, Row, Time, Types, WatermarkStrategy
from headrace.datastream import (
    AsyncDataStream,
    AsyncFunction,
    AsyncRetryStrategy,
    DataStream,
    StreamExecutionEnvironment,
    TumblingEventTimeWindows,
    async_retry_predicates,
)
from headrace.datastream.execution import executor_installed
from headrace.errors import JobFailedError, UsageError
from headrace.in_process.executor import InProcessExecutor

ROWS = [(1, 1), (2, 2), (3, 3), (4, 4), (5, 5)]


@pytest.fixture(autouse=True)
def in_process() -> Iterator[None]:
    with executor_installed(InProcessExecutor()):
        yield


def rows(parallelism: int = 1) -> DataStream:
    env = StreamExecutionEnvironment.get_execution_environment().set_parallelism(parallelism)
    return env.from_collection(ROWS, Types.ROW_NAMED(["v1", "v2"], [Types.INT(), Types.INT()]))


def collected(stream: DataStream) -> list[Any]:
    with stream.execute_and_collect() as results:
        return list(results)


class Last(AsyncFunction):
    """Adds the two fields; each value waits for a later one, where two run at a time."""

    def open(self, runtime_context: Any) -> None:
        self.turn = asyncio.Condition()
        self.seen = 0

    async def async_invoke(self, value: Row) -> list[Any]:
        async with self.turn:
            self.seen = max(self.seen, value[0])
            self.turn.notify_all()
            await self.turn.wait_for(lambda: self.seen > value[0] or value[0] == len(ROWS))
        return [value[0] + value[1]]


def test_unordered() -> None:
    results = collected(AsyncDataStream.unordered_wait(rows(), Last(), Time.minutes(5), 2, Types.INT()))
    assert sorted(results) == [2, 4, 6, 8, 10]


def test_ordered() -> None:
    results = collected(AsyncDataStream.ordered_wait(rows(), Last(), Time.minutes(5), 2, Types.INT()))
    assert results == [2, 4, 6, 8, 10]


class Echo(AsyncFunction):
    async def async_invoke(self, value: Any) -> list[Any]:
        await asyncio.sleep(0)
        return [value]


def test_in_several_lanes_after_a_key() -> None:
    stream = rows(2).key_by(lambda row: row[0])
    results = collected(AsyncDataStream.unordered_wait(stream, Echo(), Duration.of_minutes(5)))
    assert sorted(row.v1 for row in results) == [1, 2, 3, 4, 5]


def test_windows_after_it_miss_nothing() -> None:
    env = StreamExecutionEnvironment.get_execution_environment().set_parallelism(2)
    times = WatermarkStrategy.for_monotonous_timestamps().with_timestamp_assigner(lambda value, _: value[1])
    values = [(f"k{n % 3}", n * 10, 1) for n in range(2_000)]
    timed = env.from_collection(values).assign_timestamps_and_watermarks(times)
    asked = AsyncDataStream.unordered_wait(timed, Echo(), Time.minutes(5), 7)
    sums = (
        asked.key_by(lambda value: value[0])
        .window(TumblingEventTimeWindows.of(Time.seconds(1)))
        .reduce(lambda a, b: (a[0], a[1], a[2] + b[2]))
    )
    results = collected(sums)
    assert sum(count for _, _, count in results) == 2_000
    assert len({(key, time // 1_000) for key, time, _ in results}) == len(results) == 60


def test_a_time_out_gives_other_results() -> None:
    class Hangs(AsyncFunction):
        async def async_invoke(self, value: Row) -> list[Any]:
            await asyncio.Event().wait()
            return []

        def timeout(self, value: Row) -> list[Any]:
            return [value[0] - value[1]]

    results = collected(AsyncDataStream.unordered_wait(rows(), Hangs(), Time.milliseconds(5), 2, Types.INT()))
    assert results == [0] * 5


def test_with_retry() -> None:
    class Fails(AsyncFunction):
        def __init__(self) -> None:
            self.failed: set[int] = set()

        async def async_invoke(self, value: Row) -> list[Any]:
            if value[0] not in self.failed:
                self.failed.add(value[0])
                raise ConnectionError("the first time")
            return [value[0]]

    retry = AsyncRetryStrategy.exponential_backoff(
        3,
        1,
        10,
        2.0,
        exception_predicate=functools.partial(
            async_retry_predicates.exception_type_predicate, expected_error_type=ConnectionError
        ),
    )
    for wait in (AsyncDataStream.unordered_wait_with_retry, AsyncDataStream.ordered_wait_with_retry):
        assert sorted(collected(wait(rows(), Fails(), Time.minutes(5), retry, 2))) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("result", "text"), [(None, "The result of AsyncFunction cannot be none"), (1, "should be of list type")]
)
def test_results_that_are_no_list_fail_the_job(result: Any, text: str) -> None:
    class Gives(AsyncFunction):
        async def async_invoke(self, value: Any) -> Any:
            return result

    with pytest.raises(JobFailedError, match=text):
        collected(AsyncDataStream.ordered_wait(rows(), Gives(), Time.minutes(5)))


def test_an_exception_fails_the_job_and_leaves_no_thread() -> None:
    class Raises(AsyncFunction):
        async def async_invoke(self, value: Any) -> list[Any]:
            raise RuntimeError("encountered an exception")

    with pytest.raises(JobFailedError, match="Async wait: Raises: RuntimeError: encountered an exception"):
        collected(AsyncDataStream.ordered_wait(rows(), Raises(), Time.minutes(5)))
    assert [thread.name for thread in threading.enumerate() if "Raises" in thread.name] == []


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((1, Echo(), Time.seconds(1)), "takes a stream first"),
        ((None, Echo, Time.seconds(1)), "takes an AsyncFunction, not the class Echo"),
        ((None, Echo(), 5), "takes a timeout above 0"),
        ((None, Echo(), Time.seconds(0)), "takes a timeout above 0"),
        ((None, Echo(), Time.seconds(1), 0), "takes a capacity"),
    ],
)
def test_calls_that_cannot_work_are_refused(arguments: tuple[Any, ...], text: str) -> None:
    stream, *rest = arguments
    with pytest.raises(UsageError, match=text):
        AsyncDataStream.ordered_wait(rows() if stream is None else stream, *rest)


def test_a_plain_function_is_refused() -> None:
    class Plain(AsyncFunction):
        def async_invoke(self, value: Any) -> list[Any]:  # type: ignore[override]
            return [value]

    with pytest.raises(UsageError, match="is no coroutine"):
        AsyncDataStream.unordered_wait(rows(), Plain(), Time.seconds(1))


def test_strategies_say_when() -> None:
    growing = AsyncRetryStrategy.exponential_backoff(4, 10, 50, 2)
    assert [growing.get_backoff_time_millis(n) for n in (1, 2, 3, 4, 1)] == [10, 20, 40, 50, 10]
    assert [growing.can_retry(n) for n in (1, 4, 5)] == [True, True, False]
    assert not AsyncRetryStrategy.no_restart().can_retry(1)
    with pytest.raises(UsageError, match="max_attempts"):
        AsyncRetryStrategy.fixed_delay(0, 1)
    with pytest.raises(UsageError, match="multiplier"):
        AsyncRetryStrategy.exponential_backoff(1, 1, 1, 0)
    with pytest.raises(UsageError, match="exception_predicate takes a function"):
        AsyncRetryStrategy.fixed_delay(1, 1, None, OSError("x"))  # type: ignore[arg-type]
