"""AsyncDataStream: streams whose values wait for answers from elsewhere, many at a time."""

from __future__ import annotations

import inspect
from typing import Any

from headrace.common.call_site import wrong
from headrace.common.time import Duration, Time
from headrace.common.typeinfo import TypeInformation
from headrace.datastream.async_retry import AsyncRetryStrategy
from headrace.datastream.async_retry_strategies import NO_RETRY_STRATEGY
from headrace.datastream.data_stream import DataStream
from headrace.datastream.functions import AsyncFunction
from headrace.datastream.transformation import checked_function, titled
from headrace.graph.job_graph import OperatorKind

__all__ = ["AsyncDataStream"]


class AsyncDataStream:
    """Applies an AsyncFunction to a stream.

    In each lane at most ``capacity`` values are with the function; then the stream waits. A value whose results are
    not committed yet is given to the function again after a failure. Watermarks stay behind the values they follow.

    ``timeout`` (Time or Duration) is for each value, all its retries included; then ``AsyncFunction.timeout`` gives
    the results. An exception that is not retried fails the task.
    """

    @staticmethod
    def unordered_wait(
        data_stream: DataStream,
        async_function: AsyncFunction,
        timeout: Time | Duration,
        capacity: int = 100,
        output_type: TypeInformation | None = None,
    ) -> DataStream:
        """Results in the order in which they come; those of values on two sides of a watermark keep its sides."""
        return _wait("unordered_wait", data_stream, async_function, timeout, NO_RETRY_STRATEGY, capacity, output_type)

    @staticmethod
    def unordered_wait_with_retry(
        data_stream: DataStream,
        async_function: AsyncFunction,
        timeout: Time | Duration,
        async_retry_strategy: AsyncRetryStrategy,
        capacity: int = 100,
        output_type: TypeInformation | None = None,
    ) -> DataStream:
        """As ``unordered_wait``, with calls made again as the strategy says."""
        method = "unordered_wait_with_retry"
        return _wait(method, data_stream, async_function, timeout, async_retry_strategy, capacity, output_type)

    @staticmethod
    def ordered_wait(
        data_stream: DataStream,
        async_function: AsyncFunction,
        timeout: Time | Duration,
        capacity: int = 100,
        output_type: TypeInformation | None = None,
    ) -> DataStream:
        """Results in the order of their values: one that takes long holds those after it."""
        return _wait("ordered_wait", data_stream, async_function, timeout, NO_RETRY_STRATEGY, capacity, output_type)

    @staticmethod
    def ordered_wait_with_retry(
        data_stream: DataStream,
        async_function: AsyncFunction,
        timeout: Time | Duration,
        async_retry_strategy: AsyncRetryStrategy,
        capacity: int = 100,
        output_type: TypeInformation | None = None,
    ) -> DataStream:
        """As ``ordered_wait``, with calls made again as the strategy says."""
        method = "ordered_wait_with_retry"
        return _wait(method, data_stream, async_function, timeout, async_retry_strategy, capacity, output_type)


def _wait(
    method: str,
    stream: DataStream,
    function: AsyncFunction,
    timeout: Time | Duration,
    retry: AsyncRetryStrategy,
    capacity: int,
    output_type: TypeInformation | None,
) -> DataStream:
    if not isinstance(stream, DataStream):
        raise wrong(f"{method}() takes a stream first, not {stream!r:.80}")
    checked_function(method, function, AsyncFunction, lambdas=False)
    if not inspect.iscoroutinefunction(function.async_invoke):
        raise wrong(
            f"async_invoke() of {type(function).__name__} is no coroutine",
            code="function-invalid",
            hint="declare it with async def",
        )
    if not isinstance(timeout, Time | Duration) or timeout.to_milliseconds() <= 0:
        raise wrong(f"{method}() takes a timeout above 0, such as Time.seconds(10), not {timeout!r:.60}")
    if type(capacity) is not int or capacity < 1:
        raise wrong(f"{method}() takes a capacity, a whole number from 1, not {capacity!r:.60}")
    if not isinstance(retry, AsyncRetryStrategy):
        raise wrong(f"{method}() takes an AsyncRetryStrategy, such as fixed_delay(3, 500), not {retry!r:.80}")
    functions: dict[str, Any] = {"async": function}
    if retry is not NO_RETRY_STRATEGY:
        functions["retry"] = retry
    mode = "ordered" if method.startswith("ordered") else "unordered"
    params = {"mode": mode, "timeout_ms": timeout.to_milliseconds(), "capacity": capacity}
    name = titled("Async wait", function)
    return stream._then(OperatorKind.ASYNC_WAIT, name, functions, output_type, params=params)
