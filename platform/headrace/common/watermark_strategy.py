"""Where event time comes from, and how far it may be trusted.

A watermark of t says that no value with an event time of t or less is expected any more; windows and timers
up to t fire then. Values that come later anyway are late.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from headrace.common.call_site import wrong
from headrace.common.time import Duration

__all__ = ["TimestampAssigner", "WatermarkStrategy"]


class TimestampAssigner(ABC):
    """Gives values their event time."""

    @abstractmethod
    def extract_timestamp(self, value: Any, record_timestamp: int) -> int:
        """Event time of ``value`` in ms since 1970 in UTC.

        ``record_timestamp`` is the time the value had before: the Kafka record's own, or the event time given
        upstream; -2**63 when it has none.
        """


@dataclass(frozen=True)
class WatermarkStrategy:
    """How a stream makes watermarks; make one with the ``for_*`` methods. Immutable: ``with_*`` give new ones."""

    kind: str | None
    delay_ms: int = 0
    idleness_ms: int | None = None
    assigner: TimestampAssigner | Callable[[Any, int], int] | None = None

    @classmethod
    def for_monotonous_timestamps(cls) -> WatermarkStrategy:
        """Event times only rise (within each Kafka partition): the watermark is just below the last one."""
        return cls("monotonous")

    @classmethod
    def for_bounded_out_of_orderness(cls, max_out_of_orderness: Duration) -> WatermarkStrategy:
        """Values come at most so long after a later one: the watermark follows the greatest event time less that."""
        if not isinstance(max_out_of_orderness, Duration):
            raise wrong(
                f"for_bounded_out_of_orderness takes a Duration, such as Duration.of_seconds(5), not "
                f"{max_out_of_orderness!r}"
            )
        if max_out_of_orderness.to_milliseconds() < 0:
            raise wrong(f"out-of-orderness must not be negative, not {max_out_of_orderness.to_milliseconds()} ms")
        return cls("bounded_out_of_orderness", max_out_of_orderness.to_milliseconds())

    @classmethod
    def no_watermarks(cls) -> WatermarkStrategy:
        """No watermark before the end of the input: event-time windows and timers fire only then."""
        return cls(None)

    def with_timestamp_assigner(
        self, timestamp_assigner: TimestampAssigner | Callable[[Any, int], int]
    ) -> WatermarkStrategy:
        """Event times from a TimestampAssigner, or a callable f(value, record_timestamp). Called once per value."""
        if not isinstance(timestamp_assigner, TimestampAssigner) and not callable(timestamp_assigner):
            raise wrong(
                "with_timestamp_assigner takes a TimestampAssigner or a callable f(value, record_timestamp), not "
                f"{timestamp_assigner!r}"
            )
        return replace(self, assigner=timestamp_assigner)

    def with_idleness(self, idle_timeout: Duration) -> WatermarkStrategy:
        """A Kafka partition silent for so long no longer holds the watermark back, until it speaks again."""
        if not isinstance(idle_timeout, Duration) or idle_timeout.to_milliseconds() <= 0:
            raise wrong(f"with_idleness takes a Duration above 0, not {idle_timeout!r}")
        return replace(self, idleness_ms=idle_timeout.to_milliseconds())

    def params(self) -> dict[str, Any] | None:
        """The strategy as it stands in a JobGraph; None for no watermarks."""
        if self.kind is None:
            return None
        return {"kind": self.kind, "delay_ms": self.delay_ms, "idleness_ms": self.idleness_ms}
