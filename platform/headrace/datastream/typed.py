"""Functions of our own that stand between the user's: declared types, keyed forms of plain functions.

They travel in the code bundle by reference: only the user's function inside them travels by value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from headrace.common.typeinfo import TypeInformation
from headrace.datastream.functions import (
    FilterFunction,
    FlatMapFunction,
    Function,
    KeyedProcessFunction,
    KeySelector,
    MapFunction,
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


def user_function(function: Any) -> Any:
    """The user's own function inside one of ours, or the function itself."""
    if isinstance(function, TypedKey):
        return function.selector
    return function.inner if isinstance(function, _OpensInner) else function
