"""Keyed state that expires: each value lies in its table with the time of its last touch, (value, touched_ms).

The handles stand on those of ``keyed``. Whether something has expired is asked when it is read, so that a change of
the TTL counts for what is there already. The sweep looks at a few entries of the same table at each access and
removes what nobody reads any more; it goes by keys as they were when its round began.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from headrace.datastream.functions import AggregateFunction
from headrace.datastream.state import AggregatingState, ListState, MapState, ReducingState, ValueState
from headrace.datastream.state_ttl import StateTtlConfig, StateVisibility, UpdateType
from headrace.runtime.state.keyed import CurrentKey, TableListState, TableMapState, TableValueState
from headrace.runtime.state.tables import MISSING, Table

Stamped = tuple[Any, int]


class Ttl:
    """One state's TTL, and the clock."""

    def __init__(self, config: StateTtlConfig, clock_ms: Callable[[], int]) -> None:
        self.ttl_ms = config.ttl.to_milliseconds()
        self.touches_on_read = config.update_type is UpdateType.OnReadAndWrite
        self.shows_expired = config.state_visibility is StateVisibility.ReturnExpiredIfNotCleanedUp
        self.sweep_size = config.cleanup_size
        self.now_ms = clock_ms

    def stamped(self, value: Any) -> Stamped:
        return value, self.now_ms()

    def expired(self, stamped: Stamped) -> bool:
        return stamped[1] + self.ttl_ms <= self.now_ms()


class Sweep:
    """Looks at a few entries of a table at a time, round after round; ``remove(namespace, key)`` takes one out."""

    def __init__(self, table: Table, ttl: Ttl) -> None:
        self._table = table
        self._ttl = ttl
        self._round: Iterator[tuple[Any, Any]] = iter(())

    def step(self) -> None:
        table, expired = self._table, self._ttl.expired
        for _ in range(self._ttl.sweep_size):
            at = next(self._round, None)
            if at is None:
                self._round = self._entries()
                return
            stamped = table.get(*at, MISSING)
            if stamped is not MISSING and expired(stamped):
                table.delete(*at)

    def _entries(self) -> Iterator[tuple[Any, Any]]:
        """Keys are listed when their namespace's turn comes: a step never lists more than one namespace's."""
        for namespace in tuple(self._table.spaces):
            for key in tuple(self._table.space(namespace)):
                yield namespace, key


class TtlValueState(ValueState[Any]):
    """A value that expires. ``alive`` is what it holds if that may still be used."""

    def __init__(self, table: Table, current: CurrentKey, ttl: Ttl) -> None:
        self._inner = TableValueState(table, current)
        self._ttl = ttl
        self._sweep = Sweep(table, ttl)

    def value(self) -> Any:
        found = self.alive(shows_expired=self._ttl.shows_expired)
        return None if found is MISSING else found

    def alive(self, *, shows_expired: bool) -> Any:
        self._sweep.step()
        stamped = self._inner.value()
        if stamped is None:
            return MISSING
        if self._ttl.expired(stamped):
            self._inner.clear()
            return stamped[0] if shows_expired else MISSING
        if self._ttl.touches_on_read:
            self._inner.update(self._ttl.stamped(stamped[0]))
        return stamped[0]

    def update(self, value: Any) -> None:
        self._sweep.step()
        self._inner.update(self._ttl.stamped(value))

    def clear(self) -> None:
        self._inner.clear()


class TtlReducingState(ReducingState[Any]):
    """What expired takes no part in the next reduction."""

    def __init__(self, table: Table, current: CurrentKey, ttl: Ttl, reduce: Callable[[Any, Any], Any]) -> None:
        self._value = TtlValueState(table, current, ttl)
        self._reduce = reduce

    def get(self) -> Any:
        return self._value.value()

    def add(self, value: Any) -> None:
        old = self._value.alive(shows_expired=False)
        self._value.update(value if old is MISSING else self._reduce(old, value))

    def clear(self) -> None:
        self._value.clear()


