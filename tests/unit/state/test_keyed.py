"""State as users see it: every kind, per key, isolated from what users do with the objects, undone and restored."""

from __future__ import annotations

from typing import Any

import pytest

from headrace.common.typeinfo import Types
from headrace.datastream.functions import AggregateFunction
from headrace.datastream.state import (
    AggregatingStateDescriptor,
    ListStateDescriptor,
    MapStateDescriptor,
    ReducingStateDescriptor,
    ValueStateDescriptor,
)
from headrace.errors import UsageError
from headrace.runtime.state.keyed import CurrentKey
from headrace.runtime.state.store import TableStateStore
from headrace.runtime.state.tables import Tables


class Mean(AggregateFunction):
    def create_accumulator(self) -> list[int]:
        return [0, 0]

    def add(self, value: int, accumulator: list[int]) -> list[int]:
        accumulator[0] += value
        accumulator[1] += 1
        return accumulator

    def get_result(self, accumulator: list[int]) -> float:
        return accumulator[0] / accumulator[1]

    def merge(self, acc_a: list[int], acc_b: list[int]) -> list[int]:
        return [acc_a[0] + acc_b[0], acc_a[1] + acc_b[1]]


class Handles:
    """All kinds of state over one set of tables."""

    def __init__(self, tables: Tables | None = None) -> None:
        self.tables = tables or Tables()
        self.current = CurrentKey()
        self.current.state_key = "a"
        store = TableStateStore(self.tables, "op", self.current)
        self.value = store.get_state(ValueStateDescriptor("value", Types.LONG()))
        self.list = store.get_list_state(ListStateDescriptor("list", Types.LONG()))
        self.map = store.get_map_state(MapStateDescriptor("map", Types.STRING(), Types.LONG()))
        self.sum = store.get_reducing_state(ReducingStateDescriptor("sum", lambda a, b: a + b, Types.LONG()))
        self.mean = store.get_aggregating_state(AggregatingStateDescriptor("mean", Mean(), Types.LIST(Types.LONG())))
        self.store = store

    def at(self, key: Any) -> Handles:
        self.current.state_key = key
        return self

    def seen(self) -> tuple[Any, ...]:
        return (
            self.value.value(),
            list(self.list.get()),
            dict(self.map.items()),
            self.sum.get(),
            self.mean.get(),
        )

    def fill(self, n: int) -> None:
        self.value.update({"n": n})
        self.list.add(n)
        self.list.add_all([n + 1, [n]])
        self.map["x"] = n
        self.map.put_all({"y": [n], "z": 0})
        self.sum.add(n)
        self.mean.add(n)

    def commit(self) -> list[Any]:
        changes = self.tables.take_changes()
        self.tables.committed()
        return changes


EMPTY = (None, [], {}, None, None)


def test_every_kind_is_held_for_each_key() -> None:
    h = Handles()
    h.at("a").fill(1)
    h.at(b"b").fill(10)
    h.at("a").fill(2)
    assert h.at("a").seen() == ({"n": 2}, [1, 2, [1], 2, 3, [2]], {"x": 2, "y": [2], "z": 0}, 3, 1.5)
    assert h.at(b"b").seen() == ({"n": 10}, [10, 11, [10]], {"x": 10, "y": [10], "z": 0}, 10, 10.0)
    assert h.at("c").seen() == EMPTY


def test_clear_removes_this_key_only() -> None:
    h = Handles()
    h.at("a").fill(1)
    h.at("b").fill(2)
    for state in (h.value, h.list, h.map, h.sum, h.mean):
        state.clear()
    assert h.seen() == EMPTY
    assert h.at("a").seen()[0] == {"n": 1}


def test_map_state_has_the_methods_of_a_map() -> None:
    state = Handles().map
    assert state.is_empty() and state.get("x") is None and "x" not in state
    state.put("x", 1)
    state["y"] = 2
    assert state["x"] == 1 and state.contains("y") and "y" in state and not state.is_empty()
    assert (list(state), list(state.keys()), list(state.values())) == (["x", "y"], ["x", "y"], [1, 2])
    for key in state.keys():  # removing while iterating is allowed
        state.remove(key)
    del state["never there"]
    assert state.is_empty()


def test_list_update_replaces_and_may_read_its_own_old_list() -> None:
    state = Handles().list
    state.add_all([1, 2, 3])
    state.update([value * 2 for value in state.get()])
    assert list(state.get()) == [2, 4, 6]


@pytest.mark.parametrize("commit", [False, True])
def test_changing_what_a_state_gave_changes_nothing_until_it_is_set(commit: bool) -> None:
    h = Handles()
    h.fill(1)
    if commit:
        h.commit()
    h.value.value()["n"] = 99  # type: ignore[index]
    list(h.list.get())[2].append(99)
    h.map["y"].append(99)  # type: ignore[union-attr]
    assert h.seen() == ({"n": 1}, [1, 2, [1]], {"x": 1, "y": [1], "z": 0}, 1, 1.0)


def test_changing_what_was_set_changes_nothing() -> None:
    h = Handles()
    given: dict[str, Any] = {"n": 1}
    h.value.update(given)
    h.list.add(given)
    h.map["x"] = given
    given["n"] = 99
    assert h.value.value() == {"n": 1} and list(h.list.get()) == [{"n": 1}] and h.map["x"] == {"n": 1}


def test_an_abort_restores_values_that_were_changed_in_place() -> None:
    h = Handles()
    h.fill(1)
    h.commit()
    before = h.seen()
    value = h.value.value()
    value["n"] = 2  # type: ignore[index]
    h.value.update(value)
    h.fill(5)
    h.mean.add(7)  # a list accumulator, changed in place by add
    h.tables.rollback(keep_in_flight=False)
    assert h.seen() == before


def test_a_list_keeps_its_order_through_the_log() -> None:
    h = Handles()
    log = []
    for n in range(30):
        h.at("ab"[n % 2]).list.add(n)
        log += h.commit()
    restored = Handles()
    restored.tables.apply(log)
    assert list(restored.at("a").list.get()) == list(range(0, 30, 2))
    h.tables.begin_snapshot()
    other = Handles()
    last = False
    while not last:
        chunk, last = h.tables.snapshot_chunk(50)
        other.tables.apply(chunk)
    assert list(other.at("b").list.get()) == list(range(1, 30, 2))


def test_adding_to_a_list_logs_the_element_and_not_the_list() -> None:
    h = Handles()
    h.list.add_all(list(range(1_000)))
    h.commit()
    h.list.add("one more")
    (change,) = h.commit()
    assert len(change.puts) < 60


def test_one_name_is_one_state_of_one_kind() -> None:
    h = Handles()
    again = h.store.get_state(ValueStateDescriptor("value", Types.LONG()))
    again.update(5)
    assert h.value.value() == 5
    with pytest.raises(UsageError, match="'list'.*MapStateDescriptor.*ListStateDescriptor"):
        h.store.get_map_state(MapStateDescriptor("list", Types.STRING(), Types.LONG()))
