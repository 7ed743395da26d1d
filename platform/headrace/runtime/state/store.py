"""The states of one operator by name: from descriptors to handles over the lane's tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from headrace.clock import now_ms
from headrace.datastream.functions import KeyedStateStore, ReduceFunction
from headrace.datastream.state import (
    AggregatingState,
    AggregatingStateDescriptor,
    ListState,
    ListStateDescriptor,
    MapState,
    MapStateDescriptor,
    ReducingState,
    ReducingStateDescriptor,
    StateDescriptor,
    ValueState,
    ValueStateDescriptor,
)
from headrace.errors import UsageError
from headrace.runtime.state.keyed import (
    CurrentKey,
    TableAggregatingState,
    TableListState,
    TableMapState,
    TableReducingState,
    TableValueState,
)
from headrace.runtime.state.tables import Table, Tables
from headrace.runtime.state.ttl import (
    Ttl,
    TtlAggregatingState,
    TtlListState,
    TtlMapState,
    TtlReducingState,
    TtlValueState,
)

H = TypeVar("H")
#: How a state lies in its table; one name has one of them. What expires carries a time with each value.
SHAPES = {
    "value": "one value",
    "list": "a list",
    "map": "a map",
    "ttl-value": "one value that expires",
    "ttl-list": "a list that expires",
    "ttl-map": "a map that expires",
}


class TableStateStore(KeyedStateStore):
    """Gives the handles of one operator; the same name gives the same state, of one kind only.

    ``scope`` stands before the kind in table names: "" for state of a key, "window-" for that of a key's window.
    ``clock_ms`` is the time of day, for states that expire.
    """

    def __init__(
        self,
        tables: Tables,
        uid: str,
        current: CurrentKey,
        scope: str = "",
        clock_ms: Callable[[], int] = now_ms,
    ) -> None:
        self._tables = tables
        self._uid = uid
        self._current = current
        self._scope = scope
        self._clock_ms = clock_ms
        self._handles: dict[str, tuple[str, Any]] = {}

    def get_state(self, state_descriptor: ValueStateDescriptor) -> ValueState[Any]:
        current = self._current
        return self._handle(
            "value",
            state_descriptor,
            lambda table: TableValueState(table, current),
            lambda table, ttl: TtlValueState(table, current, ttl),
        )

    def get_list_state(self, state_descriptor: ListStateDescriptor) -> ListState[Any]:
        current = self._current
        return self._handle(
            "list",
            state_descriptor,
            lambda table: TableListState(table, current),
            lambda table, ttl: TtlListState(table, current, ttl),
        )

    def get_map_state(self, state_descriptor: MapStateDescriptor) -> MapState[Any, Any]:
        current = self._current
        return self._handle(
            "map",
            state_descriptor,
            lambda table: TableMapState(table, current),
            lambda table, ttl: TtlMapState(table, current, ttl),
        )

    def get_reducing_state(self, state_descriptor: ReducingStateDescriptor) -> ReducingState[Any]:
        current, function = self._current, state_descriptor.get_reduce_function()
        reduce: Any = function.reduce if isinstance(function, ReduceFunction) else function
        return self._handle(
            "value",
            state_descriptor,
            lambda table: TableReducingState(table, current, reduce),
            lambda table, ttl: TtlReducingState(table, current, ttl, reduce),
        )

    def get_aggregating_state(self, state_descriptor: AggregatingStateDescriptor) -> AggregatingState[Any, Any]:
        current, function = self._current, state_descriptor.get_agg_function()
        return self._handle(
            "value",
            state_descriptor,
            lambda table: TableAggregatingState(table, current, function),
            lambda table, ttl: TtlAggregatingState(table, current, ttl, function),
        )

    def state_of(self, descriptor: StateDescriptor) -> Any:
        """The handle of any descriptor."""
        match descriptor:
            case ListStateDescriptor():
                return self.get_list_state(descriptor)
            case MapStateDescriptor():
                return self.get_map_state(descriptor)
            case ReducingStateDescriptor():
                return self.get_reducing_state(descriptor)
            case AggregatingStateDescriptor():
                return self.get_aggregating_state(descriptor)
            case _:
                return self.get_state(descriptor)  # type: ignore[arg-type]

    def keys_of(self, descriptor: StateDescriptor) -> list[Any]:
        """The state keys that have state of this descriptor as of now; what has expired may be among them."""
        config = descriptor.ttl_config
        expires = "ttl-" if config is not None and config.is_enabled() else ""
        name = descriptor.get_name()
        match descriptor:
            case ListStateDescriptor():
                table = self._table(f"{expires}list", name)
            case MapStateDescriptor():
                table = self._table(f"{expires}map", name)
            case _:
                return list(self._table(f"{expires}value", name).space(""))
        return [key for key, space in table.spaces.items() if space]

    def _handle(
        self,
        shape: str,
        descriptor: StateDescriptor,
        make: Callable[[Table], H],
        make_expiring: Callable[[Table, Ttl], H],
    ) -> H:
        name, kind = descriptor.get_name(), type(descriptor).__name__
        if name not in self._handles:
            config = descriptor.ttl_config
            if config is None or not config.is_enabled():
                handle = make(self._table(shape, name))
            else:
                handle = make_expiring(self._table(f"ttl-{shape}", name), Ttl(config, self._clock_ms))
            self._handles[name] = kind, handle
        known, found = self._handles[name]
        if known != kind:
            raise self._changed(name, f"as {kind}, and was {known} before")
        return found  # type: ignore[no-any-return]

    def _table(self, shape: str, name: str) -> Table:
        """The state's table. Raises UsageError when its name has values of another shape, from an earlier start."""
        for other, words in SHAPES.items():
            if other != shape and self._tables.holds(self._name(other, name)):
                raise self._changed(name, f"as {SHAPES[shape]}, and holds {words}")
        return self._tables.table(self._name(shape, name))

    def _name(self, shape: str, name: str) -> str:
        return f"{self._uid}/{self._scope}{shape}/{name}"

    def _changed(self, name: str, how: str) -> UsageError:
        return UsageError(
            "state-kind-changed",
            f"state {name!r} of operator {self._uid!r} is asked for {how}",
            hint="give each state of a function a name of its own",
        )
