"""Input of a source lane that reads Kafka: its partitions, decoded in batches, one watermark for each.

A lane owns a partition for life (kafka_splits). Those of its first start are in its first commit; one that is found
later is read from its beginning and is in the next commit.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from operator import methodcaller
from typing import Any

from headrace.errors import UsageError
from headrace.log.lane import LaneConnection, Message, Split
from headrace.protocol.data import LaneLogRecord
from headrace.runtime import kafka_positions
from headrace.runtime.eventtime.held import in_words
from headrace.runtime.kafka_splits import Subscription, split_name, split_of
from headrace.runtime.operators.formats import REFUSALS, Decode
from headrace.runtime.ports import MAX_WATERMARK, MIN_WATERMARK, Chain
from headrace.runtime.reading import Fetching
from headrace.runtime.split_idleness import SplitIdleness
from headrace.runtime.undecodable import Undecodable

#: Between two looks for new partitions, as in Flink.
DISCOVERY_INTERVAL_MS = 300_000
#: The broker holds less than so many bytes back for so long: producers with many small batches would cost it an
#: answer each. At least once, records are on their way to the sink meanwhile, and not only waiting for a commit.
GATHER_BYTES, GATHER_MS, DIRECT_GATHER_MS = 65_536, 15, 6
CALL_TIMEOUT_S = 5.0

_partition_of = methodcaller("partition")


class KafkaInput:
    """See Inputs. ``discover`` alone is called from another thread than the lane's."""

    messages_max = 4_000

    def __init__(
        self,
        subscription: Subscription,
        splits: Sequence[Split],
        params: Mapping[str, Any],
        decode: Decode,
        undecodable: Undecodable,
        *,
        group: str,
        clock_s: Callable[[], float],
        direct: bool = False,
    ) -> None:
        """``splits``: this lane's partitions as of the job's start, none for a pattern.

        ``decode`` turns the values of a batch into records. ``group``: whose committed offsets are meant.
        """
        properties: Mapping[str, str] = params.get("properties") or {}
        options = {name: value for name, value in properties.items() if name != "bootstrap.servers"}
        self.fetching = (
            Fetching(wait_ms=DIRECT_GATHER_MS, gather_bytes=GATHER_BYTES, options=options)
            if direct
            else Fetching(wait_ms=GATHER_MS, gather_bytes=GATHER_BYTES, options=options)
        )
        self._subscription = subscription
        self._splits = list(splits)
        self._params = params
        self._decode = decode
        self._undecodable = undecodable
        self._group = group
        self._chain: Chain | None = None
        self._positions: dict[str, int] = {}
        self._stops: dict[str, int] = {}
        watermark = params.get("watermark") or {}
        self._idleness = SplitIdleness(watermark.get("idleness_ms") or 0)
        self._later: dict[Split, int] = {}  #: found after the start, with their first offsets
        self._found: deque[dict[Split, int]] = deque()  #: found, and not taken up yet
        self._discovery_s = self._discovery_interval_s()
        self._clock_s = clock_s
        self._discover_s = clock_s() + self._discovery_s

    def _discovery_interval_s(self) -> float:
        given = self._params.get("discovery_interval_ms")
        interval_ms = DISCOVERY_INTERVAL_MS if given is None else given
        fixed = bool(self._params.get("bounded")) or self._subscription.partitions is not None
        return math.inf if fixed or interval_ms <= 0 else interval_ms / 1000

    def attach(self, chain: Chain) -> None:
        """The chain whose watermark generators follow this input."""
        self._chain = chain

    # ---- positions

    def resolve(self, connection: LaneConnection, record: LaneLogRecord, timeout_s: float) -> None:
        if self._subscription.pattern is not None:
            topics = self._subscription.existing(connection, timeout_s)
            if not topics:
                raise UsageError(
                    "topic-pattern-empty",
                    f"no topic fits the pattern {self._subscription.pattern!r}",
                    hint="create the first of them, or correct the pattern: it is matched with whole names",
                )
            self._splits = self._subscription.own(topics)
        starts = kafka_positions.starting(connection, self._splits, self._params["starting"], self._group, timeout_s)
        record.positions = {split_name(s): offset for s, offset in starts.items()}
        if self._params.get("bounded"):
            stops = kafka_positions.stopping(
                connection, self._splits, self._params["bounded"], self._group, timeout_s
            )
            record.stops = {split_name(s): offset for s, offset in stops.items()}

    def restore(self, record: LaneLogRecord) -> None:
        later = {split_name(split): offset for split, offset in self._later.items()}
        self._positions = {**later, **record.positions}
        self._splits = [split_of(name) for name in self._positions]
        self._stops = dict(record.stops)

    def record_into(self, record: LaneLogRecord) -> None:
        record.positions = dict(self._positions)
        record.stops = dict(self._stops)
        if self._chain is not None:
            record.split_watermarks = self._chain.split_watermarks()

    @property
    def splits(self) -> list[Split]:
        """Partitions that are read; any thread."""
        return list(self._splits)

    def assignment(self) -> Mapping[Split, int]:
        return {
            s: self._positions[split_name(s)]
            for s in self._splits
            if self._positions[split_name(s)] < self._stops.get(split_name(s), MAX_WATERMARK)
        }

    # ---- partitions that come later

    def discover(self, connection: LaneConnection) -> None:
        """Look for new partitions when it is time to; the lane takes them up in its next turn. Raises LogError."""
        if self._clock_s() < self._discover_s:
            return
        known = {*self._splits, *(split for found in self._found for split in found)}
        counts = self._subscription.existing(connection, CALL_TIMEOUT_S)
        new = [split for split in self._subscription.own(counts) if split not in known]
        if new:
            self._found.append({split: connection.bounds(*split, CALL_TIMEOUT_S)[0] for split in new})
        self._discover_s = self._clock_s() + self._discovery_s

    def took_up_splits(self) -> bool:
        if not self._found:
            return False
        while self._found:
            found = self._found.popleft()
            new = {split: offset for split, offset in found.items() if split_name(split) not in self._positions}
            self._later.update(new)
            self._positions.update({split_name(split): offset for split, offset in new.items()})
            self._splits = [*self._splits, *new]
        return True

    # ---- records

    def process(self, messages: Sequence[Message], chain: Chain) -> int:
        if not messages:
            return 0
        total = 0
        topics = {topic for topic, _ in self._splits}
        for split, group in _by_split(messages, topics.pop() if len(topics) == 1 else None):
            total += self._process_split(split, group, chain)
        return total

    def _process_split(self, split: str, messages: Sequence[Message], chain: Chain) -> int:
        stop = self._stops.get(split)
        if stop is not None and messages[-1].offset() >= stop:
            messages = [m for m in messages if m.offset() < stop]
            self._positions[split] = stop
            if not messages:
                return 0
        try:
            values = self._decode([m.value() for m in messages])
        except REFUSALS:
            values = self._undecodable.values(self._decode, messages, split)
        times = [m.timestamp()[1] for m in messages]
        chain.process_source(values, times, split)
        self._positions[split] = max(self._positions[split], messages[-1].offset() + 1)
        self._idleness.heard(split)
        return len(messages)

    # ---- event time and the end

    def watermark(self, now_s: float) -> int:
        if self._chain is None or not self._splits:
            return MIN_WATERMARK
        names = [name for name in map(split_name, self._splits) if not self._over(name)]
        idle = self._idleness.idle(names, now_s)
        known = self._chain.split_watermarks()
        return min((known.get(name, MIN_WATERMARK) for name in names if name not in idle), default=MIN_WATERMARK)

    def idle(self, now_s: float) -> bool:
        names = [name for name in map(split_name, self._splits) if not self._over(name)]
        return len(self._idleness.idle(names, now_s)) == len(names)

    def _over(self, name: str) -> bool:
        """A bounded split that was read to its stop holds nothing back."""
        return self._positions[name] >= self._stops.get(name, MAX_WATERMARK)

    def holding(self, end_offsets: Mapping[Split, int]) -> str:
        if self._chain is None or not self._params.get("watermark"):
            return ""  # nobody asked for watermarks
        known = self._chain.split_watermarks()
        open_splits = [split for split in self._splits if not self._over(split_name(split))]
        idle = self._idleness.idle(list(map(split_name, open_splits)), self._clock_s())
        open_splits = [split for split in open_splits if split_name(split) not in idle]
        watermarks = {split: known.get(split_name(split), MIN_WATERMARK) for split in open_splits}
        least = min(watermarks.values(), default=MAX_WATERMARK)
        holders = sorted(split for split, watermark in watermarks.items() if watermark == least)
        if not holders:
            return ""
        topic, partition = holders[0]
        at_end = self._positions[split_name(holders[0])] >= end_offsets.get(holders[0], MAX_WATERMARK)
        heard = "no record yet" if least == MIN_WATERMARK else f"at {in_words(least)}"
        more = f", and {len(holders) - 1} more" if len(holders) > 1 else ""
        advice = "" if self._idleness.on or not at_end else " (WatermarkStrategy.with_idleness lets the others go on)"
        return f"{'idle ' if at_end else ''}partition {partition} of topic {topic}: {heard}{more}{advice}"

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


def _by_split(messages: Sequence[Message], topic: str | None) -> list[tuple[str, Sequence[Message]]]:
    """Messages grouped by split, order kept within each; the common case of one split is not copied.

    ``topic``: the one that all are from, None when there may be several.
    """
    partitions = list(map(_partition_of, messages))
    if topic is not None:
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
