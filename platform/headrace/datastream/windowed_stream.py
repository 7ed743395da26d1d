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
from headrace.datastream.window import BuiltInAssigner, MergingWindowAssigner, Trigger, WindowAssigner
from headrace.graph.job_graph import OperatorKind

if TYPE_CHECKING:
    from headrace.datastream.data_stream import DataStream, KeyedStream
    from headrace.datastream.stream_execution_environment import StreamExecutionEnvironment

__all__ = ["WindowedStream"]

AnyWindowFunction = WindowFunction[Any, Any, Any, Any] | ProcessWindowFunction[Any, Any, Any, Any]


class Windows:
    """How the windows of a keyed stream are made, fire, and treat late values; the window operator to be.

    The ``WindowedStream`` and the ``AllWindowedStream`` of a program hold one each.
    """

    def __init__(self, keyed: KeyedStream, assigner: WindowAssigner[Any, Any]) -> None:
        self.keyed = keyed
        self.assigner = assigner
        self.trigger: Trigger[Any, Any] | None = None
        self.allowed_lateness_ms = 0
        self.late_tag: OutputTag | None = None

    def set_trigger(self, trigger: Trigger[Any, Any]) -> None:
        if not isinstance(trigger, Trigger):
            raise wrong(f"trigger() takes a Trigger, such as CountTrigger.of(10), not {trigger!r:.80}")
        if isinstance(self.assigner, MergingWindowAssigner) and not trigger.can_merge():
            raise wrong(
                f"trigger({type(trigger).__name__}) on {self.assigner}: the windows of sessions merge, and this "
                "trigger cannot",
                hint="implement on_merge() of the trigger, and let can_merge() return True",
            )
        self.trigger = trigger

    def set_allowed_lateness(self, time_ms: int) -> None:
        if type(time_ms) is not int or time_ms < 0:
            raise wrong(f"allowed_lateness() takes milliseconds, a whole number from 0, not {time_ms!r:.60}")
        self.allowed_lateness_ms = time_ms

    def set_late_tag(self, output_tag: OutputTag) -> None:
        if not isinstance(output_tag, OutputTag):
            raise wrong(f"side_output_late_data() takes an OutputTag, not {output_tag!r:.80}")
        self.late_tag = output_tag

    def operator(self, functions: dict[str, Any], named: Any, output_type: TypeInformation | None) -> DataStream:
        """The stream of what the windows give. ``functions``: reduce or aggregate, process; ``named`` titles it."""
        assigner = self.assigner
        built_in = isinstance(assigner, BuiltInAssigner)
        trigger = self.trigger
        if trigger is None and not built_in:
            trigger = assigner.get_default_trigger(self.keyed.get_execution_environment())
            self.set_trigger(trigger)
        params: dict[str, Any] = {
            "assigner": assigner.params() if isinstance(assigner, BuiltInAssigner) else {"kind": "custom"},
            "evaluation": list(functions),
            "allowed_lateness_ms": self.allowed_lateness_ms,
        }
        if self.late_tag is not None:
            params["late_tag"] = self.late_tag.tag_id
        if trigger is not None:
            functions = {**functions, "assigner": assigner, "trigger": trigger}
        elif isinstance(assigner, BuiltInAssigner):
            functions = {**functions, **assigner.functions()}
        title = str(assigner) if type(assigner).__str__ is not object.__str__ else type(assigner).__name__
        return self.keyed._then(OperatorKind.WINDOW, titled(title, named), functions, output_type, params=params)


class WindowedStream:
    """A keyed stream in windows, waiting for what to do with each window.

    A window gives its results when its trigger says so: without one of the program's, when the watermark passes its
    end, and again for each late value that comes within the allowed lateness. After that its state is gone; later
    values are dropped and counted (``late_dropped`` of the lane), or go to the side output of
    ``side_output_late_data``.
    """

    def __init__(self, keyed: KeyedStream, assigner: WindowAssigner[Any, Any]) -> None:
        self._windows = Windows(keyed, assigner)

    def get_execution_environment(self) -> StreamExecutionEnvironment:
        return self._windows.keyed.get_execution_environment()

    def get_input_type(self) -> TypeInformation:
        """The declared type of the values that come into the windows."""
        return self._windows.keyed.get_type()

    def trigger(self, trigger: Trigger[Any, Any]) -> WindowedStream:
        """Let ``trigger`` say when windows give their results, in the place of the assigner's own trigger."""
        self._windows.set_trigger(trigger)
        return self

    def allowed_lateness(self, time_ms: int) -> WindowedStream:
        """Keep windows for so many ms after the watermark passed their end."""
        self._windows.set_allowed_lateness(time_ms)
        return self

    def side_output_late_data(self, output_tag: OutputTag) -> WindowedStream:
        """Send values too late for their window to this tag, with their event times, instead of dropping them.

        ``get_side_output(output_tag)`` of the stream of results gives them.
        """
        self._windows.set_late_tag(output_tag)
        return self

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
        if window_function is not None:
            if not isinstance(window_function, ProcessWindowFunction):
                checked_function(role, window_function, WindowFunction, lambdas=False)
            functions["process"] = (
                AppliedWindow(window_function) if isinstance(window_function, WindowFunction) else window_function
            )
        named = incremental if window_function is None else window_function
        return self._windows.operator(functions, named, output_type)
