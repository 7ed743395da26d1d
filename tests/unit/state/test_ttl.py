"""State that expires, against a plain model with a clock moved by hand; restored from its changes in between."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.common.time import Duration, Time
from headrace.common.typeinfo import Types
from headrace.datastream.functions import AggregateFunction
from headrace.datastream.state import (
    AggregatingStateDescriptor,
    ListStateDescriptor,
    MapStateDescriptor,
    ReducingStateDescriptor,
    StateDescriptor,
    StateTtlConfig,
    ValueStateDescriptor,
)
from headrace.errors import UsageError
from headrace.runtime.state.keyed import CurrentKey
from headrace.runtime.state.store import TableStateStore
from headrace.runtime.state.tables import Tables

TTL_MS = 100
Visibility, Update = StateTtlConfig.StateVisibility, StateTtlConfig.UpdateType


class Sum(AggregateFunction):
    def create_accumulator(self) -> Any:
        return []

    def add(self, value: Any, accumulator: Any) -> Any:
        accumulator.append(value)
        return accumulator

    def get_result(self, accumulator: Any) -> Any:
        return sum(accumulator)

    def merge(self, acc_a: Any, acc_b: Any) -> Any:
        return acc_a + acc_b


def config(update: Any = Update.OnCreateAndWrite, visibility: Any = Visibility.NeverReturnExpired) -> StateTtlConfig:
    builder = StateTtlConfig.new_builder(Time.milliseconds(TTL_MS)).set_update_type(update)
    return builder.set_state_visibility(visibility).disable_cleanup_in_background().build()


class World:
    """Tables, a key and a clock; ``restart`` goes on from the changes that were committed."""

    def __init__(self) -> None:
        self.now_ms, self.current, self.log = 1_000, CurrentKey(), []  # type: ignore[var-annotated]
        self.tables = Tables()
        self.current.state_key = "k"

    def store(self) -> TableStateStore:
        return TableStateStore(self.tables, "op", self.current, clock_ms=lambda: self.now_ms)

    def restart(self) -> None:
        self.log += self.tables.take_changes()
        self.tables.committed()
        self.tables = Tables()
        self.tables.apply(self.log)

    def entries(self) -> int:
        return sum(len(space) for table in self.tables._tables.values() for space in table.spaces.values())


def with_ttl(descriptor: StateDescriptor, ttl: StateTtlConfig) -> Any:
    descriptor.enable_time_to_live(ttl)
    return descriptor


ACTIONS = st.sampled_from(["put", "get", "remove", "items", "wait", "restart"])
STEPS = st.lists(st.tuples(ACTIONS, st.integers(0, 3), st.integers(1, 90)), max_size=40)


@given(STEPS, st.sampled_from([Update.OnCreateAndWrite, Update.OnReadAndWrite]))
def test_map_entries_live_and_die_each_for_itself(steps: list[Any], update: Any) -> None:
    world, model = World(), {}  # type: ignore[var-annotated]  # model: key to (value, touched)
    descriptor = with_ttl(MapStateDescriptor("m"), config(update))
    state = world.store().get_map_state(descriptor)

    def alive(key: int) -> bool:
        return key in model and model[key][1] + TTL_MS > world.now_ms

    for action, key, number in steps:
        match action:
            case "put":
                state.put(key, number)
                model[key] = (number, world.now_ms)
            case "get":
                assert state.get(key) == (model[key][0] if alive(key) else None)
                assert state.contains(key) == alive(key)
                if alive(key) and update is Update.OnReadAndWrite:
                    model[key] = (model[key][0], world.now_ms)
            case "remove":
                state.remove(key)
                model.pop(key, None)
            case "items":
                assert dict(state.items()) == {each: model[each][0] for each in model if alive(each)}
                if update is Update.OnReadAndWrite:
                    model = {each: (model[each][0], world.now_ms) for each in model if alive(each)}
            case "wait":
                world.now_ms += number
            case "restart":
                world.restart()
                state = world.store().get_map_state(descriptor)


@given(STEPS, st.sampled_from([Update.OnCreateAndWrite, Update.OnReadAndWrite]))
def test_list_elements_live_and_die_each_for_itself(steps: list[Any], update: Any) -> None:
    world, model = World(), []  # type: ignore[var-annotated]
    descriptor = with_ttl(ListStateDescriptor("l"), config(update))
    state = world.store().get_list_state(descriptor)
    for action, key, number in steps:
        match action:
            case "put":
                state.add(number)
                model.append((number, world.now_ms))
            case "get" | "items":
                model = [each for each in model if each[1] + TTL_MS > world.now_ms]
                assert list(state.get()) == [value for value, _ in model]
                if update is Update.OnReadAndWrite:
                    model = [(value, world.now_ms) for value, _ in model]
            case "remove":
                state.update([key, number])
                model = [(key, world.now_ms), (number, world.now_ms)]
            case "wait":
                world.now_ms += number
            case "restart":
                world.restart()
                state = world.store().get_list_state(descriptor)


@given(STEPS)
def test_value_reduction_and_aggregate_begin_anew_when_they_have_expired(steps: list[Any]) -> None:
    world = World()
    held: list[int] = []
    touched = 0

    def states() -> tuple[Any, Any, Any]:
        store = world.store()
        return (
            store.get_state(with_ttl(ValueStateDescriptor("v"), config())),
            store.get_reducing_state(with_ttl(ReducingStateDescriptor("r", lambda a, b: a + b), config())),
            store.get_aggregating_state(with_ttl(AggregatingStateDescriptor("a", Sum()), config())),
        )

    value, reducing, aggregating = states()
    for action, _, number in steps:
        match action:
            case "put":
                held = [*held, number] if touched + TTL_MS > world.now_ms else [number]
                touched = world.now_ms
                value.update(number)
                reducing.add(number)
                aggregating.add(number)
            case "get" | "items":
                expected = sum(held) if held and touched + TTL_MS > world.now_ms else None
                assert reducing.get() == aggregating.get() == expected
                assert value.value() == (None if expected is None else held[-1])
            case "remove":
                for state in (value, reducing, aggregating):
                    state.clear()
                held = []
            case "wait":
                world.now_ms += number
            case "restart":
                world.restart()
                value, reducing, aggregating = states()


def test_expired_state_may_be_seen_once_when_the_program_says_so() -> None:
    world = World()
    ttl = config(visibility=Visibility.ReturnExpiredIfNotCleanedUp)
    state = world.store().get_state(with_ttl(ValueStateDescriptor("v"), ttl))
    state.update("old")
    world.now_ms += TTL_MS
    assert state.value() == "old" and state.value() is None


@pytest.mark.parametrize("kind", ["value", "map", "list"])
def test_the_sweep_removes_what_nobody_reads_any_more(kind: str) -> None:
    world = World()
    store, ttl = world.store(), StateTtlConfig.new_builder(Duration.of_millis(TTL_MS)).build()
    if kind == "value":
        state = store.get_state(with_ttl(ValueStateDescriptor("s"), ttl))
        touch = lambda: state.update(1)  # noqa: E731
    elif kind == "map":
        entries = store.get_map_state(with_ttl(MapStateDescriptor("s"), ttl))
        touch = lambda: entries.put("x", 1)  # noqa: E731
    else:
        elements = store.get_list_state(with_ttl(ListStateDescriptor("s"), ttl))
        touch = lambda: elements.update([1])  # noqa: E731
    for number in range(100):
        world.current.state_key = f"gone-{number}"
        touch()
    world.now_ms += TTL_MS
    world.current.state_key = "lively"
    for _ in range(60):  # a round of 100 keys, five at a time, and the one that was begun before
        touch()
    assert world.entries() == 1


def test_ttl_on_a_state_that_had_none_is_refused_by_name() -> None:
    world = World()
    world.store().get_state(ValueStateDescriptor("v", Types.LONG())).update(1)
    world.restart()
    with pytest.raises(UsageError, match="asked for as one value that expires, and holds one value") as refused:
        world.store().get_state(with_ttl(ValueStateDescriptor("v"), config()))
    assert refused.value.code == "state-kind-changed"
    with pytest.raises(UsageError, match="as a map, and holds one value"):
        world.store().get_map_state(MapStateDescriptor("v"))


def test_disabled_ttl_is_no_ttl() -> None:
    world = World()
    state = world.store().get_state(with_ttl(ValueStateDescriptor("v"), config(Update.Disabled)))
    state.update(1)
    world.now_ms += 10 * TTL_MS
    assert state.value() == 1


@pytest.mark.parametrize("wrong", [0, Time.seconds(0), "1 min", None])
def test_a_ttl_that_is_none_is_refused(wrong: Any) -> None:
    with pytest.raises(UsageError, match="the TTL of a state"):
        StateTtlConfig.new_builder(wrong)
