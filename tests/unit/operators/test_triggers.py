"""Windows with triggers: against the windows that need none, and against Flink's rules read naively."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.operators.one_lane import OneLane, op
from tests.unit.operators.window_cases import EVALUATIONS, KEYS, Total, canonical, disturbed, in_order, play

from headrace.common.time import Duration, Time
from headrace.datastream.assigner import MergingWindowAssigner, TimeWindow, Window, WindowAssigner
from headrace.datastream.functions import ProcessWindowFunction
from headrace.datastream.state import (
    AggregatingStateDescriptor,
    ListStateDescriptor,
    MapStateDescriptor,
    ReducingStateDescriptor,
    ValueStateDescriptor,
)
from headrace.datastream.trigger import (
    ContinuousEventTimeTrigger,
    ContinuousProcessingTimeTrigger,
    CountTrigger,
    EventTimeTrigger,
    NeverTrigger,
    ProcessingTimeTrigger,
    PurgingTrigger,
    Trigger,
    TriggerResult,
)
from headrace.datastream.window import (
    CountSlidingWindowAssigner,
    EventTimeSessionWindows,
    GlobalWindows,
    SlidingEventTimeWindows,
    TumblingEventTimeWindows,
    TumblingProcessingTimeWindows,
)
from headrace.runtime.ports import MAX_WATERMARK, MIN_WATERMARK, UserCodeError


def ms(n: int) -> Time:
    return Time.milliseconds(n)


ASSIGNERS: dict[str, Any] = {
    "tumbling": TumblingEventTimeWindows.of(ms(10), ms(3)),
    "sliding": SlidingEventTimeWindows.of(ms(10), ms(4)),
    "apart": SlidingEventTimeWindows.of(ms(4), ms(10)),
    "session": EventTimeSessionWindows.with_gap(ms(6)),
    "dynamic": EventTimeSessionWindows.with_dynamic_gap(lambda value: value % 11 + 1),
}
CLEAN = ("tumbling", "sliding", "session", "dynamic")


def window(assigner: Any, trigger: Any, evaluation: str, lateness: int = 0, late_tag: str | None = "late") -> Any:
    """A window operator as the API writes it; without a trigger when it is None."""
    functions = dict(EVALUATIONS[evaluation][0])
    kept = list(functions)
    functions |= {"assigner": assigner, "trigger": trigger} if trigger else assigner.functions()
    shape = assigner.params() if hasattr(assigner, "params") else {"kind": "custom"}
    late = {} if late_tag is None else {"late_tag": late_tag}
    return op("window", functions, assigner=shape, evaluation=kept, allowed_lateness_ms=lateness, **late)


def step() -> Any:
    row = st.tuples(st.sampled_from(KEYS[:3]), st.integers(0, 50), st.integers(0, 60))
    return st.one_of(st.lists(row, min_size=1, max_size=5), st.integers(0, 70))


def rising(steps: list[Any]) -> list[Any]:
    """Watermarks never fall, and the input ends."""
    watermark, out = MIN_WATERMARK, []
    for each in steps:
        if isinstance(each, int):
            watermark = each = max(watermark, each)
        out.append(each)
    return [*out, MAX_WATERMARK]


def run(operator: Any, steps: list[Any], seed: int | None) -> tuple[OneLane, list[Any]]:
    """Straight through, or with faults when there is a seed."""
    lane = OneLane(operator, op("side_output", tag="late", input=0), taps=[0, 1])
    if seed is None:
        for each in steps:
            play(lane, each, random.Random(0))
    else:
        disturbed(lane, steps, random.Random(seed))
    return lane, lane.out(0) + [(("late", value), time) for value, time in lane.out(1)]


STEPS = st.lists(step(), max_size=14)
SEEDS = st.one_of(st.none(), st.integers(0, 999))


@pytest.mark.parametrize("evaluation", EVALUATIONS)
@settings(max_examples=30, deadline=None)
@given(st.sampled_from(list(ASSIGNERS)), STEPS, st.sampled_from([0, 5]), SEEDS)
def test_the_default_trigger_given_by_hand_does_what_the_windows_without_one_do(
    evaluation: str, assigner: str, steps: list[Any], lateness: int, seed: int | None
) -> None:
    steps = rising(steps)
    plain, expected = run(window(ASSIGNERS[assigner], None, evaluation, lateness), steps, None)
    lane, found = run(window(ASSIGNERS[assigner], EventTimeTrigger.create(), evaluation, lateness), steps, seed)
    assert canonical(found) == canonical(expected)
    assert lane.state_left() == plain.state_left() == {}


class Naive:
    """Flink's rules over plain dicts, one element and one timer at a time. Windows are (start, end)."""

    def __init__(self, assign: Callable[[int, int], list[Any]], merges: bool, kind: str, lateness: int, purges: bool):
        self.assign, self.merges, self.kind, self.lateness, self.purges = assign, merges, kind, lateness, purges
        self.watermark = MIN_WATERMARK
        self.panes: dict[Any, dict[str, Any]] = {}
        self.out: list[tuple[Any, int]] = []

    def element(self, key: Any, value: int, time: int) -> None:
        found = False
        for start, end in self.assign(value, time):
            if self.merges:
                start, end = self.merged(key, start, end)
            if end - 1 + self.lateness <= self.watermark:
                continue
            found = True
            pane = self.pane(key, start, end)
            pane["values"].append(value)
            self.on_element(key, (start, end), pane, time)
            pane["timers"].add(end - 1 + self.lateness)
        if not found and time + self.lateness <= self.watermark:
            self.out.append((("late", value), time))

    def pane(self, key: Any, start: int, end: int) -> dict[str, Any]:
        fresh: dict[str, Any] = {"values": [], "timers": set(), "count": 0, "next": None}
        return self.panes.setdefault((key, (start, end)), fresh)

    def merged(self, key: Any, start: int, end: int) -> tuple[int, int]:
        touching = [w for k, w in self.panes if k == key and w[0] <= end and start <= w[1]]
        while more := [
            w
            for k, w in self.panes
            if k == key and w not in touching and any(w[0] <= t[1] and t[0] <= w[1] for t in touching)
        ]:
            touching += more
        if not touching:
            return start, end
        whole = min(start, *(w[0] for w in touching)), max(end, *(w[1] for w in touching))
        parts = [self.panes.pop((key, w)) for w in sorted(touching)]
        pane = self.pane(key, *whole)
        pane["values"] = [value for part in parts for value in part["values"]]
        pane["count"] = sum(part["count"] for part in parts)
        if touching == [whole]:
            pane |= parts[0]
            return whole
        waiting = [part["next"] for part in parts if part["next"] is not None]
        if self.kind == "continuous" and waiting:
            pane["next"] = min(waiting)
            pane["timers"].add(pane["next"])
        if self.kind == "event" and whole[1] - 1 > self.watermark:
            pane["timers"].add(whole[1] - 1)
        return whole

    def on_element(self, key: Any, window: Any, pane: dict[str, Any], time: int) -> None:
        last = window[1] - 1
        if self.kind == "count":
            pane["count"] += 1
            if pane["count"] >= 3:  # merged counts may be above
                pane["count"] = 0
                self.fire(key, window, pane)
        elif last <= self.watermark:
            self.fire(key, window, pane)
        else:
            pane["timers"].add(last)
            if self.kind == "continuous" and pane["next"] is None:
                pane["next"] = min(time - time % 4 + 4, last)
                pane["timers"].add(pane["next"])

    def advance(self, watermark: int) -> None:
        if watermark <= self.watermark:
            return  # timers registered in the past wait for the next one
        self.watermark = watermark
        while due := [(min(p["timers"]), repr(w), w) for w, p in self.panes.items() if p["timers"]]:
            time, _, (key, window) = min(due, key=lambda each: each[:2])
            if time > watermark:
                break
            pane, last = self.panes[key, window], window[1] - 1
            pane["timers"].discard(time)
            if self.kind != "count" and time == last:
                self.fire(key, window, pane)
            elif self.kind == "continuous" and time == pane["next"]:
                pane["next"] = min(time + 4, last)
                pane["timers"].add(pane["next"])
                self.fire(key, window, pane)
            if time == last + self.lateness:
                del self.panes[key, window]

    def fire(self, key: Any, window: Any, pane: dict[str, Any]) -> None:
        if pane["values"]:
            self.out.append(((key, *window, list(pane["values"])), window[1] - 1))
            self.out.append(((key, "at", self.watermark), window[1] - 1))
        if self.purges:
            pane["values"] = []


