"""User functions: the classes a program derives from, and the contexts they are given.

Every function is opened once per lane and attempt, sees the lane's records one at a time, in one thread, and
is closed at the end. A function object is copied to each lane: what it sets on ``self`` is its lane's own and is
lost with the lane's process; what must survive belongs in state (``headrace.datastream.state``). A method may
run again for the same record after a failure, with the state as it was before that record; so effects outside
of state and outputs may happen more than once.

An exception from any method fails the lane; it is restarted by the job's restart strategy.

Contexts are implemented by the runtime. They are valid only during the call they are passed to.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

from headrace.common.call_site import shown_path
from headrace.datastream.async_retry import AsyncRetryPredicate, AsyncRetryStrategy
from headrace.datastream.state import (
    AggregatingState,
    AggregatingStateDescriptor,
    BroadcastState,
    ListState,
    ListStateDescriptor,
    MapState,
    MapStateDescriptor,
    ReadOnlyBroadcastState,
    ReducingState,
    ReducingStateDescriptor,
    ValueState,
    ValueStateDescriptor,
)
from headrace.datastream.time_domain import TimeDomain
from headrace.datastream.timerservice import TimerService
from headrace.metrics import MetricGroup

__all__ = [
    "AggregateFunction",
    "AllWindowFunction",
    "AsyncFunction",
    "AsyncRetryPredicate",
    "AsyncRetryStrategy",
    "BaseBroadcastProcessFunction",
    "BroadcastProcessFunction",
    "CoFlatMapFunction",
    "CoGroupFunction",
    "CoMapFunction",
    "CoProcessFunction",
    "FilterFunction",
    "FlatJoinFunction",
    "FlatMapFunction",
    "Function",
    "JoinFunction",
    "KeySelector",
    "KeyedBroadcastProcessFunction",
    "KeyedCoProcessFunction",
    "KeyedProcessFunction",
    "KeyedStateFunction",
    "KeyedStateStore",
    "MapFunction",
    "ProcessAllWindowFunction",
    "ProcessFunction",
    "ProcessJoinFunction",
    "ProcessWindowFunction",
    "ReduceFunction",
    "RuntimeContext",
    "WindowFunction",
]

IN = TypeVar("IN")
IN2 = TypeVar("IN2")
OUT = TypeVar("OUT")
KEY = TypeVar("KEY")
W = TypeVar("W")
W2 = TypeVar("W2")


class KeyedStateStore(ABC):
    """Gives handles to keyed state. The same descriptor name gives the same state."""

    @abstractmethod
    def get_state(self, state_descriptor: ValueStateDescriptor) -> ValueState[Any]: ...

    @abstractmethod
    def get_list_state(self, state_descriptor: ListStateDescriptor) -> ListState[Any]: ...

    @abstractmethod
    def get_map_state(self, state_descriptor: MapStateDescriptor) -> MapState[Any, Any]: ...

    @abstractmethod
    def get_reducing_state(self, state_descriptor: ReducingStateDescriptor) -> ReducingState[Any]: ...

    @abstractmethod
    def get_aggregating_state(self, state_descriptor: AggregatingStateDescriptor) -> AggregatingState[Any, Any]: ...


class RuntimeContext(KeyedStateStore):
    """What a function learns in ``open`` about where it runs, and its keyed state.

    State can be had in functions of keyed streams only; elsewhere ``get_state`` and its like raise RuntimeError.
    """

    @abstractmethod
    def get_metrics_group(self) -> MetricGroup:
        """Where the function's operator keeps its metrics (``headrace.metrics``)."""

    @abstractmethod
    def get_task_name(self) -> str:
        """Name of the vertex this function runs in."""

    @abstractmethod
    def get_number_of_parallel_subtasks(self) -> int:
        """How many lanes run this function."""

    @abstractmethod
    def get_index_of_this_subtask(self) -> int:
        """The number of this lane, from 0."""

    @abstractmethod
    def get_attempt_number(self) -> int:
        """How often this lane was started before; 0 at first."""

    def get_task_name_with_subtasks(self) -> str:
        """``name (2/4)`` for the second of four lanes."""
        lane, lanes = self.get_index_of_this_subtask(), self.get_number_of_parallel_subtasks()
        return f"{self.get_task_name()} ({lane + 1}/{lanes})"


