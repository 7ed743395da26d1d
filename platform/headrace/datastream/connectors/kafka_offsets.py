"""Where a Kafka source starts to read, and where a bounded one ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from headrace.common.call_site import wrong

__all__ = ["KafkaOffsetResetStrategy", "KafkaOffsetsInitializer", "KafkaTopicPartition"]


class KafkaOffsetResetStrategy(StrEnum):
    """Where to start when there is no committed offset for a partition, or one whose record is gone."""

    EARLIEST = "earliest"
    LATEST = "latest"
    NONE = "none"  #: the job fails, naming the partitions


@dataclass(frozen=True)
class KafkaTopicPartition:
    """A partition of a topic."""

    topic: str
    partition: int


@dataclass(frozen=True)
class KafkaOffsetsInitializer:
    """A position for each partition, resolved once, when the job's lane first starts. Make one by its methods.

    After that the job goes on from where it was: a committed offset of the group is looked at only once.
    """

    kind: str
    timestamp_ms: int | None = None
    partition_offsets: Mapping[KafkaTopicPartition, int] = field(default_factory=dict)
    reset: KafkaOffsetResetStrategy = KafkaOffsetResetStrategy.EARLIEST

    @classmethod
    def earliest(cls) -> KafkaOffsetsInitializer:
        """The oldest record that Kafka still has."""
        return cls("earliest")

    @classmethod
    def latest(cls) -> KafkaOffsetsInitializer:
        """The end of the partition at the job's first start."""
        return cls("latest", reset=KafkaOffsetResetStrategy.LATEST)

    @classmethod
    def committed_offsets(
        cls, offset_reset_strategy: KafkaOffsetResetStrategy = KafkaOffsetResetStrategy.EARLIEST
    ) -> KafkaOffsetsInitializer:
        """The offset committed by the source's consumer group, and without one what the strategy says."""
        return cls("committed", reset=_checked_reset(offset_reset_strategy))

    @classmethod
    def timestamp(cls, timestamp: int) -> KafkaOffsetsInitializer:
        """The first record whose own time is ``timestamp`` (ms) or later."""
        if type(timestamp) is not int or timestamp < 0:
            raise wrong(f"timestamp() takes milliseconds since 1970, a whole number, not {timestamp!r:.60}")
        return cls("timestamp", timestamp_ms=timestamp)

    @classmethod
    def offsets(
        cls,
        offsets: Mapping[KafkaTopicPartition, int],
        offset_reset_strategy: KafkaOffsetResetStrategy = KafkaOffsetResetStrategy.EARLIEST,
    ) -> KafkaOffsetsInitializer:
        """These offsets; partitions that are not named, or offsets out of range, follow the strategy."""
        for partition, offset in offsets.items():
            if not isinstance(partition, KafkaTopicPartition):
                raise wrong(f"offsets() maps KafkaTopicPartition to offset; {partition!r:.80} is none")
            if type(offset) is not int or offset < 0:
                split = f"{partition.topic}/{partition.partition}"
                raise wrong(f"the offset of {split} must be a whole number from 0, not {offset!r:.60}")
        return cls("offsets", partition_offsets=dict(offsets), reset=_checked_reset(offset_reset_strategy))

    def params(self) -> dict[str, Any]:
        """The initializer as it stands in a JobGraph."""
        params: dict[str, Any] = {"kind": self.kind, "reset": self.reset.value}
        if self.timestamp_ms is not None:
            params["timestamp_ms"] = self.timestamp_ms
        if self.kind == "offsets":
            params["offsets"] = {f"{p.topic}/{p.partition}": n for p, n in self.partition_offsets.items()}
        return params


def _checked_reset(strategy: KafkaOffsetResetStrategy) -> KafkaOffsetResetStrategy:
    if not isinstance(strategy, KafkaOffsetResetStrategy):
        raise wrong(f"an offset reset strategy is a KafkaOffsetResetStrategy, such as LATEST, not {strategy!r:.60}")
    return strategy
