"""Broadcast state beside a stream, keyed or not: who may write, what survives, and against a model under faults."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.operators.one_lane import OneLane, op

from headrace.common import Time
from headrace.datastream.functions import (
    BroadcastProcessFunction,
    KeyedBroadcastProcessFunction,
    KeyedStateFunction,
    RuntimeContext,
)
from headrace.datastream.state import ListStateDescriptor, MapStateDescriptor, ValueStateDescriptor
from headrace.datastream.state_ttl import StateTtlConfig
from headrace.graph.keys import state_key
from headrace.runtime.ports import UserCodeError

RULES = MapStateDescriptor("rules")
SUM = ValueStateDescriptor("sum")
SEEN = ListStateDescriptor("seen")


class Scripted(BroadcastProcessFunction):
    """Values are functions of the context."""

    def process_element(self, value: Any, ctx: Any) -> Any:
        return value(ctx)

    def process_broadcast_element(self, value: Any, ctx: Any) -> Any:
        return value(ctx)


class Limits(KeyedBroadcastProcessFunction):
    """Adds up a key's values and tells when they are above the limit of a rule; a rule of None removes it."""

    def open(self, runtime_context: RuntimeContext) -> None:
        self.sum = runtime_context.get_state(SUM)
        self.seen = runtime_context.get_list_state(SEEN)

    def process_element(self, value: Any, ctx: Any) -> Any:
        total = (self.sum.value() or 0) + value
        self.sum.update(total)
        self.seen.add(value)
        for name, limit in sorted(ctx.get_broadcast_state(RULES).items()):
            if total > limit:
                yield name, ctx.get_current_key(), total

    def process_broadcast_element(self, value: Any, ctx: Any) -> Any:
        name, limit = value
        rules = ctx.get_broadcast_state(RULES)
        if limit is None:
            rules.remove(name)
        elif limit == "reset":
            ctx.apply_to_keyed_state(SUM, lambda key, state: state.clear())
        else:
            rules.put(name, limit)


def unkeyed() -> OneLane:
    return OneLane(op("broadcast_process", {"process": Scripted()}, name="mine", broadcast_states=["rules"]))


def keyed(function: Any = None) -> OneLane:
    return OneLane(
        op("keyed_broadcast_process", {"process": function or Limits()}, name="mine", broadcast_states=["rules"])
    )


def test_the_broadcast_side_writes_and_the_other_reads() -> None:
    lane = unkeyed()
    lane.unkeyed((lambda ctx: ctx.get_broadcast_state(RULES).put_all({"a": [1], "b": [2]}), 3), edge_input=1)
    lane.unkeyed((lambda ctx: [ctx.get_broadcast_state(RULES).get("a"), ctx.timestamp(), ctx.current_watermark()], 5))
    lane.unkeyed(
        (lambda ctx: [dict(ctx.get_broadcast_state(RULES).items()), "c" in ctx.get_broadcast_state(RULES)], 6)
    )
    assert lane.values() == [[1], 5, -(2**63), {"a": [1], "b": [2]}, False]


@pytest.mark.parametrize("write", [lambda s: s.put("a", 1), lambda s: s.clear(), lambda s: s.__setitem__("a", 1)])
def test_the_other_side_cannot_write(write: Any) -> None:
    lane = unkeyed()
    with pytest.raises(UserCodeError) as caught:
        lane.unkeyed((lambda ctx: write(ctx.get_broadcast_state(RULES)), 5))
    assert isinstance(caught.value.__cause__, AttributeError | TypeError)


def test_what_a_function_changes_in_place_is_its_own() -> None:
    lane = unkeyed()
    rule = [1]
    lane.unkeyed((lambda ctx: ctx.get_broadcast_state(RULES).put("a", rule), 1), edge_input=1)
    rule.append(2)
    lane.unkeyed((lambda ctx: ctx.get_broadcast_state(RULES).get("a").append(3), 1))
    lane.unkeyed((lambda ctx: [ctx.get_broadcast_state(RULES)["a"]], 1))
    assert lane.values() == [[1]]


def test_a_state_that_broadcast_was_not_given_is_named() -> None:
    lane = unkeyed()
    with pytest.raises(UserCodeError, match="'other'.*rules"):
        lane.unkeyed((lambda ctx: ctx.get_broadcast_state(MapStateDescriptor("other")), 1))