class Function(ABC):  # noqa: B024 - a base without abstract methods, as Flink has it
    """Base of all user functions."""

    def open(self, runtime_context: RuntimeContext) -> None:  # noqa: B027
        """Called once before the first record of each attempt of the lane, with its state restored."""

    def close(self) -> None:  # noqa: B027
        """Called once after the last record of an attempt, also after a failure of user code.

        Not called when the process dies.
        """


class MapFunction(Function):
    """One value for each value."""

    @abstractmethod
    def map(self, value: Any) -> Any: ...


class FlatMapFunction(Function):
    """Any number of values for each value."""

    @abstractmethod
    def flat_map(self, value: Any) -> Iterable[Any] | None:
        """The values, yielded or as an iterable; None for no value."""


class FilterFunction(Function):
    """Keeps the values for which it is true."""

    @abstractmethod
    def filter(self, value: Any) -> bool: ...


class ReduceFunction(Function):
    """Combines two values of a kind into one; associative."""

    @abstractmethod
    def reduce(self, value1: Any, value2: Any) -> Any: ...


class KeySelector(Function):
    """Gives the key of a value.

    The key is one of the types of ``headrace.graph.keys``, always the same for the same value. It is called where
    records are sent, before they reach their lane; ``open`` and ``close`` are not called.
    """

    @abstractmethod
    def get_key(self, value: Any) -> Any: ...


class Partitioner(Function):
    """Says to which lane a record goes."""

    @abstractmethod
    def partition(self, key: Any, num_partitions: int) -> int:
        """A number from 0 to ``num_partitions`` - 1, by the key alone."""


class AggregateFunction(Function):
    """An aggregation with an accumulator of its own.

    An accumulator may be changed in place and returned.
    """

    @abstractmethod
    def create_accumulator(self) -> Any:
        """A fresh accumulator: the aggregate of no value."""

    @abstractmethod
    def add(self, value: Any, accumulator: Any) -> Any:
        """The accumulator with one more value."""

    @abstractmethod
    def get_result(self, accumulator: Any) -> Any:
        """The result so far; the accumulator stays usable."""

    @abstractmethod
    def merge(self, acc_a: Any, acc_b: Any) -> Any:
        """One accumulator of two; called when partial aggregates of one key and window meet."""


class AsyncFunction(Function):
    """Any number of values for each value, from a coroutine: many wait for their answers at a time.

    All methods run in one thread beside the lane, inside of its event loop, ``open`` and ``close`` too: clients that
    belong to a loop can be made there, and either may be a coroutine. What blocks the thread, blocks all calls. There
    is no keyed state here. A coroutine is cancelled when its time is over, and when the lane ends.
    """

    @abstractmethod
    async def async_invoke(self, value: Any) -> list[Any]:
        """The values to emit, with the event time of ``value``. May be called again after a failure."""

    def timeout(self, value: Any) -> list[Any]:
        """What to emit for a value whose time is over. As it is, raises TimeoutError, which fails the lane."""
        code = getattr(type(self).async_invoke, "__code__", None)
        place = "" if code is None else f" ({shown_path(code.co_filename)}:{code.co_firstlineno})"
        raise TimeoutError(f"{type(self).__qualname__}.async_invoke{place} gave no result in time for {value!r:.200}")


class ProcessFunction(Function):
    """Any number of values for each value, with its event time at hand."""

    class Context(ABC):
        @abstractmethod
        def timestamp(self) -> int | None:
            """Event time of the value in ms, None when it has none."""

    @abstractmethod
    def process_element(self, value: Any, ctx: ProcessFunction.Context) -> Iterable[Any] | None:
        """The values to emit, yielded or as an iterable; None for no value. They take the event time of ``value``."""


