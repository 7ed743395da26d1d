"""Timers of keyed functions."""

from __future__ import annotations

from abc import ABC, abstractmethod

__all__ = ["TimerService"]


class TimerService(ABC):
    """Registers timers for the key in progress; state as any other, so timers survive failures."""

    @abstractmethod
    def current_watermark(self) -> int:
        """The watermark in ms that timers have fired up to: -2**63 before the first, 2**63 - 1 at the end."""

    @abstractmethod
    def current_processing_time(self) -> int:
        """The time of day in ms since 1970 in UTC, by the clock of the lane's machine."""

    @abstractmethod
    def register_event_time_timer(self, timestamp: int) -> None:
        """Call ``on_timer(timestamp, ...)`` for this key once the watermark reaches ``timestamp`` (ms).

        One timer for each key and time: registering it again changes nothing. A time the watermark has passed
        already fires with the watermark's next step.
        """

    @abstractmethod
    def delete_event_time_timer(self, timestamp: int) -> None:
        """Take a timer back; nothing happens when there is none."""

    @abstractmethod
    def register_processing_time_timer(self, timestamp: int) -> None:
        """Call ``on_timer(timestamp, ...)`` for this key once the clock has passed ``timestamp`` (ms).

        It fires within about a commit interval; one that is due when its lane was down, when the lane runs again.
        One timer for each key and time. Timers left at the end of the input do not fire.
        """

    @abstractmethod
    def delete_processing_time_timer(self, timestamp: int) -> None:
        """Take a timer back; nothing happens when there is none."""
