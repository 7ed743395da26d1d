"""The source: samples of one machine at a steady pace.

One split, "host", so that a machine is measured once whatever the parallelism: it is read where the lane runs.
Its position is (samples taken, time of the last one); a sample is taken at every whole multiple of the interval.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from typing import Any

from headrace.clock import monotonic_s
from headrace.datastream.connectors import Batch, PollingSource, SplitReader
from headrace_connectors.host_metrics.machine import Machine, Reading, measured
from headrace_connectors.host_metrics.options import HostMetricsOptions

__all__ = ["HostMetricsReader", "HostMetricsSource"]


class HostMetricsSource(PollingSource):
    """CPU, memory, disk and network of the machine that the source's lane runs on.

    Records are dicts with the event time ``at`` (ms since 1970): see README.md. A measurement cannot be repeated:
    a sample that was taken and not committed is lost with its lane, so a restart leaves a gap and no sample twice.
    """

    def __init__(self, options: HostMetricsOptions | None = None) -> None:
        self._options = options or HostMetricsOptions()

    def splits(self, lanes: int) -> Iterable[str]:
        return ["host"]

    def open(self, split: str, position: Any) -> SplitReader:
        return HostMetricsReader(self._options, position or (0, 0), Machine(self._options.disk_path).read)

    def describe(self) -> str:
        return "host metrics"

    def params(self) -> dict[str, Any]:
        return self._options.model_dump(mode="json")


class HostMetricsReader(SplitReader):
    """``read`` gives the machine's counters, given the monotonic time."""

    def __init__(
        self,
        options: HostMetricsOptions,
        position: tuple[int, int],
        read: Callable[[float], Reading],
        clock_s: Callable[[], float] = monotonic_s,
    ) -> None:
        self._options = options
        self._taken, self._last_ms = position
        self._read = read
        self._clock_s = clock_s
        self._host = options.host or socket.gethostname()
        self._before: Reading | None = None
        self._due_ms = 0

    def next_batch(self, now_ms: int) -> Batch | None:
        interval_ms = self._options.interval_ms
        if self._options.samples is not None and self._taken >= self._options.samples:
            return None
        if self._before is None:  # rates need something to compare with: the first sample comes at the next slot
            self._before = self._read(self._clock_s())
            self._due_ms = max(self._last_ms, now_ms) // interval_ms * interval_ms + interval_ms
        if now_ms < self._due_ms:
            return Batch((), (self._taken, self._last_ms))
        after = self._read(self._clock_s())
        numbers = measured(self._before, after, self._options.metrics)
        self._before = after
        self._taken, self._last_ms = self._taken + 1, now_ms // interval_ms * interval_ms
        self._due_ms = self._last_ms + interval_ms
        records = self._records(numbers)
        return Batch(records, (self._taken, self._last_ms), [self._last_ms] * len(records))

    def next_awake(self) -> int | None:
        return self._due_ms

    def _records(self, numbers: dict[str, Any]) -> list[dict[str, Any]]:
        origin = {"host": self._host, "at": self._last_ms}
        if self._options.layout == "sample":
            return [{**origin, **numbers}]
        return [{**origin, "metric": name, "value": value} for name, value in numbers.items()]
