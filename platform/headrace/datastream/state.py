"""Keyed state: what a function may hold for each key, and the descriptors that name it.

Descriptors are plain data. ``RuntimeContext.get_state`` and its like, called in ``open``, give handles; a handle
reads and writes the value of the key in progress. State survives failures: it stands as of the last commit,
together with the input positions and outputs of that commit.

A handle keeps a copy of what it is given, and gives a copy of what it keeps; values that cannot change are shared.
What is changed in place counts only when it is set again with ``update``, ``put`` or ``add``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from headrace.common.call_site import wrong
from headrace.common.typeinfo import TypeInformation, Types
from headrace.datastream.state_ttl import StateTtlConfig

if TYPE_CHECKING:
    from headrace.datastream.functions import AggregateFunction, ReduceFunction

__all__ = [
    "AggregatingState",
    "AggregatingStateDescriptor",
    "AppendingState",
    "BroadcastState",
    "ListState",
    "ListStateDescriptor",
    "MapState",
    "MapStateDescriptor",
    "ReadOnlyBroadcastState",
    "ReducingState",
    "ReducingStateDescriptor",
    "State",
    "StateDescriptor",
    "StateTtlConfig",
    "ValueState",
    "ValueStateDescriptor",
]

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")
IN = TypeVar("IN")
OUT = TypeVar("OUT")


class State(ABC):
    """State of the key in progress."""

    @abstractmethod
    def clear(self) -> None:
        """Remove what is held for this key."""


class ValueState(State, Generic[T]):
    """One value for each key."""

    @abstractmethod
    def value(self) -> T | None:
        """The value, None when none was set."""

    @abstractmethod
    def update(self, value: T) -> None:
        """Set the value."""


class AppendingState(State, Generic[IN, OUT]):
    """State that takes elements and gives what they come to."""

    @abstractmethod
    def get(self) -> OUT | None:
        """What the elements come to, None when there are none."""

    @abstractmethod
    def add(self, value: IN) -> None:
        """Take one more element."""


class ListState(AppendingState[T, Iterable[T]]):
    """A list for each key. ``add`` costs the element, not the list."""

    @abstractmethod
    def get(self) -> Iterable[T]:
        """The elements in the order they were added; empty when there are none."""

    @abstractmethod
    def update(self, values: list[T]) -> None:
        """Replace the whole list."""

    @abstractmethod
    def add_all(self, values: list[T]) -> None:
        """Add elements at the end."""


class ReducingState(AppendingState[T, T]):
    """The reduction of all elements, by the descriptor's ReduceFunction."""


class AggregatingState(AppendingState[IN, OUT]):
    """The result of the descriptor's AggregateFunction over all elements."""


class MapState(State, Generic[K, V]):
    """A map for each key. One entry is read and written without the others."""

    @abstractmethod
    def get(self, key: K) -> V | None:
        """The value of an entry, None when it is not there."""

    @abstractmethod
    def put(self, key: K, value: V) -> None: ...

    @abstractmethod
    def put_all(self, dict_value: dict[K, V]) -> None: ...

    @abstractmethod
    def remove(self, key: K) -> None:
        """Remove an entry; nothing happens when it is not there."""

    @abstractmethod
    def contains(self, key: K) -> bool: ...

    @abstractmethod
    def items(self) -> Iterable[tuple[K, V]]: ...

    @abstractmethod
    def keys(self) -> Iterable[K]: ...

    @abstractmethod
    def values(self) -> Iterable[V]: ...

    @abstractmethod
    def is_empty(self) -> bool: ...

    def __getitem__(self, key: K) -> V | None:
        return self.get(key)

    def __setitem__(self, key: K, value: V) -> None:
        self.put(key, value)

    def __delitem__(self, key: K) -> None:
        self.remove(key)

    def __contains__(self, key: K) -> bool:
        return self.contains(key)

    def __iter__(self) -> Iterator[K]:
        return iter(self.keys())


