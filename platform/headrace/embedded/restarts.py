"""When a server that ended is started again. Pure.

The first restart after a good run is immediate; a server that ends again and again is given longer pauses.
"""

from __future__ import annotations

from dataclasses import dataclass

#: Healthy for this long: the next end counts as the first.
GOOD_RUN_S = 5.0
PAUSE_FIRST_S = 0.5
PAUSE_MAX_S = 15.0


@dataclass(frozen=True)
class Restarts:
    """Ends in a row without a good run between."""

    failures: int = 0

    def ended(self, healthy_s: float) -> tuple[Restarts, float]:
        """After an end: the new count and the pause in seconds. ``healthy_s``: how long it was healthy."""
        if healthy_s >= GOOD_RUN_S:
            return Restarts(1), 0.0
        failures = self.failures + 1
        pause_s = 0.0 if failures == 1 else min(PAUSE_FIRST_S * 2 ** (failures - 2), PAUSE_MAX_S)
        return Restarts(failures), pause_s