class KeyedProcessFunction(Function):
    """Any number of values for each value and each timer, with state and timers of the value's key."""

    class Context(ABC):
        @abstractmethod
        def get_current_key(self) -> Any:
            """The key in progress, in its normal form (see ``headrace.graph.keys``)."""

        @abstractmethod
        def timestamp(self) -> int | None:
            """Event time in ms of the value, or of the timer in ``on_timer``; None when the value has none."""

        @abstractmethod
        def timer_service(self) -> TimerService: ...

    class OnTimerContext(Context):
        """Context of ``on_timer``."""

        @abstractmethod
        def time_domain(self) -> TimeDomain:
            """Which time the timer goes by."""

    @abstractmethod
    def process_element(self, value: Any, ctx: KeyedProcessFunction.Context) -> Iterable[Any] | None:
        """The values to emit, yielded or as an iterable; None for no value. They take the event time of ``value``."""

    def on_timer(self, timestamp: int, ctx: KeyedProcessFunction.OnTimerContext) -> Iterable[Any] | None:
        """Called when the watermark has passed a timer of the key. Emits as ``process_element`` does.

        Timers of one time domain fire in the order of their times; those of one time in no promised order of keys.
        What an event-time timer emits takes the timer's time, what a processing-time timer emits has none.
        Event-time timers left at the end of the input all fire then, processing-time timers do not.
        """
        return None


class WindowFunction(Function, Generic[IN, OUT, KEY, W]):
    """Any number of values from all values of one key and window."""

    @abstractmethod
    def apply(self, key: KEY, window: W, inputs: Iterable[IN]) -> Iterable[OUT]:
        """The values to emit. They take the last moment of the window as their event time."""


class ProcessWindowFunction(Function, Generic[IN, OUT, KEY, W]):
    """As WindowFunction, with a context.

    After ``reduce`` or ``aggregate`` the elements are the one result of it.
    """

    class Context(ABC, Generic[W2]):
        @abstractmethod
        def window(self) -> W2: ...

        @abstractmethod
        def current_watermark(self) -> int:
            """The watermark in ms that made the window fire, or that had passed it when a late value came."""

        @abstractmethod
        def current_processing_time(self) -> int:
            """The time of day in ms since 1970 in UTC."""

        @abstractmethod
        def global_state(self) -> KeyedStateStore:
            """State of the key, shared by its windows."""

        @abstractmethod
        def window_state(self) -> KeyedStateStore:
            """State of this key and window; ``clear`` must remove it. Session windows have none: they merge."""

    @abstractmethod
    def process(self, key: KEY, context: ProcessWindowFunction.Context[W], elements: Iterable[IN]) -> Iterable[OUT]:
        """The values to emit. They take the last moment of the window as their event time."""

    def clear(self, context: ProcessWindowFunction.Context[W]) -> None:
        """Called when a window and its allowed lateness are over: remove what ``window_state`` holds."""
        return None


class CoMapFunction(Function):
    """One value for each value of either of two connected streams."""

    @abstractmethod
    def map1(self, value: Any) -> Any:
        """For a value of the first stream."""

    @abstractmethod
    def map2(self, value: Any) -> Any:
        """For a value of the second stream."""


class CoFlatMapFunction(Function):
    """Any number of values for each value of either of two connected streams: an iterable, a generator, or None."""

    @abstractmethod
    def flat_map1(self, value: Any) -> Iterable[Any] | None:
        """For a value of the first stream."""

    @abstractmethod
    def flat_map2(self, value: Any) -> Iterable[Any] | None:
        """For a value of the second stream."""