class TtlAggregatingState(AggregatingState[Any, Any]):
    """An expired accumulator begins anew."""

    def __init__(self, table: Table, current: CurrentKey, ttl: Ttl, function: AggregateFunction) -> None:
        self._value = TtlValueState(table, current, ttl)
        self._ttl = ttl
        self._function = function

    def get(self) -> Any:
        accumulator = self._value.alive(shows_expired=self._ttl.shows_expired)
        return None if accumulator is MISSING else self._function.get_result(accumulator)

    def add(self, value: Any) -> None:
        accumulator = self._value.alive(shows_expired=False)
        if accumulator is MISSING:
            accumulator = self._function.create_accumulator()
        self._value.update(self._function.add(value, accumulator))

    def clear(self) -> None:
        self._value.clear()


class TtlListState(ListState[Any]):
    """Each element expires for itself. Elements are numbered: when some are gone, those left are written anew."""

    def __init__(self, table: Table, current: CurrentKey, ttl: Ttl) -> None:
        self._inner = TableListState(table, current)
        self._ttl = ttl
        self._sweep = _ListSweep(table, ttl)

    def get(self) -> list[Any]:
        self._sweep.step()
        found = list(self._inner.get())
        alive = [stamped for stamped in found if not self._ttl.expired(stamped)]
        if self._ttl.touches_on_read:
            self._inner.update([self._ttl.stamped(value) for value, _ in alive])
        elif len(alive) < len(found):
            self._inner.update(alive)
        return [value for value, _ in (found if self._ttl.shows_expired else alive)]

    def add(self, value: Any) -> None:
        self._sweep.step()
        self._inner.add(self._ttl.stamped(value))

    def add_all(self, values: Iterable[Any]) -> None:
        self._sweep.step()
        self._inner.add_all(self._ttl.stamped(value) for value in values)

    def update(self, values: Iterable[Any]) -> None:
        self._sweep.step()
        self._inner.update([self._ttl.stamped(value) for value in values])

    def clear(self) -> None:
        self._inner.clear()


class _ListSweep:
    """Lists whose last element has expired go as a whole; the others wait for their next read."""

    def __init__(self, table: Table, ttl: Ttl) -> None:
        self._table = table
        self._ttl = ttl
        self._round: Iterator[Any] = iter(())

    def step(self) -> None:
        table = self._table
        for _ in range(self._ttl.sweep_size):
            key = next(self._round, MISSING)
            if key is MISSING:
                self._round = iter(list(table.spaces))
                return
            elements = table.space(key)
            if elements and self._ttl.expired(elements[len(elements) - 1]):
                table.drop(key)


class TtlMapState(MapState[Any, Any]):
    """Each entry expires for itself."""

    def __init__(self, table: Table, current: CurrentKey, ttl: Ttl) -> None:
        self._inner = TableMapState(table, current)
        self._ttl = ttl
        self._sweep = Sweep(table, ttl)

    def get(self, key: Any) -> Any:
        found = self._entry(key)
        return None if found is MISSING else found

    def _entry(self, key: Any) -> Any:
        self._sweep.step()
        return self._seen(key, self._inner.get(key))

    def _seen(self, key: Any, stamped: Stamped | None) -> Any:
        """The value of an entry if it may be seen; one that has expired is removed, one that is read touched."""
        if stamped is None:
            return MISSING
        if self._ttl.expired(stamped):
            self._inner.remove(key)
            return stamped[0] if self._ttl.shows_expired else MISSING
        if self._ttl.touches_on_read:
            self._inner.put(key, self._ttl.stamped(stamped[0]))
        return stamped[0]

    def put(self, key: Any, value: Any) -> None:
        self._sweep.step()
        self._inner.put(key, self._ttl.stamped(value))

    def put_all(self, dict_value: Any) -> None:
        for key, value in dict(dict_value).items():
            self.put(key, value)

    def remove(self, key: Any) -> None:
        self._inner.remove(key)

    def contains(self, key: Any) -> bool:
        return self._entry(key) is not MISSING

    def items(self) -> list[tuple[Any, Any]]:
        self._sweep.step()
        seen = [(key, self._seen(key, stamped)) for key, stamped in self._inner.items()]
        return [(key, value) for key, value in seen if value is not MISSING]

    def keys(self) -> list[Any]:
        return [key for key, _ in self.items()]

    def values(self) -> list[Any]:
        return [value for _, value in self.items()]

    def is_empty(self) -> bool:
        return not self.items()

    def clear(self) -> None:
        self._inner.clear()
