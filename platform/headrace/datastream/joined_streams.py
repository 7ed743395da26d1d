"""Joins of two streams by key: within an interval of event time, or within the same window.

PyFlink's DataStream has none of these; the names are those of Flink's Java API in snake case.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from headrace.common.call_site import wrong
from headrace.common.time import Duration, Time
from headrace.common.typeinfo import TypeInformation
from headrace.datastream.connected_streams import two_input
from headrace.datastream.functions import (
    CoGroupFunction,
    FlatJoinFunction,
    JoinFunction,
    KeySelector,
    ProcessJoinFunction,
)
from headrace.datastream.output_tag import OutputTag
from headrace.datastream.transformation import checked_function, titled
from headrace.datastream.typed import FromInput, InputKey, WindowCoGroup, WindowJoin
from headrace.datastream.window import WindowAssigner
from headrace.datastream.windowed_stream import WindowedStream
from headrace.graph.job_graph import OperatorKind

if TYPE_CHECKING:
    from headrace.datastream.data_stream import DataStream, KeyedStream

__all__ = ["CoGroupedStreams", "IntervalJoin", "IntervalJoined", "JoinedStreams"]


# ---- interval join


class IntervalJoin:
    """Two keyed streams, waiting for the bounds of their join."""

    def __init__(self, left: KeyedStream, right: KeyedStream) -> None:
        self._left = left
        self._right = right

    def between(self, lower_bound: Duration | Time, upper_bound: Duration | Time) -> IntervalJoined:
        """Join each left value at t with the right values of its key from t + lower to t + upper, both included.

        Bounds may be negative.
        """
        lower_ms, upper_ms = _bound("lower", lower_bound), _bound("upper", upper_bound)
        if lower_ms > upper_ms:
            raise wrong(f"between() has a lower bound of {lower_ms} ms above the upper bound of {upper_ms} ms")
        return IntervalJoined(self._left, self._right, lower_ms, upper_ms)


def _bound(which: str, bound: Duration | Time) -> int:
    if not isinstance(bound, Duration | Time):
        raise wrong(f"between() takes a Duration such as Duration.of_seconds(10) as {which} bound, not {bound!r:.60}")
    return bound.to_milliseconds()


@dataclass(frozen=True)
class IntervalJoined:
    """An interval join with its bounds, waiting for what to do with each pair.

    Values are kept until the watermark says that no partner can come. A value that is itself behind the watermark is
    dropped and counted (``late_dropped`` of the lane), or goes to a side output.
    """

    _left: KeyedStream
    _right: KeyedStream
    _lower_ms: int
    _upper_ms: int
    _left_tag: OutputTag | None = None
    _right_tag: OutputTag | None = None
    _lower_open: bool = False
    _upper_open: bool = False

    def lower_bound_exclusive(self) -> IntervalJoined:
        """Leave out the right values at exactly t + lower."""
        return replace(self, _lower_open=True)

    def upper_bound_exclusive(self) -> IntervalJoined:
        """Leave out the right values at exactly t + upper."""
        return replace(self, _upper_open=True)

    def side_output_left_late_data(self, output_tag: OutputTag) -> IntervalJoined:
        """Send left values that come behind the watermark to this tag, with their event times."""
        return replace(self, _left_tag=_tag("side_output_left_late_data", output_tag))

    def side_output_right_late_data(self, output_tag: OutputTag) -> IntervalJoined:
        """Send right values that come behind the watermark to this tag, with their event times."""
        return replace(self, _right_tag=_tag("side_output_right_late_data", output_tag))

    def process(
        self,
        process_join_function: ProcessJoinFunction[Any, Any, Any],
        output_type: TypeInformation | None = None,
    ) -> DataStream:
        """Any number of values for each pair, at the later of the pair's event times."""
        checked_function("process", process_join_function, ProcessJoinFunction, lambdas=False)
        params: dict[str, Any] = {
            "lower_ms": self._lower_ms + self._lower_open,
            "upper_ms": self._upper_ms - self._upper_open,
        }
        for name, tag in (("left_late_tag", self._left_tag), ("right_late_tag", self._right_tag)):
            if tag is not None:
                params[name] = tag.tag_id
        name = titled("IntervalJoin", process_join_function)
        functions = {"process": process_join_function}
        return two_input(self._left, self._right, OperatorKind.INTERVAL_JOIN, name, functions, output_type, params)


def _tag(method: str, output_tag: OutputTag) -> OutputTag:
    if not isinstance(output_tag, OutputTag):
        raise wrong(f"{method}() takes an OutputTag, not {output_tag!r:.80}")
    return output_tag


# ---- window join and co-group