TRIGGERS: dict[str, Any] = {
    "count": CountTrigger.of(3),
    "event": EventTimeTrigger.create(),
    "continuous": ContinuousEventTimeTrigger.of(Duration.of_millis(4)),
}


def naive(assigner: str, trigger: str, lateness: int, purges: bool) -> Naive:
    def assign(value: int, time: int) -> list[Any]:
        windows = ASSIGNERS[assigner].assign_windows(value, time, None)
        return [(each.start, each.end) for each in windows]

    return Naive(assign, assigner in ("session", "dynamic"), trigger, lateness, purges)


@pytest.mark.parametrize("trigger", TRIGGERS)
@settings(max_examples=60, deadline=None)
@given(st.sampled_from(CLEAN), STEPS, st.sampled_from([0, 5]), st.booleans(), SEEDS)
def test_triggers_on_windows_of_time_are_flinks(
    trigger: str, assigner: str, steps: list[Any], lateness: int, purges: bool, seed: int | None
) -> None:
    steps = rising(steps)
    model = naive(assigner, trigger, lateness, purges)
    for each in steps:
        if isinstance(each, list):
            for row in each:
                model.element(*row)
        else:
            model.advance(each)
    given_trigger = PurgingTrigger.of(TRIGGERS[trigger]) if purges else TRIGGERS[trigger]
    lane, found = run(window(ASSIGNERS[assigner], given_trigger, "process", lateness), steps, seed)
    assert canonical(found) == canonical(model.out)
    assert lane.state_left() == {}


