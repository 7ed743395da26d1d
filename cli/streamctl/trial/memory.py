"""Resident memory of processes over time, sampled from outside."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

import psutil

INTERVAL_S = 0.1
MB = 1 << 20


class MemorySampler:
    """Samples what the processes that ``find`` names hold, in a thread; use it as a context manager."""

    def __init__(self, find: Callable[[], Iterable[psutil.Process]]) -> None:
        self._find = find
        self._peaks: dict[int, int] = {}
        self._before: dict[int, int] = {}
        self.peak_mb = 0.0  #: the most that all held together
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="memory sampler", daemon=True)

    def __enter__(self) -> MemorySampler:
        self._before = self._sample()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._done.wait(INTERVAL_S):
            held = self._sample()
            self.peak_mb = max(self.peak_mb, sum(held.values()) / MB)
            for pid, size_bytes in held.items():
                self._peaks[pid] = max(self._peaks.get(pid, 0), size_bytes)

    def _sample(self) -> dict[int, int]:
        held: dict[int, int] = {}
        for process in self._find():
            try:
                held[process.pid] = process.memory_info().rss
            except psutil.NoSuchProcess:
                continue
        return held

    def growth_mb(self) -> float:
        """How much more the processes held at their peaks than an idle one did before: 0.0 when none was there."""
        if not self._before:
            return 0.0
        return grown(min(self._before.values()), self._peaks.values()) / MB


def grown(idle: int, peaks: Iterable[int]) -> int:
    """Of each process that came above ``idle``, how far."""
    return sum(max(0, peak - idle) for peak in peaks)
