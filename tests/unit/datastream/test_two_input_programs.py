"""Connected, broadcast and joined streams in whole programs: in this process, and on lanes that are killed."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from headrace.common import Configuration, Duration, Time, Types, WatermarkStrategy
from headrace.datastream import (
    BroadcastProcessFunction,
    CoFlatMapFunction,
    CoGroupFunction,
    CoMapFunction,
    CoProcessFunction,
    DataStream,
    FlatJoinFunction,
    JoinFunction,
    KeyedBroadcastProcessFunction,
    KeyedCoProcessFunction,
    OutputTag,
    ProcessJoinFunction,
    StreamExecutionEnvironment,
    TumblingEventTimeWindows,
)
from headrace.datastream.connectors.kafka import (
    KafkaOffsetsInitializer,
    KafkaRecordSerializationSchema,
    KafkaSink,
    KafkaSource,
)
from headrace.datastream.execution import executor_installed
from headrace.datastream.formats.json import JsonDeserializationSchema, JsonSerializationSchema
from headrace.datastream.state import MapStateDescriptor, ValueStateDescriptor
from headrace.errors import UsageError
from headrace.testing.stepped import SteppedCluster

RULES = MapStateDescriptor("rules", Types.STRING(), Types.INT())


def environment() -> StreamExecutionEnvironment:
    config = Configuration()
    config.set_integer("execution.commit-interval-ms", 10)
    return StreamExecutionEnvironment.get_execution_environment(config).set_parallelism(2)


def timed(env: StreamExecutionEnvironment, rows: list[Any]) -> DataStream:
    """A stream of (key, value, time)."""
    strategy = WatermarkStrategy.for_bounded_out_of_orderness(Duration.of_seconds(60))
    return env.from_collection(rows).assign_timestamps_and_watermarks(
        strategy.with_timestamp_assigner(lambda row, _: row[2])
    )


def collected(stream: DataStream) -> list[Any]:
    return sorted(stream.execute_and_collect(), key=str)


class Named(CoMapFunction):
    def map1(self, value: Any) -> Any:
        return "first", value

    def map2(self, value: Any) -> Any:
        return "second", value


def test_a_co_map_of_two_streams_and_of_a_stream_with_itself() -> None:
    env = environment()
    found = collected(env.from_collection([1, 2]).connect(env.from_collection(["a"])).map(Named()))
    assert found == [("first", 1), ("first", 2), ("second", "a")]
    env = environment()
    numbers = env.from_collection([1, 2]).map(lambda n: n)
    assert collected(numbers.connect(numbers).map(Named())) == [(o, n) for o in ("first", "second") for n in (1, 2)]


class Sizes(CoFlatMapFunction):
    def open(self, runtime_context: Any) -> None:
        self.seen = runtime_context.get_state(ValueStateDescriptor("seen", Types.INT()))

    def flat_map1(self, value: Any) -> Any:
        self.seen.update((self.seen.value() or 0) + 1)
        if self.seen.value() == 3:
            yield value[0]

    flat_map2 = flat_map1


@pytest.mark.parametrize("keyed_before", [True, False])
def test_a_keyed_co_flat_map_shares_state_between_its_streams(keyed_before: bool) -> None:
    env = environment()
    first = env.from_collection([("a", 1), ("b", 1), ("c", 1)])
    second = env.from_collection([("a", 1), ("b", 1), ("a", 1)])
    if keyed_before:
        streams = first.key_by(lambda v: v[0]).connect(second.key_by(lambda v: v[0]))
    else:
        streams = first.connect(second).key_by(lambda v: v[0], lambda v: v[0], key_type=Types.STRING())
    assert collected(streams.flat_map(Sizes(), output_type=Types.STRING())) == ["a"]


class Deadlines(KeyedCoProcessFunction):
    def process_element1(self, value: Any, ctx: Any) -> Any:
        ctx.timer_service().register_event_time_timer(ctx.timestamp() + 3)
        yield OutputTag("aside"), value[1]

    def process_element2(self, value: Any, ctx: Any) -> Any:
        yield value[1]

    def on_timer(self, timestamp: int, ctx: Any) -> Any:
        yield timestamp, ctx.get_current_key()


@pytest.mark.parametrize("aside", [True, False])
def test_a_keyed_co_process_has_timers_and_side_outputs(aside: bool) -> None:
    env = environment()
    streams = timed(env, [("a", 1, 0), ("b", 2, 5)]).connect(timed(env, [("a", "x", 1)]))
    out = streams.key_by(lambda v: v[0], lambda v: v[0]).process(Deadlines())
    assert collected(out.get_side_output(OutputTag("aside")) if aside else out) == (
        [1, 2] if aside else [(3, "a"), (8, "b"), "x"]
    )


def test_a_co_process_needs_no_keys() -> None:
    class Both(CoProcessFunction):
        def process_element1(self, value: Any, ctx: Any) -> Any:
            return [(1, value[1], ctx.timestamp())]

        def process_element2(self, value: Any, ctx: Any) -> Any:
            yield 2, value[1], ctx.timestamp()

    env = environment()
    out = timed(env, [("a", "x", 7)]).connect(timed(env, [("b", "y", 8)])).process(Both())
    assert collected(out) == [(1, "x", 7), (2, "y", 8)]


def test_a_broadcast_element_reaches_every_lane() -> None:
    class Told(BroadcastProcessFunction):
        def process_element(self, value: Any, ctx: Any) -> Any:
            yield value

        def process_broadcast_element(self, value: Any, ctx: Any) -> Any:
            ctx.get_broadcast_state(RULES).put("r", value)
            yield "rule", ctx.get_broadcast_state(RULES)["r"]

    env = environment()
    stream = env.from_collection([1, 2]).connect(env.from_collection([10]).broadcast(RULES)).process(Told())
    assert collected(stream) == [("rule", 10), ("rule", 10), 1, 2]


class Pairs(ProcessJoinFunction):
    def process_element(self, left: Any, right: Any, ctx: Any) -> Any:
        yield left[1], right[1], ctx.get_timestamp()


def test_bounds_of_an_interval_join() -> None:
    env = environment()
    left = timed(env, [("a", "l", 10)]).key_by(lambda v: v[0])
    right = timed(env, [("a", n, t) for n, t in enumerate((7, 8, 10, 11, 13, 14))] + [("b", 9, 10)])
    closed = left.interval_join(right.key_by(lambda v: v[0])).between(Time.milliseconds(-2), Duration.of_millis(3))
    joins = {
        "closed": closed,
        "above": closed.lower_bound_exclusive(),
        "below": closed.upper_bound_exclusive(),
        "open": closed.lower_bound_exclusive().upper_bound_exclusive(),
    }
    named = [join.process(Pairs()).map(lambda v, name=name: (name, v[1])) for name, join in joins.items()]
    expected = {"closed": [1, 2, 3, 4], "above": [2, 3, 4], "below": [1, 2, 3], "open": [2, 3]}
    assert collected(named[0].union(*named[1:])) == sorted((name, n) for name in expected for n in expected[name])


class Plus(JoinFunction):
    def join(self, first: Any, second: Any) -> Any:
        return first[1] + second[1]


class PlusAll(FlatJoinFunction):
    def join(self, first: Any, second: Any) -> Any:
        return [first[1] + second[1]] * (second[1] // 10)


class Sides(CoGroupFunction):
    def co_group(self, first: Any, second: Any) -> Any:
        yield sorted(v[1] for v in first), sorted(v[1] for v in second)


LEFT = [("a", 1, 0), ("a", 2, 9), ("a", 3, 10), ("b", 4, 5)]
RIGHT = [("a", 10, 5), ("a", 20, 12), ("a", 30, 19), ("c", 50, 1)]


def test_window_joins_and_co_groups() -> None:
    env = environment()
    left, right = timed(env, LEFT), timed(env, RIGHT)
    window = TumblingEventTimeWindows.of(Time.milliseconds(10))
    join = left.join(right).where(lambda v: v[0]).equal_to(lambda v: v[0]).window(window)
    group = left.co_group(right).where(lambda v: v[0], Types.STRING()).equal_to(lambda v: v[0]).window(window)
    streams = {
        "join": join.apply(Plus()),
        "lambda": join.apply(lambda a, b: a[1] + b[1]),
        "flat": join.apply(PlusAll()),
        "group": group.apply(Sides()),
    }
    named = [stream.map(lambda v, name=name: (name, v)) for name, stream in streams.items()]
    found: dict[str, list[Any]] = {name: [] for name in streams}
    for name, value in collected(named[0].union(*named[1:])):
        found[name].append(value)
    assert found == {
        "join": [11, 12, 23, 33],
        "lambda": [11, 12, 23, 33],
        "flat": [11, 12, 23, 23, 33, 33, 33],
        "group": [([1, 2], [10]), ([3], [20, 30]), ([4], []), ([], [50])],  # also what has no partner
    }


def test_what_does_not_fit_is_refused_at_once() -> None:
    env = environment()
    stream, other = env.from_collection([1]), environment().from_collection([1])
    keyed = stream.key_by(lambda v: v)
    for refused in (
        lambda: stream.connect(3),
        lambda: stream.connect(other),
        lambda: stream.broadcast(ValueStateDescriptor("v")),
        lambda: stream.broadcast(RULES, RULES),
        lambda: stream.connect(stream).process(Deadlines()),
        lambda: stream.connect(stream).map(lambda v: v),
        lambda: keyed.connect(stream.broadcast(RULES)).process(object()),
        lambda: keyed.interval_join(stream),
        lambda: keyed.interval_join(keyed).between(Time.seconds(2), Time.seconds(1)),
        lambda: keyed.interval_join(keyed).between(-1, 1),
    ):
        with pytest.raises(UsageError) as caught:
            refused()
        assert __file__.rsplit("/", 1)[1] in str(caught.value)


# ---- two topics, lanes killed


def events(env: StreamExecutionEnvironment, topic: str) -> DataStream:
    reader = KafkaSource.builder().set_topics(topic).set_bounded(KafkaOffsetsInitializer.latest())
    times = WatermarkStrategy.for_bounded_out_of_orderness(Duration.of_millis(300))
    times = times.with_timestamp_assigner(lambda event, _: event["t"])
    return env.from_source(reader.set_value_only_deserializer(JsonDeserializationSchema()).build(), times, topic)


def sink() -> KafkaSink:
    serializer = KafkaRecordSerializationSchema.builder().set_topic("out")
    serializer.set_value_serialization_schema(JsonSerializationSchema())
    return KafkaSink.builder().set_record_serializer(serializer.build()).build()


class NumberPairs(ProcessJoinFunction):
    def process_element(self, left: Any, right: Any, ctx: Any) -> Any:
        yield [left["n"], right["n"]]


class Limit(KeyedBroadcastProcessFunction):
    """Counts a key's events by the rules; the last count of each key is known when all rules came first."""

    def open(self, runtime_context: Any) -> None:
        self.count = runtime_context.get_state(ValueStateDescriptor("count"))

    def process_element(self, value: Any, ctx: Any) -> Any:
        self.count.update((self.count.value() or 0) + 1)
        ctx.timer_service().register_event_time_timer(10**9)

    def process_broadcast_element(self, value: Any, ctx: Any) -> Any:
        rules = ctx.get_broadcast_state(RULES)
        rules.put(value["u"], (rules.get(value["u"]) or 0) + 1)

    def on_timer(self, timestamp: int, ctx: Any) -> Any:
        yield [ctx.get_current_key(), self.count.value(), sorted(ctx.get_broadcast_state(RULES).items())]


