"""Kafka sources on the memory log: patterns, partitions that come later, positions, what cannot be decoded."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from headrace.common import SimpleStringSchema, Time, Types, WatermarkStrategy
from headrace.datastream import StreamExecutionEnvironment, TumblingEventTimeWindows
from headrace.datastream.connectors.kafka import (
    KafkaOffsetResetStrategy,
    KafkaOffsetsInitializer,
    KafkaRecordSerializationSchema,
    KafkaSink,
    KafkaSource,
    KafkaSourceBuilder,
    KafkaTopicPartition,
)
from headrace.datastream.execution import executor_installed
from headrace.datastream.formats.json import (
    JsonDeserializationSchema,
    JsonRowDeserializationSchema,
    JsonSerializationSchema,
)
from headrace.errors import UsageError
from headrace.log.lane import LogError
from headrace.runtime.failures import describe
from headrace.runtime.kafka_positions import StartPositionError, starting, stopping
from headrace.runtime.kafka_splits import Subscription, lane_of
from headrace.runtime.operators.formats import UndecodableRecordError
from headrace.testing.stepped import SteppedCluster, SteppedJob

DISCOVERY_MS = 1_000


def source() -> KafkaSourceBuilder:
    return KafkaSource.builder().set_value_only_deserializer(JsonDeserializationSchema())


def start(cluster: SteppedCluster, built: KafkaSource, parallelism: int = 2) -> SteppedJob:
    cluster.topic("out")
    schema = (
        KafkaRecordSerializationSchema.builder()
        .set_topic("out")
        .set_value_serialization_schema(JsonSerializationSchema())
        .build()
    )
    env = StreamExecutionEnvironment.get_execution_environment().set_parallelism(parallelism)
    stream = env.from_source(built, WatermarkStrategy.no_watermarks(), "in")
    stream.sink_to(KafkaSink.builder().set_record_serializer(schema).build())
    with executor_installed(cluster):
        env.execute()
    return cluster.jobs[-1]


def watching() -> KafkaSourceBuilder:
    return source().set_property("partition.discovery.interval.ms", str(DISCOVERY_MS))


# ---- what is read


def test_a_pattern_reads_the_topics_that_fit_and_no_internal_ones() -> None:
    cluster = SteppedCluster()
    for topic in ("orders-eu", "orders-us", "order", "__orders-x", "stepped.orders-y"):
        cluster.topic(topic, 2, [f"{topic} {n}" for n in range(4)])
    job = start(
        cluster, source().set_topic_pattern(".*orders-.*").set_bounded(KafkaOffsetsInitializer.latest()).build()
    )
    job.run()
    assert sorted(cluster.values("out")) == [f"orders-{place} {n}" for place in ("eu", "us") for n in range(4)]


def test_a_pattern_that_fits_nothing_fails_the_job_in_plain_words() -> None:
    job = start_unstarted("nothing-.*")
    failure = describe(job)
    assert failure.error.startswith("topic-pattern-empty: no topic fits the pattern 'nothing-.*'")
    assert (failure.retryable, failure.traceback) == (False, "")


def start_unstarted(pattern: str) -> UsageError:
    with pytest.raises(UsageError) as failed:
        start(SteppedCluster(), source().set_topic_pattern(pattern).build())
    return failed.value


def test_more_lanes_than_partitions_are_idle_and_hold_no_window_back() -> None:
    cluster = SteppedCluster()
    cluster.topic("in", 2, [{"k": "a", "t": 100 * n} for n in range(20)])  # more may come: the end fires nothing here
    cluster.topic("out")
    env = StreamExecutionEnvironment.get_execution_environment().set_parallelism(4)
    strategy = WatermarkStrategy.for_monotonous_timestamps().with_timestamp_assigner(lambda value, _: value["t"])
    counts = (
        env.from_source(source().set_topics("in").build(), strategy, "in")
        .map(lambda value: (value["k"], 1))
        .key_by(lambda pair: pair[0])
        .window(TumblingEventTimeWindows.of(Time.milliseconds(500)))
        .reduce(lambda one, other: (one[0], one[1] + other[1]))
        .map(list)
    )
    schema = (
        KafkaRecordSerializationSchema.builder()
        .set_topic("out")
        .set_value_serialization_schema(JsonSerializationSchema())
        .build()
    )
    counts.sink_to(KafkaSink.builder().set_record_serializer(schema).build())
    with executor_installed(cluster):
        env.execute()
    cluster.jobs[-1].run(lambda: len(cluster.values("out")) == 3)
    assert cluster.values("out") == [["a", 5]] * 3


def test_named_partitions_only() -> None:
    cluster = SteppedCluster()
    cluster.topic("in", 3, range(9))
    partitions = {KafkaTopicPartition("in", 0), KafkaTopicPartition("in", 2)}
    start(cluster, source().set_partitions(partitions).set_bounded(KafkaOffsetsInitializer.latest()).build()).run()
    assert sorted(cluster.values("out")) == [0, 2, 3, 5, 6, 8]


@pytest.mark.parametrize("seed", range(6))
def test_partitions_and_topics_that_come_later_are_read_from_their_beginning(seed: int) -> None:
    cluster = SteppedCluster(seed, commit_faults=0.1)
    cluster.topic("in-1", 2, range(20))
    job = start(cluster, watching().set_topic_pattern("in-.*").build())
    expected = list(range(20))
    for number in range(1, 6):
        fresh = [100 * number + n for n in range(12)]
        if number % 2:
            cluster.topic(f"in-{number + 1}", 3, fresh)
        else:
            cluster.broker.add_partitions("in-1", 2 + number)
            for n, value in enumerate(fresh):
                cluster.broker.append("in-1", str(value).encode(), partition=n % (2 + number))
        expected += fresh
        job.run(lambda: len(cluster.values("out")) >= len(expected), kill_share=0.02)  # noqa: B023
    until_ms = cluster.time.now_ms() + 3 * DISCOVERY_MS
    job.run(lambda: cluster.time.now_ms() >= until_ms, kill_share=0.02)
    assert Counter(cluster.values("out")) == Counter(expected)
    assert job.kills > 0


def test_discovery_can_be_off() -> None:
    cluster = SteppedCluster()
    cluster.topic("in", 1, ["a"])
    job = start(cluster, source().set_topics("in").set_property("partition.discovery.interval.ms", "-1").build(), 1)
    cluster.broker.add_partitions("in", 2)
    cluster.broker.append("in", b'"b"', partition=1)
    until_ms = cluster.time.now_ms() + 600_000
    cluster.time.advance(500_000)
    job.run(lambda: cluster.time.now_ms() >= until_ms)
    assert cluster.values("out") == ["a"]


def test_discovery_is_on_by_itself() -> None:
    cluster = SteppedCluster()
    cluster.topic("in", 1, ["a"])
    job = start(cluster, source().set_topics("in").build(), 1)
    cluster.broker.add_partitions("in", 2)
    cluster.broker.append("in", b'"b"', partition=1)
    cluster.time.advance(300_000)
    job.run(lambda: len(cluster.values("out")) == 2)


def test_every_partition_has_one_lane_whatever_is_known_when() -> None:
    counts = {"a": 5, "b": 3}
    lanes = [Subscription(("a", "b"), None, None, lane, 3, "h.").own(counts) for lane in range(3)]
    assert sorted(sum(lanes, [])) == [("a", n) for n in range(5)] + [("b", n) for n in range(3)]
    for lane, splits in enumerate(lanes):
        assert {lane_of(split, 3) for split in splits} <= {lane}


# ---- where reading starts and ends


@pytest.fixture
def log() -> Any:
    """Topic t: partition 0 has offsets 10 to 19 left, partition 1 has 0 to 4; group g stands at 12 and nowhere."""
    cluster = SteppedCluster()
    cluster.topic("t", 2)
    for n in range(20):
        cluster.broker.append("t", b"x", partition=0, timestamp_ms=1_000 + n)
    for n in range(5):
        cluster.broker.append("t", b"x", partition=1, timestamp_ms=1_000 + n)
    cluster.broker.delete_before({("t", 0): 10})
    cluster.broker.commit_hints("g", {("t", 0): (12, "")})
    return cluster.connection


BOTH = [("t", 0), ("t", 1)]
RESETS = KafkaOffsetResetStrategy


@pytest.mark.parametrize(
    ("offsets", "expected"),
    [
        (KafkaOffsetsInitializer.earliest(), [10, 0]),
        (KafkaOffsetsInitializer.latest(), [20, 5]),
        (KafkaOffsetsInitializer.timestamp(1_002), [10, 2]),
        (KafkaOffsetsInitializer.timestamp(1_015), [15, 5]),
        (KafkaOffsetsInitializer.committed_offsets(), [12, 0]),
        (KafkaOffsetsInitializer.committed_offsets(RESETS.LATEST), [12, 5]),
        (KafkaOffsetsInitializer.offsets({KafkaTopicPartition("t", 1): 3}), [10, 3]),
        (KafkaOffsetsInitializer.offsets({KafkaTopicPartition("t", 1): 3}, RESETS.LATEST), [20, 3]),
        # out of range: deleted already, and beyond the end
        (KafkaOffsetsInitializer.offsets({KafkaTopicPartition(*s): 7 for s in BOTH}), [10, 0]),
        (KafkaOffsetsInitializer.offsets({KafkaTopicPartition(*s): 7 for s in BOTH}, RESETS.LATEST), [20, 5]),
    ],
)
def test_starting_offsets(log: Any, offsets: KafkaOffsetsInitializer, expected: list[int]) -> None:
    assert list(starting(log, BOTH, offsets.params(), "g", 1.0).values()) == expected


@pytest.mark.parametrize(
    ("offsets", "named"),
    [
        (KafkaOffsetsInitializer.committed_offsets(RESETS.NONE), "t/1"),
        (KafkaOffsetsInitializer.offsets({KafkaTopicPartition("t", 1): 9}, RESETS.NONE), "t/0, t/1"),
    ],
)
def test_no_reset_names_the_partitions_and_is_final(log: Any, offsets: KafkaOffsetsInitializer, named: str) -> None:
    with pytest.raises(StartPositionError, match=f"offset for {named}, and the reset strategy is NONE") as failed:
        starting(log, BOTH, offsets.params(), "g", 1.0)
    assert not describe(failed.value).retryable


@pytest.mark.parametrize(
    ("offsets", "expected"),
    [
        (KafkaOffsetsInitializer.latest(), [20, 5]),
        (KafkaOffsetsInitializer.timestamp(1_012), [12, 5]),
        (KafkaOffsetsInitializer.committed_offsets(RESETS.LATEST), [12, 5]),
        (KafkaOffsetsInitializer.offsets({KafkaTopicPartition("t", 1): 99}, RESETS.LATEST), [20, 99]),
    ],
)
def test_stopping_offsets(log: Any, offsets: KafkaOffsetsInitializer, expected: list[int]) -> None:
    assert list(stopping(log, BOTH, offsets.params(), "g", 1.0).values()) == expected


def test_an_end_that_is_not_there_yet_is_waited_for() -> None:
    cluster = SteppedCluster()
    cluster.topic("in", 1, range(3))
    end = KafkaOffsetsInitializer.offsets({KafkaTopicPartition("in", 0): 5})
    job = start(cluster, source().set_topics("in").set_bounded(end).build(), 1)
    job.run(lambda: len(cluster.values("out")) == 3)
    for value in range(3, 9):
        cluster.broker.append("in", str(value).encode(), partition=0)
    job.run()
    assert cluster.values("out") == [0, 1, 2, 3, 4]


def test_a_broker_that_does_not_answer_is_no_missing_offset() -> None:
    cluster = SteppedCluster()
    cluster.topic("t", 1)
    cluster.broker.faults.away = True
    with pytest.raises(LogError):
        starting(cluster.connection, [("t", 0)], {"kind": "committed", "reset": "none"}, "g", 0.1)


# ---- what cannot be decoded

BAD = b"{no json"


def with_bad_records(cluster: SteppedCluster) -> None:
    cluster.topic("in", 2)
    for n in range(60):
        value = BAD if n % 10 == 3 else str(n).encode()
        cluster.broker.append("in", value, partition=n % 2, key=b"k%d" % n, headers=[("origin", b"test")])


def test_a_bad_record_fails_the_job_and_is_named() -> None:
    cluster = SteppedCluster()
    with_bad_records(cluster)
    job = start(cluster, source().set_topics("in").build())
    with pytest.raises(UndecodableRecordError, match=r"in/1 offset 1: .*no json") as failed:
        job.run()
    assert not describe(failed.value).retryable


def test_json_nested_without_end_is_a_bad_record_like_any_other() -> None:
    cluster = SteppedCluster()
    cluster.topic("in", 1)
    cluster.broker.append("in", b"[" * 100_000, partition=0)
    with pytest.raises(UndecodableRecordError, match="in/0 offset 0"):
        start(cluster, source().set_topics("in").build(), 1).run()


@pytest.mark.parametrize(
    "schema",
    [
        JsonDeserializationSchema(ignore_parse_errors=True),
        JsonRowDeserializationSchema.builder()
        .type_info(Types.ROW_NAMED(["n"], [Types.INT()]))
        .ignore_parse_errors()
        .build(),
    ],
)
def test_bad_records_are_left_out_when_told(schema: Any) -> None:
    cluster = SteppedCluster()
    cluster.topic("in", 1)
    for value in (b'{"n": 1}', BAD, b'{"n": 2}'):
        cluster.broker.append("in", value, partition=0)
    built = KafkaSource.builder().set_topics("in").set_value_only_deserializer(schema)
    start(cluster, built.set_bounded(KafkaOffsetsInitializer.latest()).build(), 1).run()
    assert cluster.values("out") == [{"n": 1}, {"n": 2}]


@pytest.mark.parametrize("seed", range(4))
def test_dead_letters_are_whole_and_come_once(seed: int) -> None:
    cluster = SteppedCluster(seed, commit_faults=0.2)
    with_bad_records(cluster)
    cluster.topic("bad", 1)
    built = source().set_topics("in").set_dead_letter_topic("bad").set_bounded(KafkaOffsetsInitializer.latest())
    job = start(cluster, built.build())
    job.run(kill_share=0.1)
    assert sorted(cluster.values("out")) == [n for n in range(60) if n % 10 != 3]
    letters = cluster.broker.read_all("bad", committed=True)
    assert sorted(letter.key() for letter in letters) == [b"k13", b"k23", b"k3", b"k33", b"k43", b"k53"]
    (letter,) = [each for each in letters if each.key() == b"k13"]
    assert letter.value() == BAD
    headers = dict(letter.headers())
    assert headers["origin"] == b"test"
    assert headers["headrace.error.topic"] == b"in"
    assert headers["headrace.error.partition"] == b"1"
    assert headers["headrace.error.offset"] == b"6"
    assert b"malformed" in headers["headrace.error.reason"]
    assert headers["headrace.error.job"] == job.get_job_id().encode()
    assert headers["headrace.error.source"] == b"Source: in"


def test_a_huge_dead_letter_is_cut_and_says_so() -> None:
    cluster = SteppedCluster()
    cluster.topic("in", 1)
    cluster.topic("bad", 1)
    cluster.broker.append("in", b"x" * 999_000, partition=0)
    built = source().set_topics("in").set_dead_letter_topic("bad").set_bounded(KafkaOffsetsInitializer.latest())
    start(cluster, built.build(), 1).run()
    (letter,) = cluster.broker.read_all("bad", committed=True)
    assert len(letter.value()) == 900_000
    assert dict(letter.headers())["headrace.error.value-bytes"] == b"999000"


# ---- what a program may write


@pytest.mark.parametrize(
    ("key", "value", "params"),
    [
        ("fetch.max.wait.ms", "20", {"fetch.wait.max.ms": "20"}),
        ("receive.buffer.bytes", "65536", {"socket.receive.buffer.bytes": "65536"}),
        ("client.rack", "a", {"client.rack": "a"}),
        ("bootstrap.servers", "kafka:9092", {"bootstrap.servers": "kafka:9092"}),
    ],
)
def test_properties_are_passed_under_the_clients_names(key: str, value: str, params: dict[str, str]) -> None:
    assert source().set_topics("in").set_property(key, value).build().params()["properties"] == params


def test_properties_of_our_own() -> None:
    built = (
        source()
        .set_topics("in")
        .set_properties(
            {"group.id": "g", "partition.discovery.interval.ms": "500", "commit.offsets.on.checkpoint": "false"}
        )
    )
    params = built.build().params()
    assert (params["group_id"], params["discovery_interval_ms"], params["commit_offsets"]) == ("g", 500, False)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("fetch.max.bytes", "many", "must be a whole number from 0"),
        ("isolation.level", "read_uncommitted", "open and aborted transactions are never read"),
        ("auto.offset.reset", "latest", "set_starting_offsets"),
        ("sasl.mechanism", "PLAIN", "HEADRACE_KAFKA"),
        ("fetch.max.byte", "1", "these can be set: check.crcs"),
        ("partition.discovery.interval.ms", "5 min", "a whole number of milliseconds"),
    ],
)
def test_properties_that_cannot_be_set_say_why(key: str, value: str, said: str) -> None:
    with pytest.raises(UsageError) as refused:
        source().set_property(key, value)
    assert said in refused.value.line()
    assert "test_kafka_source.py:" in refused.value.message


def test_a_source_reads_one_thing() -> None:
    with pytest.raises(UsageError, match="reads in already"):
        source().set_topics("in").set_topic_pattern("in-.*")


def test_a_pattern_that_is_none() -> None:
    with pytest.raises(UsageError, match="is no regular expression"):
        source().set_topic_pattern("orders-(")


def test_dead_letters_and_leaving_out_exclude_each_other() -> None:
    schema = JsonDeserializationSchema(ignore_parse_errors=True)
    built = KafkaSource.builder().set_topics("in").set_value_only_deserializer(schema).set_dead_letter_topic("bad")
    with pytest.raises(UsageError, match="has a dead letter topic"):
        built.build()


def test_text_as_it_is() -> None:
    cluster = SteppedCluster()
    cluster.topic("in", 1)
    cluster.broker.append("in", "ä".encode(), partition=0)
    built = KafkaSource.builder().set_topics("in").set_value_only_deserializer(SimpleStringSchema())
    start(cluster, built.set_unbounded(KafkaOffsetsInitializer.latest()).build(), 1).run()
    assert cluster.values("out") == ["ä"]