@pytest.mark.parametrize("evaluation", EVALUATIONS)
@settings(max_examples=20, deadline=None)
@given(STEPS, SEEDS)
def test_one_window_that_is_counted_and_purged_is_count_windows(
    evaluation: str, steps: list[Any], seed: int | None
) -> None:
    class Values(ProcessWindowFunction[Any, Any, Any, Any]):
        def process(self, key: Any, context: Any, elements: Iterable[Any]) -> Iterable[Any]:
            yield key, list(elements)

    steps = rising(steps)
    given = {role: Values() if role == "process" else f for role, f in EVALUATIONS[evaluation][0].items()}
    count = op("window", given, assigner={"kind": "count", "size": 3, "slide": 3}, evaluation=list(given))
    functions = given | {"assigner": GlobalWindows.create(), "trigger": PurgingTrigger.of(CountTrigger.of(3))}
    purged = op("window", functions, assigner={"kind": "custom"}, evaluation=list(given))
    assert canonical(run(purged, steps, seed)[1]) == canonical(run(count, steps, None)[1])


@settings(max_examples=20, deadline=None)
@given(STEPS, SEEDS)
def test_count_windows_with_their_own_trigger_are_count_windows_until_they_are_full(
    steps: list[Any], seed: int | None
) -> None:
    steps = rising(steps)
    assigner = CountSlidingWindowAssigner(4, 2)
    functions = {"reduce": in_order}
    params: dict[str, Any] = {"assigner": assigner.params(), "evaluation": ["reduce"]}
    plain = op("window", dict(functions), **params)
    triggered = op("window", functions | {"assigner": assigner, "trigger": CountTrigger.of(4)}, **params)
    assert canonical(run(triggered, steps, seed)[1]) == canonical(run(plain, steps, None)[1])