def test_keyed_state_of_every_key_can_be_visited_and_no_other_reached() -> None:
    visited: list[Any] = []

    class Visiting(Limits):
        def process_broadcast_element(self, value: Any, ctx: Any) -> Any:
            if value == "reach":
                self.sum.update(1)
            visit = Visit() if value == "object" else lambda key, state: visited.append((key, list(state.get())))
            ctx.apply_to_keyed_state(SUM if value == "object" else SEEN, visit)

    class Visit(KeyedStateFunction):
        def process(self, key: Any, state: Any) -> None:
            visited.append((key, state.value()))
            if key == "a":
                state.clear()
            else:
                state.update(0)

    lane = keyed(Visiting())
    lane.rows(("a", 1, 1), ((2, "x"), 5, 1), ("a", 2, 1))
    lane.unkeyed(("object", 1), edge_input=1)
    assert dict(visited) == {"a": 3, (2, "x"): 5}
    visited.clear()
    lane.unkeyed(("list", 1), edge_input=1)
    assert dict(visited) == {"a": [1, 2], (2, "x"): [5]}
    lane.commit()
    assert lane.tables.table("op0/value/sum").spaces == {"": {state_key((2, "x")): 0}}
    with pytest.raises(UserCodeError, match="no key is in progress"):
        lane.unkeyed(("reach", 1), edge_input=1)


def test_state_that_expires_is_visited_too() -> None:
    kept = MapStateDescriptor("kept")
    kept.enable_time_to_live(StateTtlConfig.new_builder(Time.hours(1)).build())

    class Keeping(Limits):
        def open(self, runtime_context: RuntimeContext) -> None:
            self.kept = runtime_context.get_map_state(kept)

        def process_element(self, value: Any, ctx: Any) -> Any:
            self.kept.put(value, 2 * value)
            ctx.timer_service().register_event_time_timer(1)

        def on_timer(self, timestamp: int, ctx: Any) -> Any:
            yield ctx.get_current_key(), dict(self.kept.items())

        def process_broadcast_element(self, value: Any, ctx: Any) -> Any:
            ctx.apply_to_keyed_state(kept, lambda key, state: state.put(value, key))

    lane = keyed(Keeping())
    lane.rows(("a", 1, 0), ("b", 2, 0))
    lane.unkeyed((9, 0), edge_input=1)
    lane.advance(1)
    assert sorted(lane.values()) == [("a", {1: 2, 9: "a"}), ("b", {2: 4, 9: "b"})]


def test_timers_of_a_keyed_stream_read_the_rules_of_their_moment() -> None:
    class Timed(Limits):
        def process_element(self, value: Any, ctx: Any) -> Any:
            ctx.timer_service().register_event_time_timer(value)

        def on_timer(self, timestamp: int, ctx: Any) -> Any:
            yield ctx.get_current_key(), ctx.timestamp(), dict(ctx.get_broadcast_state(RULES).items())

    lane = keyed(Timed())
    lane.rows(("a", 10, 1), ("b", 20, 1))
    lane.advance(10)
    lane.unkeyed((("r", 7), 1), edge_input=1)
    lane.commit()
    lane.kill()
    lane.advance(20)
    assert lane.out() == [(("a", 10, {}), 10), (("b", 20, {"r": 7}), 20)]


VALUE = st.tuples(st.just("value"), st.sampled_from(["a", 1]), st.integers(0, 9))
RULE = st.tuples(
    st.just("rule"), st.sampled_from(["r", "s"]), st.one_of(st.none(), st.integers(0, 30), st.just("reset"))
)


@settings(max_examples=100, deadline=None)
@given(
    commits=st.lists(
        st.tuples(st.lists(st.one_of(VALUE, RULE), max_size=8), st.sampled_from(["", "abort", "kill"])), max_size=6
    )
)
def test_rules_and_sums_against_a_model_across_restarts(commits: Any) -> None:
    lane = keyed()
    rules: dict[str, int] = {}
    sums: dict[Any, int] = {}
    expected: list[Any] = []
    for steps, fault in commits:
        for attempt in range(2 if fault else 1):
            for kind, key, what in steps:
                if kind == "value":
                    lane.rows((key, what, 0))
                else:
                    lane.unkeyed(((key, what), 0), edge_input=1)
            if fault and attempt == 0:
                lane.abort() if fault == "abort" else lane.kill()
        for kind, key, what in steps:
            if kind == "value":
                sums[key] = sums.get(key, 0) + what
                expected += [(name, key, sums[key]) for name in sorted(rules) if sums[key] > rules[name]]
            elif what == "reset":
                sums.clear()
            elif what is None:
                rules.pop(key, None)
            else:
                rules[key] = what
        lane.commit()
    assert lane.values() == expected
