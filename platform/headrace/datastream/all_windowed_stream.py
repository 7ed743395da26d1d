"""AllWindowedStream: what a stream that is not keyed makes of each of its windows, in one lane."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from headrace.common.typeinfo import TypeInformation
from headrace.datastream.functions import (
    AggregateFunction,
    AllWindowFunction,
    ProcessAllWindowFunction,
    ReduceFunction,
)
from headrace.datastream.output_tag import OutputTag
from headrace.datastream.transformation import checked_function
from headrace.datastream.typed import AppliedAllWindow, ProcessedAllWindow
from headrace.datastream.window import Trigger, WindowAssigner
from headrace.datastream.windowed_stream import Windows

if TYPE_CHECKING:
    from headrace.datastream.data_stream import DataStream, KeyedStream
    from headrace.datastream.stream_execution_environment import StreamExecutionEnvironment

__all__ = ["AllWindowedStream"]

AnyAllWindowFunction = AllWindowFunction[Any, Any, Any] | ProcessAllWindowFunction[Any, Any, Any]


class AllWindowedStream:
    """All values of a stream in windows. One lane holds them all, whatever the parallelism of the program.

    Windows, lateness and triggers are those of ``WindowedStream``.
    """

    def __init__(self, keyed: KeyedStream, assigner: WindowAssigner[Any, Any]) -> None:
        """``keyed``: the stream under one key."""
        self._windows = Windows(keyed, assigner)

    def get_execution_environment(self) -> StreamExecutionEnvironment:
        return self._windows.keyed.get_execution_environment()

    def get_input_type(self) -> TypeInformation:
        """The declared type of the values that come into the windows."""
        return self._windows.keyed.get_type()

    def trigger(self, trigger: Trigger[Any, Any]) -> AllWindowedStream:
        """Let ``trigger`` say when windows give their results, in the place of the assigner's own trigger."""
        self._windows.set_trigger(trigger)
        return self

    def allowed_lateness(self, time_ms: int) -> AllWindowedStream:
        """Keep windows for so many ms after the watermark passed their end."""
        self._windows.set_allowed_lateness(time_ms)
        return self

    def side_output_late_data(self, output_tag: OutputTag) -> AllWindowedStream:
        """Send values too late for their window to this tag, with their event times, instead of dropping them."""
        self._windows.set_late_tag(output_tag)
        return self

    def reduce(
        self,
        reduce_function: ReduceFunction | Callable[[Any, Any], Any],
        window_function: AnyAllWindowFunction | None = None,
        output_type: TypeInformation | None = None,
    ) -> DataStream:
        """The reduction of each window's values, kept as they come; ``window_function`` then sees this one value."""
        checked_function("reduce", reduce_function, ReduceFunction, lambdas=True)
        return self._window("reduce", reduce_function, window_function, output_type)

    def aggregate(
        self,
        aggregate_function: AggregateFunction,
        window_function: AnyAllWindowFunction | None = None,
        accumulator_type: TypeInformation | None = None,
        output_type: TypeInformation | None = None,
    ) -> DataStream:
        """The aggregate of each window's values, kept as they come; ``window_function`` then sees this one result."""
        checked_function("aggregate", aggregate_function, AggregateFunction, lambdas=False)
        return self._window("aggregate", aggregate_function, window_function, output_type)

    def process(
        self,
        process_window_function: ProcessAllWindowFunction[Any, Any, Any],
        output_type: TypeInformation | None = None,
    ) -> DataStream:
        """Any number of values from all values of each window, which are kept until it is over."""
        checked_function("process", process_window_function, ProcessAllWindowFunction, lambdas=False)
        return self._window("", None, process_window_function, output_type)

    def apply(
        self, window_function: AllWindowFunction[Any, Any, Any], output_type: TypeInformation | None = None
    ) -> DataStream:
        """As ``process``, without a context."""
        checked_function("apply", window_function, AllWindowFunction, lambdas=False)
        return self._window("", None, window_function, output_type)

    def _window(
        self,
        role: str,
        incremental: Any,
        window_function: AnyAllWindowFunction | None,
        output_type: TypeInformation | None,
    ) -> DataStream:
        functions: dict[str, Any] = {role: incremental} if role else {}
        if isinstance(window_function, ProcessAllWindowFunction):
            functions["process"] = ProcessedAllWindow(window_function)
        elif window_function is not None:
            checked_function(role, window_function, AllWindowFunction, lambdas=False)
            functions["process"] = AppliedAllWindow(window_function)
        named = incremental if window_function is None else window_function
        results = self._windows.operator(functions, named, output_type)
        operator = results._settings("window_all")
        operator.parallelism = operator.parallelism_max = 1
        return results
