"""KeyedProcessFunction: state, timers, and both against a naive model under kills and aborts."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from tests.unit.operators.one_lane import OneLane, op

from headrace.datastream.functions import KeyedProcessFunction, RuntimeContext
from headrace.datastream.state import ListStateDescriptor, MapStateDescriptor, ValueStateDescriptor
from headrace.runtime.ports import MAX_WATERMARK, MIN_WATERMARK, UserCodeError


class Scripted(KeyedProcessFunction):
    """Does what the test says: f(value, ctx, state) for elements, f(timestamp, ctx, state) for timers."""

    def __init__(self, element: Callable[..., Any], timer: Callable[..., Any] | None = None) -> None:
        self.element, self.timer = element, timer

    def open(self, runtime_context: RuntimeContext) -> None:
        self.state = runtime_context.get_state(ValueStateDescriptor("s"))

    def process_element(self, value: Any, ctx: Any) -> Any:
        return self.element(value, ctx, self.state)

    def on_timer(self, timestamp: int, ctx: Any) -> Any:
        return self.timer(timestamp, ctx, self.state) if self.timer else super().on_timer(timestamp, ctx)


def lane_of(function: KeyedProcessFunction, *more: Any) -> OneLane:
    return OneLane(op("keyed_process", {"process": function}), *more)


def scripted(element: Callable[..., Any], timer: Callable[..., Any] | None = None) -> OneLane:
    return lane_of(Scripted(element, timer))


def register(value: Any, ctx: Any, state: Any) -> None:
    ctx.timer_service().register_event_time_timer(value)


@pytest.mark.parametrize(
    "element",
    [
        lambda v, ctx, s: iter([v, v]),
        lambda v, ctx, s: [v, v],
        lambda v, ctx, s: (v for _ in range(2)),
    ],
)
def test_an_element_may_yield_or_return_any_iterable(element: Any) -> None:
    lane = scripted(element)
    lane.rows(("a", 1, 10))
    assert lane.out() == [(1, 10), (1, 10)]


def test_an_element_may_give_nothing() -> None:
    lane = scripted(lambda v, ctx, s: None)
    lane.rows(("a", 1, 10))
    assert lane.out() == []


def test_the_context_tells_key_time_and_watermark() -> None:
    def tell(value: Any, ctx: Any, state: Any) -> Any:
        yield ctx.get_current_key(), ctx.timestamp(), ctx.timer_service().current_watermark()

    lane = scripted(tell)
    lane.rows(("a", 1, 10), ((1, "x"), 1, None))
    lane.advance(50)
    lane.rows((7, 1, 20))
    assert lane.values() == [
        ("a", 10, MIN_WATERMARK),
        ((1, "x"), None, MIN_WATERMARK),
        (7, 20, 50),
    ]


def test_processing_time_can_be_asked() -> None:
    lane = scripted(lambda v, ctx, s: [ctx.timer_service().current_processing_time()])
    lane.rows(("a", 1, 0))
    (now,) = lane.values()
    assert now > 1_700_000_000_000


def test_state_belongs_to_the_key_while_a_generator_is_still_running() -> None:
    def count(value: Any, ctx: Any, state: Any) -> Iterable[Any]:
        state.update((state.value() or 0) + 1)
        yield "before"
        yield ctx.get_current_key(), state.value()

    lane = scripted(count)
    lane.rows(*[(key, 0, 0) for key in "abaab"])
    assert [v for v in lane.values() if v != "before"] == [("a", 1), ("b", 1), ("a", 2), ("a", 3), ("b", 2)]


def test_timers_fire_in_order_with_key_and_state_at_their_time() -> None:
    def element(value: Any, ctx: Any, state: Any) -> None:
        state.update(value)
        ctx.timer_service().register_event_time_timer(value)

    def timer(timestamp: int, ctx: Any, state: Any) -> Any:
        return [(timestamp, ctx.timestamp(), ctx.get_current_key(), state.value())]

    lane = scripted(element, timer)
    lane.rows(("a", 30, 0), (1, 10, 0), ("b", 20, 0))
    lane.advance(9)
    assert lane.out() == []
    lane.advance(20)
    lane.advance(MAX_WATERMARK)
    assert lane.out() == [((10, 10, 1, 10), 10), ((20, 20, "b", 20), 20), ((30, 30, "a", 30), 30)]


def test_one_timer_for_each_key_and_time() -> None:
    lane = scripted(register, lambda ts, ctx, s: [ts])
    lane.rows(("a", 5, 0), ("a", 5, 0), ("b", 5, 0))
    lane.advance(5)
    lane.advance(6)
    assert lane.values() == [5, 5]


def test_a_timer_taken_back_does_not_fire() -> None:
    def element(value: Any, ctx: Any, state: Any) -> None:
        service = ctx.timer_service()
        (service.register_event_time_timer if value > 0 else service.delete_event_time_timer)(abs(value))

    lane = scripted(element, lambda ts, ctx, s: [(ctx.get_current_key(), ts)])
    lane.rows(("a", 5, 0), ("b", 5, 0), ("a", -5, 0), ("a", -7, 0))
    lane.advance(10)
    assert lane.values() == [("b", 5)]


def test_a_timer_in_the_past_fires_with_the_next_step() -> None:
    lane = scripted(register, lambda ts, ctx, s: [ts])
    lane.advance(100)
    lane.rows(("a", 5, 0))
    assert lane.out() == []
    lane.advance(101)
    assert lane.values() == [5]


def test_a_timer_may_register_timers_that_are_due_already() -> None:
    def timer(timestamp: int, ctx: Any, state: Any) -> Any:
        if timestamp < 14:
            ctx.timer_service().register_event_time_timer(timestamp + 3)
            ctx.timer_service().register_event_time_timer(1_000)
        yield timestamp

    lane = scripted(register, timer)
    lane.rows(("a", 5, 0))
    lane.advance(20)
    assert lane.values() == [5, 8, 11, 14]
    lane.advance(MAX_WATERMARK)
    assert lane.values()[4:] == [1_000]


def test_a_function_without_on_timer_may_still_register() -> None:
    lane = scripted(register)
    lane.rows(("a", 5, 0))
    lane.advance(10)
    assert lane.out() == []


def test_outputs_of_timers_go_through_the_rest_of_the_chain() -> None:
    lane = lane_of(
        Scripted(register, lambda ts, ctx, s: [ts, -ts]),
        op("filter", {"filter": lambda v: v > 0}),
        op("flat_map", {"flat_map": lambda v: [v, str(v)]}),
    )
    lane.rows(("a", 5, 0))
    lane.advance(10)
    assert lane.out() == [(5, 5), ("5", 5)]


@pytest.mark.parametrize("kill", [False, True])
def test_firing_many_timers_is_cut_into_several_commits(kill: bool) -> None:
    lane = scripted(register, lambda ts, ctx, s: [(ctx.get_current_key(), ts)])
    lane.rows(*[(f"k{n}", n % 7, 0) for n in range(500)])
    lane.commit()

    def between() -> None:
        lane.commit()
        if kill:
            lane.kill()

    calls = lane.advance(MAX_WATERMARK, rows_max=60, between=between)
    assert kill or calls >= 8
    assert sorted(lane.values()) == sorted((f"k{n}", n % 7) for n in range(500))


def test_a_bad_timer_time_is_the_users_error() -> None:
    lane = scripted(lambda v, ctx, s: ctx.timer_service().register_event_time_timer(None))
    with pytest.raises(UserCodeError):
        lane.rows(("a", 1, 0))


class Pairing(KeyedProcessFunction):
    """Uses every kind of thing at once: a value, a list, a map, timers that are moved; deterministic by itself."""

    def open(self, runtime_context: RuntimeContext) -> None:
        self.last = runtime_context.get_state(ValueStateDescriptor("last"))
        self.waiting = runtime_context.get_list_state(ListStateDescriptor("waiting"))
        self.seen = runtime_context.get_map_state(MapStateDescriptor("seen"))

    def process_element(self, value: int, ctx: Any) -> Iterable[Any]:
        service = ctx.timer_service()
        last = self.last.value() or {"n": 0, "timer": None}
        if last["timer"] is not None:
            service.delete_event_time_timer(last["timer"])
        last["n"] += value
        last["timer"] = ctx.timestamp() + value % 13
        service.register_event_time_timer(last["timer"])
        self.last.update(last)
        self.waiting.add([value])
        self.seen[value % 5] = (self.seen[value % 5] or 0) + 1
        if value % 11 == 0:
            self.seen.remove(value % 3)
        yield last

    def on_timer(self, timestamp: int, ctx: Any) -> Iterable[Any]:
        yield ctx.get_current_key(), timestamp, list(self.waiting.get()), sorted(self.seen.items())
        self.waiting.clear()
        if timestamp % 4 == 0:
            self.last.clear()
            self.seen.clear()
        else:
            last = self.last.value()
            last["timer"] = None
            self.last.update(last)


def script(seed: int) -> list[tuple[str, Any]]:
    rng = random.Random(seed)
    steps: list[tuple[str, Any]] = []
    now = 0
    for _ in range(60):
        rows = [
            (rng.choice(["a", "b", 3]), rng.randrange(100), now + rng.randrange(10)) for _ in range(rng.randrange(5))
        ]
        steps.append(("rows", rows))
        now += rng.randrange(8)
        if rng.random() < 0.4:
            steps.append(("advance", now))
    steps.append(("advance", MAX_WATERMARK))
    return steps


def play(lane: OneLane, step: tuple[str, Any]) -> None:
    kind, argument = step
    if kind == "rows":
        lane.rows(*argument)
    else:
        lane.advance(argument)


@pytest.mark.parametrize("seed", range(25))
def test_aborts_and_kills_leave_the_outputs_of_an_undisturbed_run(seed: int) -> None:
    """Steps since the last durable commit are played again after each fault, as the lane's inputs are sought back."""
    steps = script(seed)
    plain = lane_of(Pairing())
    for step in steps:
        play(plain, step)
    rng = random.Random(1_000 + seed)
    lane = lane_of(Pairing())
    at = durable = flying = 0
    faults = 0
    while at < len(steps):
        play(lane, steps[at])
        at += 1
        match rng.randrange(6):
            case 0 if not lane.committing:
                lane.begin_commit()
                flying = at
            case 1 if lane.committing:
                lane.end_commit()
                durable = flying
            case 2 if faults < 40:
                faults += 1
                lane.abort() if rng.random() < 0.5 else lane.kill()
                at = durable
    assert faults > 3
    assert lane.out() == plain.out()
