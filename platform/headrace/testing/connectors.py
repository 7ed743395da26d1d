"""The contract of PollingSource as tests: derive from it in a test module, and give the source.

    class TestMySource(SourceConformance):
        def source(self):
            return MySource(...)        # with an end, and with some dozens of records or more

The tests read splits directly in a time of their own, and run a job on the memory log whose lanes are killed and
whose commits fail (headrace.testing.stepped).
"""

from __future__ import annotations

import pickle
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from headrace.common.watermark_strategy import WatermarkStrategy
from headrace.datastream import StreamExecutionEnvironment
from headrace.datastream.connectors.kafka import KafkaRecordSerializationSchema, KafkaSink
from headrace.datastream.connectors.polling import Batch, PollingSource, SplitReader
from headrace.datastream.execution import executor_installed
from headrace.datastream.formats.json import JsonSerializationSchema
from headrace.testing.stepped import SteppedCluster

START_MS = 1_700_000_000_000
BATCH_RECORDS_MAX = 10_000
POSITION_BYTES_MAX = 4_096
CALLS_MAX = 100_000
SEEDS = range(5)


@dataclass(frozen=True)
class Read:
    """A batch with records, and the time it was read at."""

    batch: Batch
    at_ms: int


class SourceConformance(ABC):
    """``lanes``: in how many the source is tested. ``repeatable``: the same position gives the same records again."""

    lanes = 3
    repeatable = True

    @abstractmethod
    def source(self) -> PollingSource:
        """A source as users make it, that ends; asked for anew by each test."""

    def identity(self, record: Any) -> Any:
        """What tells a record from all others, when it cannot be repeated; for sources that are not repeatable."""
        return repr(record)

    # ---- splits

    def test_the_source_travels_by_pickle(self) -> None:
        source = self.source()
        copy = pickle.loads(pickle.dumps(source))
        assert sorted(copy.splits(self.lanes)) == sorted(source.splits(self.lanes))

    def test_splits_are_the_same_for_every_lane(self) -> None:
        one, other = list(self.source().splits(self.lanes)), list(self.source().splits(self.lanes))
        assert one, "a source without splits cannot be tested"
        assert sorted(one) == sorted(other)
        assert len(set(one)) == len(one), "two splits of one name"
        assert all(type(split) is str and split for split in one)

    def test_every_split_has_one_lane(self) -> None:
        one, other = self.source(), self.source()
        for split in one.splits(self.lanes):
            assert 0 <= one.lane_of(split, self.lanes) < self.lanes
            assert one.lane_of(split, self.lanes) == other.lane_of(split, self.lanes)

    # ---- reading

    def test_batches_are_small_and_whole(self) -> None:
        for reads in self._all().values():
            for read in reads:
                batch = read.batch
                assert len(batch.records) <= BATCH_RECORDS_MAX
                assert batch.times is None or len(batch.times) == len(batch.records)

    def test_positions_are_small_values_that_pickle_keeps(self) -> None:
        for reads in self._all().values():
            for read in reads:
                data = pickle.dumps(read.batch.position)
                assert len(data) <= POSITION_BYTES_MAX
                assert pickle.loads(data) == read.batch.position

    def test_a_position_moves_with_every_batch_that_has_records(self) -> None:
        for split, reads in self._all().items():
            positions = [repr(read.batch.position) for read in reads]
            assert len(set(positions)) == len(positions), f"split {split} came back to a position"

    def test_reading_goes_on_at_every_position(self) -> None:
        for split, reads in self._all().items():
            for number, read in list(enumerate(reads))[:: max(1, len(reads) // 5)]:
                rest = list(self._read(split, read.batch.position, read.at_ms))
                if self.repeatable:
                    expected = [record for later in reads[number + 1 :] for record in later.batch.records]
                    assert [record for later in rest for record in later.batch.records] == expected
                else:
                    assert len(rest) == len(reads) - number - 1
                    before = {self.identity(r) for earlier in reads[: number + 1] for r in earlier.batch.records}
                    assert before.isdisjoint(self.identity(r) for later in rest for r in later.batch.records)

    def test_an_end_stays_an_end(self) -> None:
        source = self.source()
        for split, reads in self._all().items():
            position = reads[-1].batch.position if reads else None
            reader, now_ms = source.open(split, position), START_MS
            while reader.next_batch(now_ms) is not None:
                now_ms = _later(reader, now_ms)
            assert reader.next_batch(now_ms + 1_000) is None
            reader.close()

    def test_being_asked_too_early_loses_nothing(self) -> None:
        if not self.repeatable:
            return
        for split, reads in self._all().items():
            expected = [record for read in reads for record in read.batch.records]
            impatient = list(self._read(split, None, START_MS, step_ms=1, heed_awake=False))
            found = [record for read in impatient for record in read.batch.records]
            assert found == expected[: len(found)]
            assert found or not expected

    # ---- in lanes

    def test_a_job_has_every_record_once_whatever_fails(self) -> None:
        for seed in SEEDS:
            cluster = SteppedCluster(seed, commit_faults=0.15)
            cluster.topic("out")
            env = StreamExecutionEnvironment.get_execution_environment().set_parallelism(self.lanes)
            stream = env.from_source(
                self.source(), WatermarkStrategy.for_monotonous_timestamps(), "source under test"
            )
            stream.map(self.identity if not self.repeatable else repr).sink_to(_to_out())
            with executor_installed(cluster):
                env.execute()
            cluster.jobs[-1].run(kill_share=0.05)
            found = Counter(cluster.values("out"))
            assert [record for record, times in found.items() if times > 1 and not self.repeatable] == []
            expected = Counter(
                repr(r) for reads in self._all().values() for read in reads for r in read.batch.records
            )
            if self.repeatable:
                assert found == expected
            else:
                assert found.total() == expected.total()

    # ---- how splits are read here

    def _all(self) -> dict[str, list[Read]]:
        source = self.source()
        return {split: list(self._read(split, None, START_MS)) for split in source.splits(self.lanes)}

    def _read(
        self, split: str, position: Any, now_ms: int, *, step_ms: int = 1, heed_awake: bool = True
    ) -> Iterator[Read]:
        reader = self.source().open(split, position)
        try:
            for _ in range(CALLS_MAX if heed_awake else 100):
                batch = reader.next_batch(now_ms)
                if batch is None:
                    return
                if len(batch.records):
                    yield Read(batch, now_ms)
                now_ms = _later(reader, now_ms) if heed_awake else now_ms + step_ms
            assert not heed_awake, f"split {split} does not end"
        finally:
            reader.close()


def _later(reader: SplitReader, now_ms: int) -> int:
    return max(now_ms + 1, reader.next_awake() or 0)


def _to_out() -> KafkaSink:
    builder = KafkaRecordSerializationSchema.builder().set_topic("out")
    schema = builder.set_value_serialization_schema(JsonSerializationSchema()).build()
    return KafkaSink.builder().set_record_serializer(schema).build()