class ReadOnlyBroadcastState(ABC, Generic[K, V]):
    """A map that a broadcast stream keeps in every lane, to read."""

    @abstractmethod
    def get(self, key: K) -> V | None:
        """The value of an entry, None when it is not there."""

    @abstractmethod
    def contains(self, key: K) -> bool: ...

    @abstractmethod
    def items(self) -> Iterable[tuple[K, V]]: ...

    @abstractmethod
    def keys(self) -> Iterable[K]: ...

    @abstractmethod
    def values(self) -> Iterable[V]: ...

    @abstractmethod
    def is_empty(self) -> bool: ...

    def __getitem__(self, key: K) -> V | None:
        return self.get(key)

    def __contains__(self, key: K) -> bool:
        return self.contains(key)

    def __iter__(self) -> Iterator[K]:
        return iter(self.keys())


class BroadcastState(ReadOnlyBroadcastState[K, V], State):
    """A map that a broadcast stream keeps in every lane. Not of a key: each lane has one copy."""

    @abstractmethod
    def put(self, key: K, value: V) -> None: ...

    @abstractmethod
    def put_all(self, dict_value: dict[K, V]) -> None: ...

    @abstractmethod
    def remove(self, key: K) -> None:
        """Remove an entry; nothing happens when it is not there."""

    def __setitem__(self, key: K, value: V) -> None:
        self.put(key, value)

    def __delitem__(self, key: K) -> None:
        self.remove(key)


class StateDescriptor:
    """Name and type of a state. The name is unique within its function and must not change while state lives."""

    def __init__(self, name: str, type_info: TypeInformation | None = None) -> None:
        if not isinstance(name, str) or not name:
            raise wrong(f"a state's name must be a non-empty str, not {name!r}")
        self.name = name
        self.type_info = type_info or Types.PICKLED_BYTE_ARRAY()
        self.ttl_config: StateTtlConfig | None = None

    def enable_time_to_live(self, ttl_config: StateTtlConfig) -> None:
        """Let the state expire; before it is asked for in ``open``."""
        if not isinstance(ttl_config, StateTtlConfig):
            raise wrong(f"enable_time_to_live() takes a StateTtlConfig, not {ttl_config!r:.60}")
        self.ttl_config = ttl_config

    def get_name(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, {self.type_info})"


class ValueStateDescriptor(StateDescriptor):
    """A ValueState."""


class ListStateDescriptor(StateDescriptor):
    """A ListState; ``type_info`` is the type of its elements."""

    def __init__(self, name: str, elem_type_info: TypeInformation | None = None) -> None:
        super().__init__(name, elem_type_info)


class MapStateDescriptor(StateDescriptor):
    """A MapState from keys to values of the types given."""

    def __init__(
        self,
        name: str,
        key_type_info: TypeInformation | None = None,
        value_type_info: TypeInformation | None = None,
    ) -> None:
        self.key_type_info = key_type_info or Types.PICKLED_BYTE_ARRAY()
        self.value_type_info = value_type_info or Types.PICKLED_BYTE_ARRAY()
        super().__init__(name, Types.MAP(self.key_type_info, self.value_type_info))


class ReducingStateDescriptor(StateDescriptor):
    """A ReducingState by ``reduce_function``, a ReduceFunction or f(value1, value2)."""

    def __init__(
        self,
        name: str,
        reduce_function: ReduceFunction | Callable[[Any, Any], Any],
        type_info: TypeInformation | None = None,
    ) -> None:
        super().__init__(name, type_info)
        if not callable(getattr(reduce_function, "reduce", reduce_function)):
            raise wrong(f"state {name!r} needs a ReduceFunction or a callable, not {reduce_function!r}")
        self.reduce_function = reduce_function

    def get_reduce_function(self) -> ReduceFunction | Callable[[Any, Any], Any]:
        return self.reduce_function


class AggregatingStateDescriptor(StateDescriptor):
    """An AggregatingState by ``agg_function``; ``state_type_info`` is the type of its accumulator."""

    def __init__(
        self, name: str, agg_function: AggregateFunction, state_type_info: TypeInformation | None = None
    ) -> None:
        super().__init__(name, state_type_info)
        if not callable(getattr(agg_function, "create_accumulator", None)):
            raise wrong(f"state {name!r} needs an AggregateFunction, not {agg_function!r}")
        self.agg_function = agg_function

    def get_agg_function(self) -> AggregateFunction:
        return self.agg_function
