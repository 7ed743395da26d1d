"""CheckpointingMode, as PyFlink names it."""

from __future__ import annotations

from enum import Enum

__all__ = ["CheckpointingMode"]


class CheckpointingMode(Enum):
    """What state is after a failure. Here it is always exact; how outputs leave is ``execution.delivery``."""

    EXACTLY_ONCE = 0
    AT_LEAST_ONCE = 1
