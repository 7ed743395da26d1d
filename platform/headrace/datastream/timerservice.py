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
    def register_event_time_timer(self, timestamp: int) -> None:
        """Call ``on_timer(timestamp, ...)`` for this key once the watermark reaches ``timestamp`` (ms).

        One timer for each key and time: registering it again changes nothing. A time the watermark has passed
        already fires with the watermark's next step.
        """

    @abstractmethod
    def delete_event_time_timer(self, timestamp: int) -> None:
        """Take a timer back; nothing happens when there is none."""