def test_a_global_window_fires_as_its_trigger_says_and_never_by_itself() -> None:
    rows = [("a", 1, 5), ("a", 2, 13), ("b", 3, 14)]
    lane = OneLane(window(GlobalWindows.create(), NeverTrigger(), "reduce"))
    lane.rows(*rows)
    lane.advance(MAX_WATERMARK)
    assert lane.out() == []
    lane = OneLane(window(GlobalWindows.create(), ContinuousEventTimeTrigger.of(ms(10)), "aggregate"))
    lane.rows(*rows)
    lane.advance(12)
    lane.rows(("a", 4, 18))
    lane.advance(25)
    # The time of a firing is the timer's, as the window has no last moment.
    assert sorted(lane.out()) == [([3, 1], 20), ([3, 2], 10), ([7, 3], 20)]


# ---- a restart in the middle of a long firing


@pytest.mark.parametrize(
    ("assigner", "trigger"),
    [
        *((assigner, EventTimeTrigger.create()) for assigner in CLEAN),
        # Not "dynamic": there a late element registers a firing in the past, which then comes with the rest of
        # the long firing instead of with the next watermark.
        *((assigner, TRIGGERS["continuous"]) for assigner in ("tumbling", "sliding", "session")),
    ],
)
def test_a_late_element_after_a_restart_in_a_long_firing_finds_its_key_fired(assigner: str, trigger: Any) -> None:
    keys = [f"k{n}" for n in range(20)]

    def played(*, cut: bool) -> list[Any]:
        lane = OneLane(window(ASSIGNERS[assigner], trigger, "process", 30))
        lane.rows(*((key, 1, 12) for key in keys), *((key, 2, 15) for key in keys))
        if cut:
            assert not lane.chain.advance(25, 7)
            lane.commit()
            lane.kill()
        else:
            lane.advance(25)
        lane.rows(*((key, 3, 14) for key in keys))
        lane.advance(25)
        lane.advance(MAX_WATERMARK)
        return lane.out()

    assert canonical(played(cut=True)) == canonical(played(cut=False))


def test_firing_many_timers_is_cut_into_several_calls() -> None:
    lane = OneLane(window(ASSIGNERS["tumbling"], CountTrigger.of(1), "reduce"))
    lane.rows(*((f"k{n}", n, 1) for n in range(100)))
    assert lane.advance(50, rows_max=10, between=lane.commit) == 11
    assert lane.state_left() == {}


# ---- processing time


class Clock:
    ms = 1_000

    def __call__(self) -> int:
        return self.ms


@pytest.mark.parametrize("trigger", [ProcessingTimeTrigger.create(), ContinuousProcessingTimeTrigger.of(ms(4))])
def test_triggers_by_the_time_of_day(trigger: Any) -> None:
    clock = Clock()
    operator = window(TumblingProcessingTimeWindows.of(ms(10)), trigger, "aggregate", late_tag=None)
    lane = OneLane(operator, clock_ms=clock)
    lane.rows(("a", 5, None), ("b", 6, None))
    lane.commit()
    clock.ms = 1_005
    lane.chain.due()
    lane.commit()
    lane.kill()
    lane.rows(("a", 7, None))
    clock.ms = 1_010
    lane.chain.due()
    early = [] if isinstance(trigger, ProcessingTimeTrigger) else [([5, 1], 1_009), ([6, 1], 1_009)]
    late = [] if isinstance(trigger, ProcessingTimeTrigger) else [([12, 2], 1_009), ([6, 1], 1_009)]
    assert canonical(lane.out()) == canonical([*early, *late, ([12, 2], 1_009), ([6, 1], 1_009)])
    assert lane.state_left() == {}
    lane.chain.due()
    lane.advance(MAX_WATERMARK)
    assert len(lane.out()) == 2 + len(early) + len(late)


# ---- triggers and assigners of a program


