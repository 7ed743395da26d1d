"""Which Kafka partitions a source reads, and which of its lanes reads each: the same answer for ever."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from headrace.log.lane import LaneConnection, Split


def lane_of(split: Split, lanes: int) -> int:
    """The lane that owns a partition for the life of an incarnation."""
    topic, partition = split
    return (zlib.crc32(topic.encode()) + partition) % lanes


def split_name(split: Split) -> str:
    return f"{split[0]}/{split[1]}"


def split_of(name: str) -> Split:
    """The inverse of ``split_name``."""
    topic, _, partition = name.rpartition("/")
    return topic, int(partition)


@dataclass(frozen=True)
class Subscription:
    """What one lane of a Kafka source reads. ``internal``: prefix of topics that no pattern means."""

    topics: tuple[str, ...]
    pattern: str | None
    partitions: frozenset[Split] | None
    lane: int
    lanes: int
    internal: str

    @classmethod
    def of(cls, params: Mapping[str, Any], lane: int, lanes: int, internal: str) -> Subscription:
        """From the parameters of a ``kafka_source``."""
        named = params.get("partitions")
        return cls(
            topics=tuple(params.get("topics") or ()),
            pattern=params.get("topic_pattern"),
            partitions=None if named is None else frozenset(map(split_of, named)),
            lane=lane,
            lanes=lanes,
            internal=internal,
        )

    def own(self, counts: Mapping[str, int]) -> list[Split]:
        """This lane's partitions of topics with these partition counts."""
        everything = [(topic, partition) for topic in sorted(counts) for partition in range(counts[topic])]
        return [
            split
            for split in everything
            if lane_of(split, self.lanes) == self.lane and (self.partitions is None or split in self.partitions)
        ]

    def existing(self, connection: LaneConnection, timeout_s: float) -> dict[str, int]:
        """The topics that there are now, with their partition counts. Raises LogError."""
        if self.pattern is not None:
            fits = re.compile(self.pattern).fullmatch
            counts = connection.topics(timeout_s)
            return {topic: count for topic, count in counts.items() if not self._is_internal(topic) and fits(topic)}
        asked = {topic: connection.partitions(topic, timeout_s) for topic in self.topics}
        return {topic: count for topic, count in asked.items() if count is not None}

    def _is_internal(self, topic: str) -> bool:
        return topic.startswith(("__", self.internal))


def names(splits: Iterable[Split]) -> str:
    """For people: a few of them."""
    shown = [split_name(split) for split in splits]
    return ", ".join(shown[:10]) + (f" and {len(shown) - 10} more" if len(shown) > 10 else "")
