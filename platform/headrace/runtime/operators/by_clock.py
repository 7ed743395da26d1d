"""Windows that go by the time of day: an element is in the window of the moment when it is processed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from headrace.runtime.operators.evaluation import Fired
from headrace.runtime.operators.session import SessionOperator
from headrace.runtime.operators.window import WindowOperator


class ClockedWindows:
    """Stands before a window operator, and gives it the time for the event time.

    The time never goes back while a lane runs. After a restart it goes on at the clock of then: windows that are over
    fire, and an element that is processed again is in the window of its second time.
    """

    late_dropped = 0  #: nothing is late by the time of day

    def __init__(self, windows: WindowOperator | SessionOperator, clock_ms: Callable[[], int]) -> None:
        self._windows = windows
        self._clock_ms = clock_ms
        self._now_ms = 0

    def add_rows(self, keys: Sequence[Any], values: Sequence[Any], _times: Sequence[Any]) -> Fired:
        return self._windows.add_rows(keys, values, [self._now()] * len(keys))

    def tick(self, rows_max: int) -> bool:
        """Fire what is over, about ``rows_max`` at most; False when there is nothing."""
        passed_ms = self._now() - 1  # a moment has passed when the clock shows the next
        if not self._windows.due(passed_ms):
            return False
        self._windows.advance(passed_ms, rows_max)
        return True

    def _now(self) -> int:
        self._now_ms = max(self._now_ms, self._clock_ms())
        return self._now_ms