class Merging(Trigger[Any, TimeWindow]):
    """Remembers all it sees of a window, in every kind of state that merges, and fires at the end."""

    states = (
        ListStateDescriptor("all"),
        ReducingStateDescriptor("sum", in_order),
        AggregatingStateDescriptor("total", Total()),
    )

    def on_element(self, element: Any, timestamp: int, window: TimeWindow, ctx: Any) -> TriggerResult:
        for each in self.states:
            ctx.get_partitioned_state(each).add(element)
        ctx.register_event_time_timer(window.max_timestamp())
        return TriggerResult.CONTINUE

    def on_event_time(self, time: int, window: TimeWindow, ctx: Any) -> TriggerResult:
        SEEN.append(tuple(ctx.get_partitioned_state(each).get() for each in self.states))
        return TriggerResult.FIRE

    def on_processing_time(self, time: int, window: TimeWindow, ctx: Any) -> TriggerResult:
        raise AssertionError

    def can_merge(self) -> bool:
        return True

    def on_merge(self, window: TimeWindow, ctx: Any) -> None:
        for each in self.states:
            ctx.merge_partitioned_state(each)

    def clear(self, window: TimeWindow, ctx: Any) -> None:
        ctx.delete_event_time_timer(window.max_timestamp())
        for each in self.states:
            ctx.get_partitioned_state(each).clear()


SEEN: list[Any] = []


@pytest.mark.parametrize("kill", [False, True])
def test_state_of_a_trigger_merges_with_its_windows(kill: bool) -> None:
    SEEN.clear()
    lane = OneLane(window(ASSIGNERS["session"], Merging(), "process"))
    lane.rows(("a", 1, 0), ("a", 2, 12), ("b", 9, 3))
    lane.commit()
    if kill:
        lane.kill()
    lane.rows(("a", 3, 6))  # joins [0, 6) and [12, 18), which it touches
    lane.advance(40)
    assert sorted(SEEN, key=repr) == [([1, 2, 3], in_order(in_order(1, 2), 3), [6, 3]), ([9], 9, [9, 1])]
    assert [row for row in lane.values() if row[1] != "at"] == [("b", 3, 9, [9]), ("a", 0, 18, [1, 2, 3])]
    assert lane.state_left() == {}


def test_state_that_cannot_merge_is_refused() -> None:
    class Wrong(Merging):
        states = (MapStateDescriptor("map"),)  # type: ignore[assignment]

        def on_element(self, element: Any, timestamp: int, window: TimeWindow, ctx: Any) -> TriggerResult:
            return TriggerResult.CONTINUE

    lane = OneLane(window(ASSIGNERS["session"], Wrong(), "process"))
    lane.rows(("a", 1, 0), ("a", 2, 10))
    with pytest.raises(UserCodeError, match="cannot merge MapStateDescriptor"):
        lane.rows(("a", 3, 5))


class Answers(EventTimeTrigger[Any]):
    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def on_element(self, element: Any, timestamp: int, window: Any, ctx: Any) -> TriggerResult:
        return self.answer  # type: ignore[no-any-return]


@pytest.mark.parametrize("wrap", [lambda trigger: trigger, PurgingTrigger.of])
@pytest.mark.parametrize("answer", [None, True, "FIRE"])
def test_an_answer_that_is_none_is_refused_with_the_trigger_that_gave_it(answer: Any, wrap: Any) -> None:
    lane = OneLane(window(ASSIGNERS["tumbling"], wrap(Answers(answer)), "process"))
    with pytest.raises(UserCodeError) as failure:
        lane.rows(("a", 1, 0))
    assert repr(answer) in str(failure.value)
    assert "TriggerResult.CONTINUE" in failure.value.__cause__.hint  # type: ignore[union-attr]


