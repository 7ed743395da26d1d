"""Windows and side outputs in whole programs: lanes of the runtime on the memory log, straight and with faults."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

import pytest

from headrace.common import Configuration, Duration, Row, Time, Types, WatermarkStrategy
from headrace.datastream import (
    AggregateFunction,
    EventTimeSessionWindows,
    KeyedProcessFunction,
    OutputTag,
    ProcessFunction,
    ProcessingTimeSessionWindows,
    ProcessWindowFunction,
    SessionWindowTimeGapExtractor,
    SlidingEventTimeWindows,
    StreamExecutionEnvironment,
    TumblingEventTimeWindows,
    TumblingProcessingTimeWindows,
)
from headrace.datastream.connectors.kafka import (
    KafkaOffsetsInitializer,
    KafkaRecordSerializationSchema,
    KafkaSink,
    KafkaSource,
)
from headrace.datastream.execution import executor_installed
from headrace.datastream.formats.json import JsonDeserializationSchema, JsonSerializationSchema
from headrace.datastream.state import ListStateDescriptor
from headrace.errors import UsageError
from headrace.testing.stepped import SteppedCluster

GAP_MS = 1_000
OUT_OF_ORDER_MS = 300
LATE = OutputTag("late")
DISTURBED = pytest.mark.parametrize("seed,kill_share", [(1, 0.0), (2, 0.03), (3, 0.05), (4, 0.06)])


def environment() -> StreamExecutionEnvironment:
    config = Configuration()
    config.set_integer("execution.commit-interval-ms", 10)
    return StreamExecutionEnvironment.get_execution_environment(config).set_parallelism(2)


def events(env: StreamExecutionEnvironment) -> Any:
    reader = KafkaSource.builder().set_topics("events").set_bounded(KafkaOffsetsInitializer.latest())
    times = WatermarkStrategy.for_bounded_out_of_orderness(Duration.of_millis(OUT_OF_ORDER_MS))
    times = times.with_timestamp_assigner(lambda event, _: event["t"])
    return env.from_source(reader.set_value_only_deserializer(JsonDeserializationSchema()).build(), times, "events")


def sink(topic: str) -> KafkaSink:
    serializer = KafkaRecordSerializationSchema.builder().set_topic(topic)
    serializer.set_value_serialization_schema(JsonSerializationSchema())
    return KafkaSink.builder().set_record_serializer(serializer.build()).build()


def run(
    values: list[Any], program: Callable[[StreamExecutionEnvironment], None], *, seed: int, kill_share: float
) -> SteppedCluster:
    cluster = SteppedCluster(seed, commit_faults=0.05 if kill_share else 0.0)
    cluster.topic("events", 2, values)
    cluster.topic("out")
    cluster.topic("late")
    with executor_installed(cluster):
        env = environment()
        program(env)
        env.execute_async()
    job = cluster.jobs[-1]

    def done() -> bool:
        for lane in job.lanes.values():
            lane.parts.inputs.messages_max = 7  # many commits, and watermarks between
        return job.finished()

    job.run(done, kill_share=kill_share)
    assert kill_share == 0 or cluster.jobs[-1].kills > 2
    return cluster


def visits(seed: int, late_share: float = 0.0) -> list[dict[str, Any]]:
    """Bursts of events of a few users, out of order within the bound; some much too late."""
    rng = random.Random(seed)
    out, now = [], 0
    for number in range(600):
        now += rng.choice([5, 5, 20, 400])
        time = now - rng.randrange(OUT_OF_ORDER_MS)
        if rng.random() < late_share:
            time = now - rng.randrange(10_000, 60_000)
        out.append({"u": f"user {rng.randrange(12)}", "n": number, "t": time})
    return out


def sessions_of(values: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """By definition: sorted by time, cut where more than the gap lies between."""
    found: list[tuple[str, list[dict[str, Any]]]] = []
    for user in {value["u"] for value in values}:
        mine = sorted((v for v in values if v["u"] == user), key=lambda v: v["t"])
        session: list[dict[str, Any]] = []
        for value in mine:
            if session and value["t"] > session[-1]["t"] + GAP_MS:
                found.append((user, session))
                session = []
            session.append(value)
        found.append((user, session))
    return sorted((u, s[0]["t"], s[-1]["t"] + GAP_MS, tuple(sorted(v["n"] for v in s))) for u, s in found)


class Report(ProcessWindowFunction[Any, Any, Any, Any]):
    def process(self, key: Any, context: Any, elements: Iterable[Any]) -> Iterable[Any]:
        window = context.window()
        yield [key, window.start, window.end, [element["n"] for element in elements]]


class Numbers(AggregateFunction):
    """The numbers of a window's events, in an accumulator that changes in place."""

    def create_accumulator(self) -> list[int]:
        return []

    def add(self, value: Any, accumulator: list[int]) -> list[int]:
        accumulator.append(value["n"])
        return accumulator

    def get_result(self, accumulator: list[int]) -> Any:
        return [{"n": n} for n in accumulator]

    def merge(self, acc_a: list[int], acc_b: list[int]) -> list[int]:
        acc_a.extend(acc_b)
        return acc_a


