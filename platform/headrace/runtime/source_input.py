"""Inputs of source lanes: Kafka splits, and collections that travel with the job."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from operator import methodcaller
from typing import Any

from headrace.log.lane import LaneConnection, Message, Split
from headrace.protocol.data import LaneLogRecord
from headrace.runtime.operators.formats import Decode, locate
from headrace.runtime.ports import MAX_WATERMARK, MIN_WATERMARK, Chain
from headrace.runtime.split_idleness import SplitIdleness


def splits_of(partitions: Mapping[str, int], lane: int, lanes: int) -> list[Split]:
    """The Kafka partitions a source lane owns for the life of an incarnation."""
    return [
        (topic, partition)
        for topic in sorted(partitions)
        for partition in range(partitions[topic])
        if (zlib.crc32(topic.encode()) + partition) % lanes == lane
    ]


def split_name(split: Split) -> str:
    return f"{split[0]}/{split[1]}"


_topic_of, _partition_of = methodcaller("topic"), methodcaller("partition")


class StartPositionError(Exception):
    """A start or stop position of a Kafka source cannot be resolved."""


class KafkaInput:
    """The Kafka partitions of one source lane: decoded in batches, one watermark per partition."""

    messages_max = 4_000

    def __init__(
        self,
        splits: Sequence[Split],
        params: Mapping[str, Any],
        decode: Decode,
    ) -> None:
        """``decode`` turns the values of a batch into records."""
        self._splits = list(splits)
        self._params = params
        self._decode = decode
        self._chain: Chain | None = None
        self._positions: dict[str, int] = {}
        self._stops: dict[str, int] = {}
        watermark = params.get("watermark") or {}
        self._idleness = SplitIdleness(watermark.get("idleness_ms") or 0)

    def resolve(self, connection: LaneConnection, record: LaneLogRecord, timeout_s: float) -> None:
        starts = self._resolve_positions(connection, self._params["starting"], timeout_s)
        record.positions = {split_name(s): offset for s, offset in starts.items()}
        if self._params.get("bounded"):
            stops = self._resolve_positions(connection, self._params["bounded"], timeout_s)
            record.stops = {split_name(s): offset for s, offset in stops.items()}

    def _resolve_positions(
        self, connection: LaneConnection, rule: Mapping[str, Any], timeout_s: float
    ) -> dict[Split, int]:
        kind = rule["kind"]
        if kind == "timestamp":
            return dict(connection.offsets_for_time(self._splits, int(rule["timestamp_ms"]), timeout_s))
        if kind in ("earliest", "latest"):
            return {s: connection.bounds(*s, timeout_s)[kind == "latest"] for s in self._splits}
        if kind == "offsets":
            given: Mapping[str, int] = rule.get("offsets") or {}
        elif kind == "committed":
            hints = connection.hints(str(self._params.get("group_id") or ""), self._splits, timeout_s)
            given = {split_name(s): offset for s, (offset, _) in hints.items()}
        else:
            raise StartPositionError(f"unknown position rule {kind!r}")
        reset = rule.get("reset", "earliest")
        missing = [s for s in self._splits if split_name(s) not in given]
        if missing and reset == "none":
            raise StartPositionError(f"no {kind} offset for {', '.join(map(split_name, missing))}")
        fallback = {s: connection.bounds(*s, timeout_s)[reset == "latest"] for s in missing}
        return {s: fallback[s] if s in fallback else given[split_name(s)] for s in self._splits}

    def restore(self, record: LaneLogRecord) -> None:
        self._positions = dict(record.positions)
        self._stops = dict(record.stops)

    def record_into(self, record: LaneLogRecord) -> None:
        record.positions = dict(self._positions)
        record.stops = dict(self._stops)
        if self._chain is not None:
            record.split_watermarks = self._chain.split_watermarks()

    def attach(self, chain: Chain) -> None:
        """The chain whose watermark generators follow this input."""
        self._chain = chain

    def assignment(self) -> Mapping[Split, int]:
        return {
            s: self._positions[split_name(s)]
            for s in self._splits
            if self._positions[split_name(s)] < self._stops.get(split_name(s), MAX_WATERMARK)
        }

    def process(self, messages: Sequence[Message], chain: Chain) -> int:
        if not messages:
            return 0
        total = 0
        for split, group in _by_split(messages):
            total += self._process_split(split, group, chain)
        return total

    def _process_split(self, split: str, messages: Sequence[Message], chain: Chain) -> int:
        stop = self._stops.get(split)
        if stop is not None and messages[-1].offset() >= stop:
            messages = [m for m in messages if m.offset() < stop]
            if not messages:
                return 0
        raw = [m.value() for m in messages]
        try:
            values = self._decode(raw)
        except (ValueError, TypeError) as error:
            raise locate(self._decode, raw, split, [m.offset() for m in messages]) from error
        times = [m.timestamp()[1] for m in messages]
        chain.process_source(values, times, split)
        self._positions[split] = messages[-1].offset() + 1
        self._idleness.heard(split)
        return len(messages)

    def watermark(self, now_s: float) -> int:
        if self._chain is None or not self._splits:
            return MIN_WATERMARK
        names = [split_name(s) for s in self._splits]
        idle = self._idleness.idle(names, now_s)
        known = self._chain.split_watermarks()
        return min((known.get(name, MIN_WATERMARK) for name in names if name not in idle), default=MIN_WATERMARK)

    def idle(self, now_s: float) -> bool:
        names = [split_name(s) for s in self._splits]
        return len(self._idleness.idle(names, now_s)) == len(names)

    def ended(self, end_offsets: Mapping[Split, int]) -> bool:
        if not self._params.get("bounded"):
            return False
        return all(
            max(self._positions[split_name(s)], end_offsets.get(s, -1)) >= self._stops[split_name(s)]
            for s in self._splits
        )

    def lag(self, end_offsets: Mapping[Split, int]) -> int | None:
        known = [max(0, end - self._positions[split_name(s)]) for s, end in end_offsets.items() if end >= 0]
        return sum(known) if known else None

    def wait_s(self) -> float:
        return math.inf

    def close(self) -> None: ...


def _by_split(messages: Sequence[Message]) -> list[tuple[str, Sequence[Message]]]:
    """Messages grouped by split, order kept within each; the common case of one split is not copied."""
    topics = set(map(_topic_of, messages))
    partitions = list(map(_partition_of, messages))
    if len(topics) == 1:
        topic = topics.pop()
        if partitions.count(partitions[0]) == len(partitions):
            return [(f"{topic}/{partitions[0]}", messages)]
        by_partition: dict[int, list[Message]] = {partition: [] for partition in set(partitions)}
        for message, partition in zip(messages, partitions, strict=True):
            by_partition[partition].append(message)
        return [(f"{topic}/{partition}", group) for partition, group in by_partition.items()]
    groups: dict[Split, list[Message]] = {}
    for message, partition in zip(messages, partitions, strict=True):
        groups.setdefault((message.topic(), partition), []).append(message)
    return [(split_name(split), group) for split, group in groups.items()]


class CollectionInput:
    """Items that travel with the job, read by lane 0; the position is the index of the next item."""

    messages_max = 1
    SPLIT = "collection"
    SLICE = 1_000

    def __init__(self, items: Sequence[Any], lane: int) -> None:
        self._items = items if lane == 0 else ()
        self._position = 0
        self._chain: Chain | None = None

    def attach(self, chain: Chain) -> None:
        self._chain = chain

    def resolve(self, connection: LaneConnection, record: LaneLogRecord, timeout_s: float) -> None:
        record.positions = {self.SPLIT: 0}

    def restore(self, record: LaneLogRecord) -> None:
        self._position = record.positions.get(self.SPLIT, 0)

    def record_into(self, record: LaneLogRecord) -> None:
        record.positions = {self.SPLIT: self._position}
        if self._chain is not None:
            record.split_watermarks = self._chain.split_watermarks()

    def assignment(self) -> Mapping[Split, int]:
        return {}

    def process(self, messages: Sequence[Message], chain: Chain) -> int:
        """Feeds the next slice; there are no messages."""
        batch = self._items[self._position : self._position + self.SLICE]
        if batch:
            chain.process_source(batch, [None] * len(batch), self.SPLIT)
            self._position += len(batch)
        return len(batch)

    def watermark(self, now_s: float) -> int:
        if self._chain is None or not self._items:
            return MIN_WATERMARK
        return self._chain.split_watermarks().get(self.SPLIT, MIN_WATERMARK)

    def idle(self, now_s: float) -> bool:
        return not self._items

    def ended(self, end_offsets: Mapping[Split, int]) -> bool:
        return self._position >= len(self._items)

    def lag(self, end_offsets: Mapping[Split, int]) -> int | None:
        return len(self._items) - self._position

    def wait_s(self) -> float:
        return math.inf

    def close(self) -> None: ...
