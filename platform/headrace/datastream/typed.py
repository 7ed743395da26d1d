"""Functions of our own that stand between the user's: declared types, keyed forms of plain functions.

They travel in the code bundle by reference: only the user's function inside them travels by value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from headrace.common.typeinfo import TypeInformation
from headrace.datastream.functions import (
    AllWindowFunction,
    CoFlatMapFunction,
    CoGroupFunction,
    CoMapFunction,
    CoProcessFunction,
    FilterFunction,
    FlatJoinFunction,
    FlatMapFunction,
    Function,
    JoinFunction,
    KeyedProcessFunction,
    KeySelector,
    MapFunction,
    Partitioner,
    ProcessAllWindowFunction,
    ProcessWindowFunction,
    RuntimeContext,
    WindowFunction,
)


class TypeConversion(MapFunction):
    """Gives values the Row names and tuple form of a declared output type."""

    def __init__(self, type_info: TypeInformation) -> None:
        self.type_info = type_info

    def map(self, value: Any) -> Any:
        return self.type_info.convert(value)


class TypedKey(KeySelector):
    """A key selector whose keys are coerced to a declared type."""

    def __init__(self, selector: KeySelector | Callable[[Any], Any], key_type: TypeInformation) -> None:
        self.selector = selector
        self.key_type = key_type
        self._get = selector.get_key if isinstance(selector, KeySelector) else selector

    def get_key(self, value: Any) -> Any:
        return self.key_type.coerce(self._get(value))


class CustomPartition(KeySelector):
    """The lane of a record by the user's partitioner. ``lane_of(value, lanes)`` is what the edge calls."""

    def __init__(
        self, partitioner: Partitioner | Callable[[Any, int], int], selector: KeySelector | Callable[[Any], Any]
    ) -> None:
        self.partitioner = partitioner
        self.selector = selector
        self._partition = partitioner.partition if isinstance(partitioner, Partitioner) else partitioner
        self._get = selector.get_key if isinstance(selector, KeySelector) else selector

    def open(self, runtime_context: RuntimeContext) -> None:
        for each in (self.partitioner, self.selector):
            if isinstance(each, Function):
                each.open(runtime_context)

    def close(self) -> None:
        for each in (self.partitioner, self.selector):
            if isinstance(each, Function):
                each.close()

    def get_key(self, value: Any) -> Any:
        return self._get(value)

    def lane_of(self, value: Any, lanes: int) -> int:
        lane = self._partition(self._get(value), lanes)
        if type(lane) is not int or not 0 <= lane < lanes:
            raise ValueError(f"a partitioner must give a whole number from 0 to {lanes - 1}, not {lane!r:.60}")
        return lane


class Projection(MapFunction):
    """Some fields of a tuple or Row."""

    def __init__(self, indexes: tuple[int, ...]) -> None:
        self.indexes = indexes

    def map(self, value: Any) -> Any:
        return tuple([value[index] for index in self.indexes])


class _OpensInner(Function):
    def __init__(self, inner: Function) -> None:
        self.inner = inner

    def open(self, runtime_context: RuntimeContext) -> None:
        self.inner.open(runtime_context)

    def close(self) -> None:
        self.inner.close()


class KeyedMap(_OpensInner, KeyedProcessFunction):
    """A MapFunction on a keyed stream, so that it can hold keyed state."""

    inner: MapFunction

    def process_element(self, value: Any, ctx: KeyedProcessFunction.Context) -> Iterable[Any]:
        return (self.inner.map(value),)


class KeyedFlatMap(_OpensInner, KeyedProcessFunction):
    """A FlatMapFunction on a keyed stream."""

    inner: FlatMapFunction

    def process_element(self, value: Any, ctx: KeyedProcessFunction.Context) -> Iterable[Any] | None:
        return self.inner.flat_map(value)


class KeyedFilter(_OpensInner, KeyedProcessFunction):
    """A FilterFunction on a keyed stream."""

    inner: FilterFunction

    def process_element(self, value: Any, ctx: KeyedProcessFunction.Context) -> Iterable[Any]:
        return (value,) if self.inner.filter(value) else ()


class AppliedWindow(_OpensInner, ProcessWindowFunction[Any, Any, Any, Any]):
    """A WindowFunction in the form of a ProcessWindowFunction."""

    inner: WindowFunction[Any, Any, Any, Any]

    def process(
        self, key: Any, context: ProcessWindowFunction.Context[Any], elements: Iterable[Any]
    ) -> Iterable[Any]:
        return self.inner.apply(key, context.window(), elements)


