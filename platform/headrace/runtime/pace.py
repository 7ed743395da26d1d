"""When a lane commits and how long it may wait for input. Pure: times are given in monotonic seconds.

The interval between commits grows when commits take a large share of it, and shrinks back. While it is longer than
EARLY_AFTER_S, a commit comes earlier when the input went quiet for a moment and output waits.
"""

from __future__ import annotations

EARLY_AFTER_S = 0.1
QUIET_S = 0.005
TELL_AFTER_S = 0.2
IDLE_WAIT_S = 0.1
INTERVAL_MAX_S = 2.0
BUSY_SHARE, EASY_SHARE = 0.3, 0.1


class CommitPace:
    """Decides for one lane; told what happened by the lane loop."""

    def __init__(self, interval_s: float, now_s: float) -> None:
        self._base_s = interval_s
        self.interval_s = interval_s
        self._smoothed_s = 0.0
        self._began_s = now_s - interval_s
        self._input_s = now_s

    def input_came(self, now_s: float) -> None:
        self._input_s = now_s

    def commit_began(self, now_s: float) -> None:
        self._began_s = now_s

    def commit_took(self, duration_s: float) -> None:
        """Adapt the interval to a smoothed commit time."""
        self._smoothed_s = 0.8 * self._smoothed_s + 0.2 * duration_s
        if self._smoothed_s > BUSY_SHARE * self.interval_s:
            self.interval_s = min(INTERVAL_MAX_S, self.interval_s * 1.5)
        elif self._smoothed_s < EASY_SHARE * self.interval_s:
            self.interval_s = max(self._base_s, self.interval_s / 1.5)

    def due(self, now_s: float, *, dirty: bool, output_waits: bool) -> bool:
        """A lane with something to commit: now?"""
        if not dirty:
            return False
        since_s = now_s - self._began_s
        if since_s >= self.interval_s:
            return True
        return output_waits and since_s >= EARLY_AFTER_S and now_s - self._input_s >= QUIET_S

    def quiet(self, now_s: float) -> bool:
        """The input has said nothing for so long that withheld watermarks are to be told."""
        return now_s - self._input_s >= TELL_AFTER_S

    def wait_s(self, now_s: float, *, dirty: bool, output_waits: bool, untold: bool) -> float:
        """How long to wait for input at most before asking ``due`` again."""
        waits = [IDLE_WAIT_S]
        if dirty:
            waits.append(self._began_s + self.interval_s - now_s)
            if output_waits:
                waits.append(max(QUIET_S, self._began_s + EARLY_AFTER_S - now_s))
        if untold:
            waits.append(self._input_s + TELL_AFTER_S - now_s)
        return max(0.0, min(waits))
