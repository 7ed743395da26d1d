"""Number sequences and generated records: every number once, whatever dies; at the rate asked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from headrace.common import WatermarkStrategy
from headrace.datastream import MapFunction, StreamExecutionEnvironment
from headrace.datastream.connectors.base import Source
from headrace.datastream.connectors.datagen import DataGeneratorSource, RateLimiterStrategy
from headrace.datastream.connectors.discarding import DiscardingSink
from headrace.datastream.connectors.kafka import KafkaRecordSerializationSchema, KafkaSink
from headrace.datastream.connectors.number_seq import NumberSequenceSource
from headrace.datastream.execution import executor_installed
from headrace.datastream.formats.json import JsonSerializationSchema
from headrace.errors import UsageError
from headrace.runtime import sequence_source
from headrace.runtime.ports import UserCodeError
from headrace.runtime.sequence_source import SequenceReader
from headrace.testing.stepped import SteppedCluster, SteppedJob


def to_out() -> KafkaSink:
    schema = (
        KafkaRecordSerializationSchema.builder()
        .set_topic("out")
        .set_value_serialization_schema(JsonSerializationSchema())
        .build()
    )
    return KafkaSink.builder().set_record_serializer(schema).build()


def started(cluster: SteppedCluster, source: Source, parallelism: int = 3) -> SteppedJob:
    cluster.topic("out")
    env = StreamExecutionEnvironment.get_execution_environment().set_parallelism(parallelism)
    env.from_source(source, WatermarkStrategy.no_watermarks(), "numbers").sink_to(to_out())
    with executor_installed(cluster):
        env.execute()
    return cluster.jobs[-1]


@pytest.mark.parametrize(("start", "end", "parallelism"), [(1, 5000, 3), (-3, 3, 2), (7, 7, 4), (0, 10_000, 1)])
def test_a_sequence_has_every_number_once(start: int, end: int, parallelism: int) -> None:
    cluster = SteppedCluster()
    started(cluster, NumberSequenceSource(start, end), parallelism).run()
    assert sorted(cluster.values("out")) == list(range(start, end + 1))


@pytest.mark.parametrize("seed", range(8))
def test_kills_and_failing_commits_leave_every_number_once(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sequence_source, "BATCH_MAX", 20)
    cluster = SteppedCluster(seed, commit_faults=0.2)
    job = started(cluster, NumberSequenceSource(1, 3_000))
    job.run(kill_share=0.1)
    assert sorted(cluster.values("out")) == list(range(1, 3_001))
    assert job.kills > 0


def test_numbers_of_a_lane_come_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sequence_source, "BATCH_MAX", 20)
    cluster = SteppedCluster(3, commit_faults=0.1)
    started(cluster, NumberSequenceSource(0, 2_000), 2).run(kill_share=0.05)
    values = cluster.values("out")
    for lane in range(2):
        mine = [value for value in values if value % 2 == lane]
        assert mine == sorted(mine)


class Square(MapFunction):
    def map(self, value: int) -> int:
        return value * value


@pytest.mark.parametrize("generator", [Square(), lambda index: index * index])
def test_generated_records(generator: Any) -> None:
    cluster = SteppedCluster()
    started(cluster, DataGeneratorSource(generator, 2_500)).run()
    assert sorted(cluster.values("out")) == [index * index for index in range(2_500)]


def test_an_error_of_the_generator_is_laid_at_its_door() -> None:
    job = started(SteppedCluster(), DataGeneratorSource(lambda index: 1 // (index - 3), 10), 1)
    with pytest.raises(UserCodeError) as failed:
        job.run()
    assert failed.value.operator == "Source: numbers"


def test_a_rate_is_the_whole_jobs_and_has_no_end() -> None:
    cluster = SteppedCluster()
    began_ms = cluster.time.now_ms()
    job = started(cluster, DataGeneratorSource(lambda i: i, None, RateLimiterStrategy.per_second(200)), 4)
    job.run(lambda: cluster.time.now_ms() - began_ms >= 30_000)
    assert 200 * 28 <= len(cluster.values("out")) <= 200 * 30 + 4
    assert not job.finished()


@pytest.fixture
def reader() -> Iterator[SequenceReader]:
    yield SequenceReader(0, None, 1, 10.0)


def made(reader: SequenceReader, now_ms: int) -> list[int]:
    batch = reader.next_batch(now_ms)
    assert batch is not None
    return list(batch.records)


def test_rate_of_a_reader(reader: SequenceReader) -> None:
    assert made(reader, 1_000) == [0]
    assert reader.next_awake() == 1_100
    assert made(reader, 1_099) == []
    assert made(reader, 1_100) == [1]
    assert made(reader, 1_450) == [2, 3, 4]
    assert reader.next_awake() == 1_500


def test_a_reader_that_fell_behind_makes_up_for_a_second_only(reader: SequenceReader) -> None:
    assert made(reader, 0) == [0]
    assert len(made(reader, 60_000)) == 11
    assert made(reader, 60_050) == []
    assert len(made(reader, 60_100)) == 1


@pytest.mark.parametrize("rate", [0.3, 7.0, 333.3, 99_999.9])
def test_a_reader_always_has_something_at_the_time_it_named(rate: float) -> None:
    reader, now_ms = SequenceReader(0, None, 1, rate), 1_700_000_000_000
    for _ in range(500):
        assert made(reader, now_ms)
        now_ms = max(now_ms, reader.next_awake() or 0)


def test_discarded_records_are_counted_and_gone() -> None:
    cluster = SteppedCluster()
    env = StreamExecutionEnvironment.get_execution_environment().set_parallelism(2)
    source = NumberSequenceSource(1, 5_000)
    env.from_source(source, WatermarkStrategy.no_watermarks(), "numbers").map(str).sink_to(DiscardingSink())
    with executor_installed(cluster):
        env.execute()
    cluster.jobs[-1].run()
    assert sum(lane.records_in for lane in cluster.jobs[-1].lanes.values()) == 5_000


def test_elements() -> None:
    cluster = SteppedCluster()
    env = StreamExecutionEnvironment.get_execution_environment()
    env.from_elements("a", "b").print()
    with executor_installed(cluster):
        env.execute()
    cluster.jobs[-1].run()
    assert cluster.printed == ["a", "b"]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: NumberSequenceSource(2, 1),
        lambda: NumberSequenceSource(0, 1.5),  # type: ignore[arg-type]
        lambda: DataGeneratorSource(3),  # type: ignore[arg-type]
        lambda: DataGeneratorSource(lambda i: i, 0),
        lambda: RateLimiterStrategy.per_second(0),
        lambda: RateLimiterStrategy.per_second(float("nan")),
    ],
)
def test_what_cannot_work_is_refused_where_it_is_written(wrong: Any) -> None:
    with pytest.raises(UsageError, match=r"test_sequences\.py:\d+"):
        wrong()