class CoProcessFunction(Function):
    """Any number of values for each value of either of two connected streams, with its event time.

    On keyed streams it may hold keyed state and register timers; elsewhere the timer service tells times only.
    """

    class Context(ABC):
        @abstractmethod
        def timestamp(self) -> int | None:
            """Event time of the value in ms, None when it has none."""

        @abstractmethod
        def timer_service(self) -> TimerService: ...

    @abstractmethod
    def process_element1(self, value: Any, ctx: CoProcessFunction.Context) -> Iterable[Any] | None:
        """The values to emit for a value of the first stream, as ``ProcessFunction.process_element`` gives them."""

    @abstractmethod
    def process_element2(self, value: Any, ctx: CoProcessFunction.Context) -> Iterable[Any] | None:
        """The values to emit for a value of the second stream."""

    def on_timer(self, timestamp: int, ctx: KeyedProcessFunction.OnTimerContext) -> Iterable[Any] | None:
        """As ``KeyedProcessFunction.on_timer``; called on keyed streams only."""
        return None


class KeyedCoProcessFunction(Function):
    """Any number of values for each value of either of two keyed streams and each timer, with state of the key.

    The two streams share the state and timers of a key.
    """

    Context = KeyedProcessFunction.Context
    OnTimerContext = KeyedProcessFunction.OnTimerContext

    @abstractmethod
    def process_element1(self, value: Any, ctx: KeyedProcessFunction.Context) -> Iterable[Any] | None:
        """The values to emit for a value of the first stream, as ``KeyedProcessFunction.process_element`` does."""

    @abstractmethod
    def process_element2(self, value: Any, ctx: KeyedProcessFunction.Context) -> Iterable[Any] | None:
        """The values to emit for a value of the second stream."""

    def on_timer(self, timestamp: int, ctx: KeyedProcessFunction.OnTimerContext) -> Iterable[Any] | None:
        """As ``KeyedProcessFunction.on_timer``."""
        return None


class KeyedStateFunction(Function):
    """What ``apply_to_keyed_state`` does with the state of each key."""

    @abstractmethod
    def process(self, key: Any, state: Any) -> None:
        """``state`` is the handle of this key's state, to read, update or clear."""


class BaseBroadcastProcessFunction(Function):
    """What the functions of a stream connected with a broadcast stream have in common."""

    class BaseContext(ABC):
        @abstractmethod
        def timestamp(self) -> int | None:
            """Event time in ms of the value, or of the timer in ``on_timer``; None when the value has none."""

        @abstractmethod
        def current_processing_time(self) -> int:
            """The time of day in ms since 1970 in UTC."""

        @abstractmethod
        def current_watermark(self) -> int: ...

    class Context(BaseContext):
        @abstractmethod
        def get_broadcast_state(self, state_descriptor: MapStateDescriptor) -> BroadcastState[Any, Any]:
            """The broadcast state of a descriptor that was given to ``broadcast()``."""

    class ReadOnlyContext(BaseContext):
        @abstractmethod
        def get_broadcast_state(self, state_descriptor: MapStateDescriptor) -> ReadOnlyBroadcastState[Any, Any]:
            """The broadcast state of a descriptor that was given to ``broadcast()``, to read."""


class BroadcastProcessFunction(BaseBroadcastProcessFunction, Generic[IN, IN2, OUT]):
    """Values of a stream beside those of a broadcast stream, which every lane gets and may keep.

    Broadcast state is a copy per lane. The copies are the same only when ``process_broadcast_element`` does the
    same in every lane, whatever the order between the two streams.
    """

    @abstractmethod
    def process_element(self, value: IN, ctx: BaseBroadcastProcessFunction.ReadOnlyContext) -> Iterable[OUT] | None:
        """The values to emit for a value of the stream; broadcast state can be read."""

    @abstractmethod
    def process_broadcast_element(
        self, value: IN2, ctx: BaseBroadcastProcessFunction.Context
    ) -> Iterable[OUT] | None:
        """The values to emit, in each lane, for a broadcast value; broadcast state can be written."""