class ReportOne(Report):
    def process(self, key: Any, context: Any, elements: Iterable[Any]) -> Iterable[Any]:
        (numbers,) = elements
        return super().process(key, context, numbers)


def shown(cluster: SteppedCluster) -> list[tuple[Any, ...]]:
    return sorted((u, start, end, tuple(sorted(numbers))) for u, start, end, numbers in cluster.values("out"))


@DISTURBED
@pytest.mark.parametrize("evaluation", ["process", "aggregate"])
def test_sessions_are_found_whatever_fails(evaluation: str, seed: int, kill_share: float) -> None:
    values = visits(seed)

    def program(env: StreamExecutionEnvironment) -> None:
        gap = EventTimeSessionWindows.with_gap(Time.milliseconds(GAP_MS))
        windows = events(env).key_by(lambda v: v["u"], Types.STRING()).window(gap)
        results = windows.process(Report()) if evaluation == "process" else windows.aggregate(Numbers(), ReportOne())
        results.sink_to(sink("out"))

    assert shown(run(values, program, seed=seed, kill_share=kill_share)) == sessions_of(values)


@DISTURBED
def test_late_events_are_in_their_side_output_and_nothing_is_lost_or_twice(seed: int, kill_share: float) -> None:
    values = visits(seed, late_share=0.1)

    def program(env: StreamExecutionEnvironment) -> None:
        gap = EventTimeSessionWindows.with_gap(Time.milliseconds(GAP_MS))
        windows = events(env).key_by(lambda v: v["u"]).window(gap)
        results = windows.side_output_late_data(LATE).process(Report())
        results.sink_to(sink("out"))
        results.get_side_output(LATE).map(lambda v: v["n"]).sink_to(sink("late"))

    cluster = run(values, program, seed=seed, kill_share=kill_share)
    late = cluster.values("late")
    assert Counter([n for *_, numbers in shown(cluster) for n in numbers] + late) == Counter(range(len(values)))
    assert late or kill_share
    for user, start, end, numbers in shown(cluster):
        times = sorted(values[n]["t"] for n in numbers)
        assert (start, end) == (times[0], times[-1] + GAP_MS) and {values[n]["u"] for n in numbers} == {user}
        assert all(after - before <= GAP_MS for before, after in pairwise(times))


def test_late_events_that_nobody_wants_are_counted() -> None:
    values = visits(1, late_share=0.1)

    def program(env: StreamExecutionEnvironment) -> None:
        windows = events(env).key_by(lambda v: v["u"]).window(TumblingEventTimeWindows.of(Time.seconds(2)))
        windows.process(Report()).sink_to(sink("out"))

    cluster = run(values, program, seed=1, kill_share=0)
    kept = sum(len(numbers) for *_, numbers in shown(cluster))
    dropped = {name: lane.parts.late_dropped for name, lane in cluster.jobs[-1].lanes.items()}  # type: ignore[attr-defined]
    assert kept < len(values) == kept + sum(dropped.values()), dropped


class Pause(SessionWindowTimeGapExtractor):
    def extract(self, element: Any) -> int:
        return GAP_MS


def test_a_gap_that_each_value_tells() -> None:
    values = visits(9)

    def program(env: StreamExecutionEnvironment) -> None:
        windows = events(env).key_by(lambda v: v["u"]).window(EventTimeSessionWindows.with_dynamic_gap(Pause()))
        windows.process(Report()).sink_to(sink("out"))

    assert shown(run(values, program, seed=9, kill_share=0.05)) == sessions_of(values)


