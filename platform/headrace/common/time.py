"""Lengths of time and points in time, in milliseconds inside."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Duration", "Instant", "Time"]


@dataclass(frozen=True, order=True)
class Duration:
    """A length of time; make one with the ``of_*`` methods."""

    milliseconds: int

    @classmethod
    def of_millis(cls, millis: int) -> Duration:
        return cls(millis)

    @classmethod
    def of_seconds(cls, seconds: int) -> Duration:
        return cls(seconds * 1_000)

    @classmethod
    def of_minutes(cls, minutes: int) -> Duration:
        return cls(minutes * 60_000)

    @classmethod
    def of_hours(cls, hours: int) -> Duration:
        return cls(hours * 3_600_000)

    @classmethod
    def of_days(cls, days: int) -> Duration:
        return cls(days * 86_400_000)

    def to_milliseconds(self) -> int:
        return self.milliseconds


@dataclass(frozen=True, order=True)
class Time:
    """The size of a window; make one with ``Time.seconds(10)`` and its like."""

    size_ms: int

    @classmethod
    def milliseconds(cls, milliseconds: int) -> Time:
        return cls(milliseconds)

    @classmethod
    def seconds(cls, seconds: int) -> Time:
        return cls(seconds * 1_000)

    @classmethod
    def minutes(cls, minutes: int) -> Time:
        return cls(minutes * 60_000)

    @classmethod
    def hours(cls, hours: int) -> Time:
        return cls(hours * 3_600_000)

    @classmethod
    def days(cls, days: int) -> Time:
        return cls(days * 86_400_000)

    def to_milliseconds(self) -> int:
        return self.size_ms


@dataclass(frozen=True, order=True)
class Instant:
    """A point in time: seconds since 1970 in UTC, and nanoseconds of that second."""

    seconds: int
    nanos: int = 0

    @classmethod
    def of_epoch_milli(cls, epoch_milli: int) -> Instant:
        return cls(epoch_milli // 1_000, epoch_milli % 1_000 * 1_000_000)

    def to_epoch_milli(self) -> int:
        return self.seconds * 1_000 + self.nanos // 1_000_000