def two_topics(seed: int) -> tuple[list[Any], list[Any]]:
    rng = random.Random(seed)
    return tuple(  # type: ignore[return-value]
        [{"n": n, "u": f"u{rng.randrange(5)}", "t": n * 20 + rng.randrange(280)} for n in range(200)]
        for _ in range(2)
    )


@pytest.mark.parametrize("seed,kill_share", [(1, 0.0), (2, 0.05)])
@pytest.mark.parametrize("program", ["join", "broadcast"])
def test_two_topics_meet_exactly_once_whatever_fails(program: str, seed: int, kill_share: float) -> None:
    left, right = two_topics(seed)
    cluster = SteppedCluster(seed, commit_faults=0.05 if kill_share else 0.0)
    cluster.topic("left", 2, left)
    cluster.topic("right", 2, right)
    cluster.topic("out")
    with executor_installed(cluster):
        env = environment()
        keyed, other = events(env, "left").key_by(lambda v: v["u"], Types.STRING()), events(env, "right")
        if program == "join":
            joined = keyed.interval_join(other.key_by(lambda v: v["u"], Types.STRING()))
            out = joined.between(Time.milliseconds(-400), Time.milliseconds(150)).process(NumberPairs())
        else:
            out = keyed.connect(other.broadcast(RULES)).process(Limit())
        out.sink_to(sink())
        env.execute_async()
    job = cluster.jobs[-1]

    def done() -> bool:
        for lane in job.lanes.values():
            lane.parts.inputs.messages_max = 7  # many commits, and watermarks between
        return job.finished()

    job.run(done, kill_share=kill_share)
    assert kill_share == 0 or job.kills > 2
    if program == "join":
        expected = [
            (a["n"], b["n"]) for a in left for b in right if a["u"] == b["u"] and -400 <= b["t"] - a["t"] <= 150
        ]
        assert Counter(map(tuple, cluster.values("out"))) == Counter(expected)
    else:
        rules = [list(item) for item in sorted(Counter(v["u"] for v in right).items())]
        assert sorted(cluster.values("out")) == [
            [u, n, rules] for u, n in sorted(Counter(v["u"] for v in left).items())
        ]