@DISTURBED
def test_sliding_windows_hold_each_event_as_often_as_they_overlap(seed: int, kill_share: float) -> None:
    values, (size, slide) = visits(seed), (2_500, 1_000)
    expected: dict[tuple[str, int], list[int]] = {}
    for value in values:
        for start in range(value["t"] // slide * slide, value["t"] - size, -slide):
            expected.setdefault((value["u"], start), []).append(value["n"])

    def program(env: StreamExecutionEnvironment) -> None:
        windows = SlidingEventTimeWindows.of(Time.milliseconds(size), Time.milliseconds(slide))
        events(env).key_by(lambda v: v["u"]).window(windows).process(Report()).sink_to(sink("out"))

    out = shown(run(values, program, seed=seed, kill_share=kill_share))
    assert out == sorted((u, start, start + size, tuple(sorted(n))) for (u, start), n in expected.items())


ODD, WORDS = OutputTag("odd"), OutputTag("words", Types.ROW_NAMED(["word"], [Types.STRING()]))


class Split(ProcessFunction):
    def process_element(self, value: Any, ctx: Any) -> Iterable[Any]:
        if isinstance(value, str):
            yield WORDS, (value,)
        elif value % 2:
            yield OutputTag("odd"), value  # a tag made anew is the same
        else:
            yield value, value
            yield OutputTag("nobody"), value


class SplitKeyed(KeyedProcessFunction):
    def process_element(self, value: Any, ctx: Any) -> Iterable[Any]:
        ctx.timer_service().register_event_time_timer(5)
        return Split().process_element(value, ctx)

    def on_timer(self, timestamp: int, ctx: Any) -> Iterable[Any]:
        yield ODD, -1
        yield "timer", ctx.get_current_key()


def printed(cluster: SteppedCluster) -> list[str]:
    return sorted(cluster.printed)


@pytest.mark.parametrize("chained", [True, False])
def test_side_outputs_of_a_process_function(chained: bool) -> None:
    cluster = SteppedCluster()
    with executor_installed(cluster):
        env = environment().set_parallelism(1)
        if not chained:
            env.disable_operator_chaining()
        split = env.from_collection([1, 2, "a", 3, 4]).process(Split(), Types.TUPLE([Types.INT(), Types.INT()]))
        split.print("main")
        split.get_side_output(ODD).map(lambda v: v * 10).print("odd")
        split.get_side_output(ODD).print("again")
        words = split.get_side_output(WORDS)
        words.map(lambda row: row.word).print("word")
        words.get_type()
        env.execute_async()
    cluster.jobs[-1].run()
    assert printed(cluster) == [
        *["again> 1", "again> 3", "main> (2, 2)", "main> (4, 4)", "odd> 10", "odd> 30", "word> a"]
    ]


def test_side_outputs_of_keyed_elements_and_timers() -> None:
    cluster = SteppedCluster()
    with executor_installed(cluster):
        env = environment().set_parallelism(1)
        out = env.from_collection([1, 2, "a"]).key_by(str).process(SplitKeyed())
        out.print("main")
        out.get_side_output(ODD).print("odd")
        env.execute_async()
    cluster.jobs[-1].run()
    assert printed(cluster) == [
        *["main> ('timer', '1')", "main> ('timer', '2')", "main> ('timer', 'a')", "main> (2, 2)"],
        *["odd> -1", "odd> -1", "odd> -1", "odd> 1"],
    ]


def test_a_window_function_has_side_outputs_too() -> None:
    class Both(Report):
        def process(self, key: Any, context: Any, elements: Iterable[Any]) -> Iterable[Any]:
            yield Row(key, len(list(elements)))
            yield ODD, key

    values = visits(3)

    def program(env: StreamExecutionEnvironment) -> None:
        gap = EventTimeSessionWindows.with_gap(Time.milliseconds(GAP_MS))
        results = events(env).key_by(lambda v: v["u"]).window(gap).process(Both())
        results.map(lambda row: list(row)).sink_to(sink("out"))
        results.get_side_output(ODD).sink_to(sink("late"))

    cluster = run(values, program, seed=3, kill_share=0.05)
    assert Counter(cluster.values("late")) == Counter(user for user, *_ in sessions_of(values))
    assert sum(count for _, count in cluster.values("out")) == len(values)


def test_calls_that_cannot_work_say_why() -> None:
    env = environment()
    numbers = env.from_collection([1])
    with pytest.raises(UsageError, match=r"get_side_output\(\) of 'Map'.*test_window_programs.py:"):
        numbers.map(lambda v: v).get_side_output(ODD)
    with pytest.raises(UsageError, match="takes an OutputTag, not 'odd'"):
        numbers.process(Split()).get_side_output("odd")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="belongs right after the operator"):
        numbers.key_by(str).get_side_output(ODD)
    with pytest.raises(UsageError, match="id of an OutputTag"):
        OutputTag("")
    with pytest.raises(UsageError, match="gap of a session must be above 0"):
        EventTimeSessionWindows.with_gap(Time.milliseconds(0))
    with pytest.raises(UsageError, match="make an instance|not the class Pause"):
        EventTimeSessionWindows.with_dynamic_gap(Pause)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="smaller than its slide"):
        SlidingEventTimeWindows.of(Time.seconds(10), Time.seconds(5), Time.seconds(5))
    with pytest.raises(UsageError, match="slide of a window must be above 0"):
        SlidingEventTimeWindows.of(Time.seconds(10), Time.seconds(0))