def test_purge_removes_what_the_window_held_and_a_window_without_elements_gives_nothing() -> None:
    class PurgesOdd(EventTimeTrigger[Any]):
        def on_element(self, element: Any, timestamp: int, window: Any, ctx: Any) -> TriggerResult:
            super().on_element(element, timestamp, window, ctx)
            return TriggerResult.PURGE if element % 2 else TriggerResult.CONTINUE

    lane = OneLane(window(ASSIGNERS["tumbling"], PurgesOdd(), "aggregate"))
    lane.rows(("a", 2, 5), ("a", 1, 6), ("a", 4, 7), ("b", 8, 5), ("b", 7, 6))
    lane.advance(MAX_WATERMARK)
    assert lane.values() == [[4, 1]]


class Digit(Window):
    """A window of a program's own: all numbers with the same last digit, until the end of time."""

    def __init__(self, digit: int) -> None:
        self.digit = digit

    def max_timestamp(self) -> int:
        return 100 + self.digit

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Digit) and other.digit == self.digit

    def __hash__(self) -> int:
        return self.digit


class ByDigit(WindowAssigner[int, Digit]):
    """Each third element of a key is in no window."""

    def assign_windows(self, element: int, timestamp: int, context: Any) -> list[Digit]:
        count = context.get_runtime_context().get_state(ValueStateDescriptor("count"))
        count.update((count.value() or 0) + 1)
        return [] if count.value() % 3 == 0 else [Digit(element % 10)]

    def get_default_trigger(self, env: Any) -> Trigger[int, Digit]:
        return EventTimeTrigger()

    def is_event_time(self) -> bool:
        return True


@pytest.mark.parametrize("seed", [None, *range(8)])
def test_an_assigner_of_the_programs_own(seed: int | None) -> None:
    # In no window: 31 and 99. Too late when it comes, as its window has ended: 51.
    steps = [
        [("a", n, 5) for n in (11, 21, 31)],
        [("a", 12, 200), ("b", 11, 5), ("b", 41, 9)],
        101,
        [("b", 99, 7), ("c", 51, 101)],
        MAX_WATERMARK,
    ]
    lane, found = run(window(ByDigit(), EventTimeTrigger(), "aggregate"), steps, seed)
    assert canonical(found) == canonical(
        [([32, 2], 101), ([52, 2], 101), ([12, 1], 102), (("late", 99), 7), (("late", 51), 101)]
    )
    assert list(lane.state_left()) == ["op0/assigner-value/count"]


class Chunks(MergingWindowAssigner[int, TimeWindow]):
    """Windows that merge when they are in the same hundred, whatever lies between."""

    def assign_windows(self, element: int, timestamp: int, context: Any) -> list[TimeWindow]:
        return [TimeWindow(timestamp, timestamp + 1)]

    def merge_windows(self, windows: Iterable[TimeWindow], callback: Any) -> None:
        for hundred in {each.start // 100 for each in windows}:
            parts = sorted(each for each in windows if each.start // 100 == hundred)
            if len(parts) > 1:
                callback.merge(parts, TimeWindow(parts[0].start, max(each.end for each in parts)))

    def get_default_trigger(self, env: Any) -> Trigger[int, TimeWindow]:
        return EventTimeTrigger()

    def is_event_time(self) -> bool:
        return True


@pytest.mark.parametrize("evaluation", ["process", "aggregate+process"])
@pytest.mark.parametrize("seed", [None, *range(8)])
def test_a_merging_assigner_of_the_programs_own(seed: int | None, evaluation: str) -> None:
    steps = [[("a", 1, 50), ("a", 2, 10), ("a", 3, 120)], 5, [("a", 4, 30), ("b", 5, 99)], 60, MAX_WATERMARK]
    _, found = run(window(Chunks(), EventTimeTrigger(), evaluation), steps, seed)
    wholes = {row[:3]: row[3] for row, _ in found if row[1] != "at"}
    plain = evaluation == "process"
    assert wholes == {
        ("a", 10, 51): [1, 2, 4] if plain else [[7, 3]],
        ("b", 99, 100): [5] if plain else [[5, 1]],
        ("a", 120, 121): [3] if plain else [[3, 1]],
    }
