"""CPU seconds of processes over time, sampled from outside.

A process that ended keeps its last sample: at most one interval of its time is missing.
"""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable

import psutil

from headrace import clock

INTERVAL_S = 0.05


class CpuSampler:
    """Samples the CPU time of the processes that ``find`` names, in a thread; use it as a context manager."""

    def __init__(self, find: Callable[[], Iterable[psutil.Process]]) -> None:
        self._find = find
        self._samples: dict[int, list[tuple[int, float]]] = {}
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cpu sampler", daemon=True)

    def __enter__(self) -> CpuSampler:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._done.wait(INTERVAL_S):
            at_ms = clock.now_ms()
            for process in self._find():
                try:
                    times = process.cpu_times()
                except psutil.NoSuchProcess:
                    continue
                self._samples.setdefault(process.pid, []).append((at_ms, times.user + times.system))

    def seconds(self, from_ms: int, to_ms: int) -> float:
        """CPU seconds of all processes between two wall-clock instants, rounded outwards to samples."""
        return sum(spent(samples, from_ms, to_ms) for samples in self._samples.values())


def spent(samples: list[tuple[int, float]], from_ms: int, to_ms: int) -> float:
    """CPU seconds of one process between the last sample before ``from_ms`` and the first after ``to_ms``."""
    times = [at_ms for at_ms, _ in samples]
    first = max(bisect_right(times, from_ms) - 1, 0)
    last = min(bisect_left(times, to_ms), len(samples) - 1)
    return max(samples[last][1] - samples[first][1], 0.0)
