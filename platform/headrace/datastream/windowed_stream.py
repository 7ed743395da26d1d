"""WindowedStream: what a keyed stream makes of each of its windows."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from headrace.common.call_site import wrong
from headrace.common.typeinfo import TypeInformation
from headrace.datastream.functions import AggregateFunction, ProcessWindowFunction, ReduceFunction, WindowFunction
from headrace.datastream.output_tag import OutputTag
from headrace.datastream.transformation import checked_function, titled
from headrace.datastream.typed import AppliedWindow
from headrace.datastream.window import WindowAssigner
from headrace.graph.job_graph import OperatorKind

if TYPE_CHECKING:
    from headrace.datastream.data_stream import DataStream, KeyedStream

__all__ = ["WindowedStream"]

AnyWindowFunction = WindowFunction[Any, Any, Any, Any] | ProcessWindowFunction[Any, Any, Any, Any]


class WindowedStream:
    """A keyed stream in windows, waiting for what to do with each window.

    A window gives its results when the watermark passes its end, and again for each late value that comes within
    the allowed lateness. After that its state is gone; later values are dropped and counted (``late_dropped`` of
    the lane), or go to the side output of ``side_output_late_data``.
    """

    def __init__(
        self,
        keyed: KeyedStream,
        assigner: WindowAssigner,
        allowed_lateness_ms: int = 0,
        late_tag: OutputTag | None = None,
    ) -> None:
        self._keyed = keyed
        self._assigner = assigner
        self._allowed_lateness_ms = allowed_lateness_ms
        self._late_tag = late_tag

    def allowed_lateness(self, time_ms: int) -> WindowedStream:
        """Keep windows for so many ms after the watermark passed their end."""
        if type(time_ms) is not int or time_ms < 0:
            raise wrong(f"allowed_lateness() takes milliseconds, a whole number from 0, not {time_ms!r:.60}")
        return WindowedStream(self._keyed, self._assigner, time_ms, self._late_tag)

    def side_output_late_data(self, output_tag: OutputTag) -> WindowedStream:
        """Send values too late for their window to this tag, with their event times, instead of dropping them.

        ``get_side_output(output_tag)`` of the stream of results gives them.
        """
        if not isinstance(output_tag, OutputTag):
            raise wrong(f"side_output_late_data() takes an OutputTag, not {output_tag!r:.80}")
        return WindowedStream(self._keyed, self._assigner, self._allowed_lateness_ms, output_tag)

    def reduce(
        self,
        reduce_function: ReduceFunction | Callable[[Any, Any], Any],
        window_function: AnyWindowFunction | None = None,
        output_type: TypeInformation | None = None,
    ) -> DataStream:
        """The reduction of each window's values, kept as they come; ``window_function`` then sees this one value."""
        checked_function("reduce", reduce_function, ReduceFunction, lambdas=True)
        return self._window("reduce", reduce_function, window_function, output_type)

    def aggregate(
        self,
        aggregate_function: AggregateFunction,
        window_function: AnyWindowFunction | None = None,
        accumulator_type: TypeInformation | None = None,
        output_type: TypeInformation | None = None,
    ) -> DataStream:
        """The aggregate of each window's values, kept as they come; ``window_function`` then sees this one result."""
        checked_function("aggregate", aggregate_function, AggregateFunction, lambdas=False)
        return self._window("aggregate", aggregate_function, window_function, output_type)

    def process(
        self,
        process_window_function: ProcessWindowFunction[Any, Any, Any, Any],
        output_type: TypeInformation | None = None,
    ) -> DataStream:
        """Any number of values from all values of each window, which are kept until it is over."""
        checked_function("process", process_window_function, ProcessWindowFunction, lambdas=False)
        return self._window("", None, process_window_function, output_type)

    def apply(
        self, window_function: WindowFunction[Any, Any, Any, Any], output_type: TypeInformation | None = None
    ) -> DataStream:
        """As ``process``, without a context."""
        checked_function("apply", window_function, WindowFunction, lambdas=False)
        return self._window("", None, window_function, output_type)

    def _window(
        self,
        role: str,
        incremental: Any,
        window_function: AnyWindowFunction | None,
        output_type: TypeInformation | None,
    ) -> DataStream:
        functions: dict[str, Any] = {role: incremental} if role else {}
        named = incremental
        if window_function is not None:
            if not isinstance(window_function, ProcessWindowFunction):
                checked_function(role, window_function, WindowFunction, lambdas=False)
            named = window_function
            functions["process"] = (
                AppliedWindow(window_function) if isinstance(window_function, WindowFunction) else window_function
            )
        params: dict[str, Any] = {
            "assigner": self._assigner.params(),
            "evaluation": list(functions),
            "allowed_lateness_ms": self._allowed_lateness_ms,
        }
        if self._late_tag is not None:
            params["late_tag"] = self._late_tag.tag_id
        functions |= self._assigner.functions()
        name = titled(str(self._assigner), named)
        return self._keyed._then(OperatorKind.WINDOW, name, functions, output_type, params=params)