class CoMapped(_OpensInner, CoProcessFunction):
    """A CoMapFunction in the form of a CoProcessFunction."""

    inner: CoMapFunction

    def process_element1(self, value: Any, ctx: CoProcessFunction.Context) -> Iterable[Any]:
        return (self.inner.map1(value),)

    def process_element2(self, value: Any, ctx: CoProcessFunction.Context) -> Iterable[Any]:
        return (self.inner.map2(value),)


class CoFlatMapped(_OpensInner, CoProcessFunction):
    """A CoFlatMapFunction in the form of a CoProcessFunction."""

    inner: CoFlatMapFunction

    def process_element1(self, value: Any, ctx: CoProcessFunction.Context) -> Iterable[Any] | None:
        return self.inner.flat_map1(value)

    def process_element2(self, value: Any, ctx: CoProcessFunction.Context) -> Iterable[Any] | None:
        return self.inner.flat_map2(value)


class FromInput(MapFunction):
    """Marks values of the first (0) or second (1) stream before the two become one."""

    def __init__(self, number: int) -> None:
        self.number = number

    def map(self, value: Any) -> Any:
        return self.number, value


class InputKey(KeySelector):
    """The key of a marked value, by the selector of its stream."""

    def __init__(self, *selectors: KeySelector | Callable[[Any], Any]) -> None:
        self._selectors = tuple(s.get_key if isinstance(s, KeySelector) else s for s in selectors)

    def get_key(self, value: Any) -> Any:
        return self._selectors[value[0]](value[1])


class WindowCoGroup(_OpensInner, ProcessWindowFunction[Any, Any, Any, Any]):
    """A CoGroupFunction on windows of marked values."""

    inner: CoGroupFunction

    def process(
        self, key: Any, context: ProcessWindowFunction.Context[Any], elements: Iterable[Any]
    ) -> Iterable[Any]:
        sides: tuple[list[Any], list[Any]] = [], []
        for number, value in elements:
            sides[number].append(value)
        return self.inner.co_group(*sides) or ()


class WindowJoin(ProcessWindowFunction[Any, Any, Any, Any]):
    """A join of every pair in windows of marked values."""

    def __init__(self, inner: JoinFunction | FlatJoinFunction | Callable[[Any, Any], Any]) -> None:
        self.inner: Any = inner

    def open(self, runtime_context: RuntimeContext) -> None:
        if isinstance(self.inner, Function):
            self.inner.open(runtime_context)

    def close(self) -> None:
        if isinstance(self.inner, Function):
            self.inner.close()

    def process(
        self, key: Any, context: ProcessWindowFunction.Context[Any], elements: Iterable[Any]
    ) -> Iterable[Any]:
        sides: tuple[list[Any], list[Any]] = [], []
        for number, value in elements:
            sides[number].append(value)
        flat = isinstance(self.inner, FlatJoinFunction)
        join = self.inner.join if isinstance(self.inner, JoinFunction | FlatJoinFunction) else self.inner
        for first in sides[0]:
            for second in sides[1]:
                if flat:
                    yield from join(first, second) or ()
                else:
                    yield join(first, second)


class AppliedAllWindow(_OpensInner, ProcessWindowFunction[Any, Any, Any, Any]):
    """An AllWindowFunction in the form of a ProcessWindowFunction; the one key is nobody's."""

    inner: AllWindowFunction[Any, Any, Any]

    def process(
        self, key: Any, context: ProcessWindowFunction.Context[Any], elements: Iterable[Any]
    ) -> Iterable[Any]:
        return self.inner.apply(context.window(), elements)


class ProcessedAllWindow(_OpensInner, ProcessWindowFunction[Any, Any, Any, Any]):
    """A ProcessAllWindowFunction in the form of a ProcessWindowFunction."""

    inner: ProcessAllWindowFunction[Any, Any, Any]

    def process(
        self, key: Any, context: ProcessWindowFunction.Context[Any], elements: Iterable[Any]
    ) -> Iterable[Any]:
        return self.inner.process(context, elements)

    def clear(self, context: ProcessWindowFunction.Context[Any]) -> None:
        self.inner.clear(context)


class OneKey(KeySelector):
    """The same key for all values, so that one lane sees them all."""

    def get_key(self, value: Any) -> None:
        return None


def user_function(function: Any) -> Any:
    """The user's own function inside one of ours, or the function itself."""
    if isinstance(function, TypedKey):
        return function.selector
    return function.inner if isinstance(function, _OpensInner | WindowJoin) else function
