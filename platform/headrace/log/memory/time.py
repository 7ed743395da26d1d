"""The time that the memory log lives in: real, or virtual for simulation."""

from __future__ import annotations

import threading
from typing import Protocol

from headrace.clock import now_ms

#: A wait wakes up this often to look at what only time changes (delayed markers, time-outs).
STEP_S = 0.02


class Time(Protocol):
    def now_ms(self) -> int: ...

    def wait(self, changed: threading.Condition, timeout_s: float) -> None:
        """Let up to ``timeout_s`` pass, or less when ``changed`` (held by the caller) is notified."""


class RealTime:
    def now_ms(self) -> int:
        return now_ms()

    def wait(self, changed: threading.Condition, timeout_s: float) -> None:
        changed.wait(min(timeout_s, STEP_S))


class VirtualTime:
    """Time that moves only when told, or when somebody waits: for single-threaded, repeatable runs."""

    def __init__(self, start_ms: int = 1_700_000_000_000) -> None:
        self._now_ms = start_ms

    def now_ms(self) -> int:
        return self._now_ms

    def advance(self, ms: int) -> None:
        self._now_ms += ms

    def wait(self, changed: threading.Condition, timeout_s: float) -> None:
        self._now_ms += max(1, round(min(timeout_s, STEP_S) * 1000))
