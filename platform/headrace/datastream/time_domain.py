"""Which time a timer goes by."""

from __future__ import annotations

from enum import Enum

__all__ = ["TimeDomain"]


class TimeDomain(Enum):
    """EVENT_TIME: the watermark; PROCESSING_TIME: the clock of the machine that runs the lane."""

    EVENT_TIME = 0
    PROCESSING_TIME = 1
