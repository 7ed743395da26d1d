"""Port of the control plane to its log: keyed records on a few topics, low rate, read to the end.

Implementations: ``control_kafka`` (confluent-kafka in threads behind asyncio), ``control_memory``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class ControlRecord:
    """One record. ``value`` None is a tombstone."""

    topic: str
    partition: int
    offset: int
    key: str
    value: bytes | None
    timestamp_ms: int


class LogUnavailableError(Exception):
    """The log did not answer within the call's deadline. Retrying is safe; an append may have happened."""


class ControlLog(Protocol):
    """One connection to the log; safe to use from any task of one event loop."""

    async def append(
        self, topic: str, partition: int, key: str, value: bytes | None, *, timeout_s: float = 10.0
    ) -> int:
        """Append one record with all replicas' acknowledgement; its offset. Idempotent producer.

        Raises LogUnavailableError after ``timeout_s``; the record may still arrive later.
        """
        ...

    async def partitions(self, topic: str, *, timeout_s: float = 10.0) -> int | None:
        """Partition count, or None when the topic does not exist. Never creates it."""
        ...

    async def end_offset(self, topic: str, partition: int, *, timeout_s: float = 10.0) -> int:
        """The offset the next record will have, asked from the broker now."""
        ...

    async def read(
        self, topic: str, partition: int, start: int, end: int, *, timeout_s: float = 30.0
    ) -> list[ControlRecord]:
        """Every record that still exists with start <= offset < end. ``start`` below the log's start is fine."""
        ...

    def tail(self, topic: str, partition: int, start: int) -> AsyncIterator[ControlRecord]:
        """Records from ``start`` for ever; rides out broker restarts; cancel the consuming task to stop it."""
        ...

    async def ensure_topics(
        self, topics: dict[str, int], config: dict[str, dict[str, str]], *, timeout_s: float = 30.0
    ) -> None:
        """Create what is missing (default replication); an existing topic with that count is success.

        Raises headrace.errors.UsageError ("topic-partitions-differ") when an existing count differs.
        """
        ...

    async def delete_topics(self, names: list[str], *, timeout_s: float = 30.0) -> None:
        """Delete; a topic that is not there is success."""
        ...

    async def close(self) -> None: ...