@dataclass(frozen=True)
class _Pair:
    """Two streams and, step by step, the key of each."""

    first: DataStream
    second: DataStream
    first_key: Any = None
    second_key: Any = None
    key_type: TypeInformation | None = None

    def windowed(self, assigner: WindowAssigner[Any, Any]) -> WindowedStream:
        """Both as one keyed stream of (input, value), in windows."""
        tagged = self.first.map(FromInput(0)).name("Input 1").union(self.second.map(FromInput(1)).name("Input 2"))
        return tagged.key_by(InputKey(self.first_key, self.second_key), self.key_type).window(assigner)


class _Keyless:
    """Two streams, waiting for the key of the first."""

    def __init__(self, first: DataStream, second: DataStream) -> None:
        self._pair = _Pair(first, second)

    def _where(self, key_selector: Any, key_type: TypeInformation | None) -> _Pair:
        checked_function("where", key_selector, KeySelector, lambdas=True)
        return replace(self._pair, first_key=key_selector, key_type=key_type)


def _equal_to(pair: _Pair, key_selector: Any) -> _Pair:
    checked_function("equal_to", key_selector, KeySelector, lambdas=True)
    return replace(pair, second_key=key_selector)


class JoinedStreams(_Keyless):
    """Two streams to be joined by key and window: ``where(key).equal_to(key).window(assigner).apply(function)``."""

    def where(
        self, key_selector: KeySelector | Callable[[Any], Any], key_type: TypeInformation | None = None
    ) -> JoinedStreams.Where:
        """The key of the first stream."""
        return JoinedStreams.Where(self._where(key_selector, key_type))

    class Where:
        def __init__(self, pair: _Pair) -> None:
            self._pair = pair

        def equal_to(self, key_selector: KeySelector | Callable[[Any], Any]) -> JoinedStreams.EqualTo:
            """The key of the second stream."""
            return JoinedStreams.EqualTo(_equal_to(self._pair, key_selector))

    class EqualTo:
        def __init__(self, pair: _Pair) -> None:
            self._pair = pair

        def window(self, assigner: WindowAssigner[Any, Any]) -> JoinedStreams.WithWindow:
            return JoinedStreams.WithWindow(self._pair.windowed(assigner))

    class WithWindow:
        """Waiting for what to do with each pair of a key and window."""

        def __init__(self, windowed: WindowedStream) -> None:
            self._windowed = windowed

        def allowed_lateness(self, time_ms: int) -> JoinedStreams.WithWindow:
            """As ``WindowedStream.allowed_lateness``: a late value gives all pairs of its window again."""
            return JoinedStreams.WithWindow(self._windowed.allowed_lateness(time_ms))

        def apply(
            self,
            function: JoinFunction | FlatJoinFunction | Callable[[Any, Any], Any],
            output_type: TypeInformation | None = None,
        ) -> DataStream:
            """One value for each pair, by a JoinFunction or f(first, second); any number by a FlatJoinFunction."""
            if not isinstance(function, FlatJoinFunction):
                checked_function("apply", function, JoinFunction, lambdas=True)
            return self._windowed.process(WindowJoin(function), output_type)


class CoGroupedStreams(_Keyless):
    """Two streams to be grouped by key and window: ``where(key).equal_to(key).window(assigner).apply(function)``."""

    def where(
        self, key_selector: KeySelector | Callable[[Any], Any], key_type: TypeInformation | None = None
    ) -> CoGroupedStreams.Where:
        """The key of the first stream."""
        return CoGroupedStreams.Where(self._where(key_selector, key_type))

    class Where:
        def __init__(self, pair: _Pair) -> None:
            self._pair = pair

        def equal_to(self, key_selector: KeySelector | Callable[[Any], Any]) -> CoGroupedStreams.EqualTo:
            """The key of the second stream."""
            return CoGroupedStreams.EqualTo(_equal_to(self._pair, key_selector))

    class EqualTo:
        def __init__(self, pair: _Pair) -> None:
            self._pair = pair

        def window(self, assigner: WindowAssigner[Any, Any]) -> CoGroupedStreams.WithWindow:
            return CoGroupedStreams.WithWindow(self._pair.windowed(assigner))

    class WithWindow:
        """Waiting for what to do with the values of a key and window."""

        def __init__(self, windowed: WindowedStream) -> None:
            self._windowed = windowed

        def allowed_lateness(self, time_ms: int) -> CoGroupedStreams.WithWindow:
            """As ``WindowedStream.allowed_lateness``: a late value gives its window's values again."""
            return CoGroupedStreams.WithWindow(self._windowed.allowed_lateness(time_ms))

        def apply(self, function: CoGroupFunction, output_type: TypeInformation | None = None) -> DataStream:
            """Any number of values from the two lists of values of a key and window."""
            checked_function("apply", function, CoGroupFunction, lambdas=False)
            return self._windowed.process(WindowCoGroup(function), output_type)
