"""Metrics of one process's HTTP: requests by route and status, their duration, those under way."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.process_collector import ProcessCollector

#: Look-ups take milliseconds, answers of a Dispatcher up to ten seconds.
BUCKETS_S = (0.005, 0.025, 0.1, 0.5, 2.5, 10.0)
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class RestMetrics:
    """Counts in ``registry``, which also tells the process's own CPU, memory and descriptors."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each, which nobody reads
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._requests = Counter(
            "headrace_rest_requests_total",
            "Requests answered by this Dispatcher.",
            ["method", "path", "status"],
            registry=self.registry,
        )
        self._duration = Histogram(
            "headrace_rest_request_duration_seconds",
            "Time from a request's first byte to its whole answer.",
            ["method", "path"],
            buckets=BUCKETS_S,
            registry=self.registry,
        )
        self.in_progress = Gauge(
            "headrace_rest_requests_in_progress",
            "Requests that this Dispatcher is serving now.",
            registry=self.registry,
        )

    def served(self, method: str, path: str, status: int, took_s: float) -> None:
        """One request is over. ``path`` is the pattern of its route: labels stay few."""
        method = method if method in METHODS else "other"
        self._requests.labels(method, path, str(status)).inc()
        self._duration.labels(method, path).observe(took_s)
