"""How fast a count grows, over the last seconds: input that comes in bursts shows as its mean. Pure."""

from __future__ import annotations

from collections import deque

OVER_S = 5.0


class Rate:
    """Of one count; told of it twice a second or so, keeps what is younger than OVER_S and one older."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def per_s(self, now_s: float, count: int) -> float:
        """``count`` is its value now; the mean growth since OVER_S ago, or since the first call."""
        self._seen.append((now_s, count))
        while len(self._seen) > 2 and self._seen[1][0] <= now_s - OVER_S:
            self._seen.popleft()
        then_s, before = self._seen[0]
        return (count - before) / (now_s - then_s) if now_s > then_s else 0.0