class KeyedBroadcastProcessFunction(BaseBroadcastProcessFunction, Generic[KEY, IN, IN2, OUT]):
    """As BroadcastProcessFunction for a keyed stream: with state and timers of the key of a value."""

    class Context(BaseBroadcastProcessFunction.Context):
        @abstractmethod
        def apply_to_keyed_state(
            self, state_descriptor: Any, function: KeyedStateFunction | Callable[[Any, Any], None]
        ) -> None:
            """Call ``function(key, state)`` for every key of this lane that has state of this descriptor."""

    class ReadOnlyContext(BaseBroadcastProcessFunction.ReadOnlyContext):
        @abstractmethod
        def get_current_key(self) -> Any: ...

        @abstractmethod
        def timer_service(self) -> TimerService: ...

    class OnTimerContext(ReadOnlyContext):
        """Context of ``on_timer``."""

        @abstractmethod
        def time_domain(self) -> TimeDomain:
            """Which time the timer goes by."""

    @abstractmethod
    def process_element(self, value: IN, ctx: KeyedBroadcastProcessFunction.ReadOnlyContext) -> Iterable[OUT] | None:
        """The values to emit for a value of the keyed stream; broadcast state can be read."""

    @abstractmethod
    def process_broadcast_element(
        self, value: IN2, ctx: KeyedBroadcastProcessFunction.Context
    ) -> Iterable[OUT] | None:
        """The values to emit, in each lane, for a broadcast value; no key is in progress."""

    def on_timer(self, timestamp: int, ctx: KeyedBroadcastProcessFunction.OnTimerContext) -> Iterable[OUT] | None:
        """As ``KeyedProcessFunction.on_timer``; broadcast state can be read."""
        return None


class ProcessJoinFunction(Function, Generic[IN, IN2, OUT]):
    """Any number of values for each pair of an interval join."""

    class Context(ABC):
        @abstractmethod
        def get_left_timestamp(self) -> int: ...

        @abstractmethod
        def get_right_timestamp(self) -> int: ...

        @abstractmethod
        def get_timestamp(self) -> int:
            """The later of the two event times: that of what is emitted."""

    @abstractmethod
    def process_element(self, left: IN, right: IN2, ctx: ProcessJoinFunction.Context) -> Iterable[OUT] | None:
        """The values to emit, yielded or as an iterable; None for no value."""


class JoinFunction(Function):
    """One value for each pair of values that share key and window."""

    @abstractmethod
    def join(self, first: Any, second: Any) -> Any: ...


class FlatJoinFunction(Function):
    """Any number of values for each pair of values that share key and window."""

    @abstractmethod
    def join(self, first: Any, second: Any) -> Iterable[Any] | None: ...


class CoGroupFunction(Function):
    """Any number of values from all values of two streams that share key and window."""

    @abstractmethod
    def co_group(self, first: Iterable[Any], second: Iterable[Any]) -> Iterable[Any] | None:
        """Called when at least one of the two has values."""


class AllWindowFunction(Function, Generic[IN, OUT, W]):
    """Any number of values from all values of one window of a stream that is not keyed."""

    @abstractmethod
    def apply(self, window: W, inputs: Iterable[IN]) -> Iterable[OUT]:
        """The values to emit. They take the last moment of the window as their event time."""


class ProcessAllWindowFunction(Function, Generic[IN, OUT, W]):
    """As AllWindowFunction, with a context.

    After ``reduce`` or ``aggregate`` the elements are the one result of it.
    """

    Context = ProcessWindowFunction.Context

    @abstractmethod
    def process(self, context: ProcessWindowFunction.Context[W], elements: Iterable[IN]) -> Iterable[OUT]:
        """The values to emit. They take the last moment of the window as their event time."""

    def clear(self, context: ProcessWindowFunction.Context[W]) -> None:
        """Called when a window and its allowed lateness are over: remove what ``window_state`` holds."""
        return None