@DISTURBED
@pytest.mark.parametrize("kind", ["tumbling", "session", "timers"])
def test_each_event_is_in_one_window_of_the_time_of_day(kind: str, seed: int, kill_share: float) -> None:
    """An unbounded source; which window is the clock's affair, but each event is in one, whatever fails."""
    values = visits(seed)
    cluster = SteppedCluster(seed, commit_faults=0.05 if kill_share else 0.0)
    cluster.topic("events", 2, values)
    cluster.topic("out")
    with executor_installed(cluster):
        env = environment()
        reader = KafkaSource.builder().set_topics("events").set_value_only_deserializer(JsonDeserializationSchema())
        keyed = env.from_source(reader.build(), WatermarkStrategy.no_watermarks(), "events").key_by(lambda v: v["u"])
        size = Time.milliseconds(200)
        if kind == "timers":
            results = keyed.process(Gather())
        elif kind == "tumbling":
            results = keyed.window(TumblingProcessingTimeWindows.of(size)).process(Report())
        else:
            results = keyed.window(ProcessingTimeSessionWindows.with_gap(size)).process(Report())
        results.sink_to(sink("out"))
        env.execute_async()
    job = cluster.jobs[-1]

    def numbers() -> list[int]:
        for lane in job.lanes.values():
            lane.parts.inputs.messages_max = 7
        return [n for *_, its in cluster.values("out") for n in its]

    job.run(lambda: len(numbers()) >= len(values), kill_share=kill_share)
    later_ms = cluster.time.now_ms() + 1_000
    job.run(lambda: cluster.time.now_ms() > later_ms)
    assert sorted(numbers()) == list(range(len(values)))


class Gather(KeyedProcessFunction):
    """What came until a timer of the time of day."""

    def open(self, runtime_context: Any) -> None:
        self.numbers = runtime_context.get_list_state(ListStateDescriptor("numbers"))

    def process_element(self, value: Any, ctx: Any) -> None:
        self.numbers.add(value["n"])
        timers = ctx.timer_service()
        timers.register_processing_time_timer(timers.current_processing_time() // 100 * 100 + 100)

    def on_timer(self, timestamp: int, ctx: Any) -> Iterable[Any]:
        numbers = list(self.numbers.get())
        self.numbers.clear()
        yield [ctx.get_current_key(), timestamp, timestamp, numbers]


def test_count_windows_of_a_program() -> None:
    cluster = SteppedCluster()
    with executor_installed(cluster):
        keyed = environment().set_parallelism(1).from_collection([1, 2, 3, 4, 5, 6, 7]).key_by(lambda v: v % 2)
        keyed.count_window(3).reduce(lambda a, b: a + b).print("three")
        keyed.count_window(2, 1).reduce(lambda a, b: a * b).print("pairs")
        keyed.get_execution_environment().execute_async()
    cluster.jobs[-1].run()
    assert printed(cluster) == [
        *["pairs> 15", "pairs> 24", "pairs> 3", "pairs> 35", "pairs> 8", "three> 12", "three> 9"],
    ]
    with pytest.raises(UsageError, match="number of elements above 0"):
        keyed.count_window(0)
