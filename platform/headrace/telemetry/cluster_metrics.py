"""What a cluster does, as Prometheus metrics: jobs, lanes, TaskManagers, servers.

Every Dispatcher of a namespace gives the same values of the cluster, read from the registry and from the lanes'
own reports of the last second; take one of them, or ``max by``. Lanes are told of jobs that have not ended.
docs/rest.md lists all metrics.

Pure: no I/O.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from headrace.protocol.attempt import Attempt
from headrace.protocol.control import JobRecord, LaneMetrics, TaskManagerRecord
from headrace.protocol.states import JobStatus
from headrace.protocol.topics import split_lane

LANE = ["job_id", "vertex", "lane"]
_UNFIT = re.compile(r"[^a-zA-Z0-9_]")


@dataclass(frozen=True)
class ClusterSnapshot:
    """One moment of a cluster, as far as its servers answered."""

    now_ms: int
    kafka_up: bool = True
    redis_up: bool = True
    home_partitions: int = 0
    jobmasters: int = 0
    jobs: list[JobRecord] = field(default_factory=list)
    lanes: dict[str, dict[str, LaneMetrics]] = field(default_factory=dict)  #: by job id and lane name
    taskmanagers: list[TaskManagerRecord] = field(default_factory=list)
    dead_letters: int | None = None


class ClusterCollector(Collector):
    """Hands one snapshot to the exposition."""

    def __init__(self, snapshot: ClusterSnapshot) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterator[Metric]:
        yield from _servers(self._snapshot)
        if self._snapshot.redis_up:  # else the values are unknown, not zero
            yield from _jobs(self._snapshot)
            yield from _lanes(self._snapshot)
            yield from _taskmanagers(self._snapshot)


def registry_of(snapshot: ClusterSnapshot) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(ClusterCollector(snapshot))
    return registry


def _servers(snapshot: ClusterSnapshot) -> Iterator[Metric]:
    up = GaugeMetricFamily(
        "headrace_server_up", "Whether the server answers this Dispatcher: 1 or 0.", labels=["server"]
    )
    up.add_metric(["kafka"], snapshot.kafka_up)
    up.add_metric(["redis"], snapshot.redis_up)
    yield up
    yield GaugeMetricFamily(
        "headrace_home_partitions", "Home partitions that this Dispatcher owns.", value=snapshot.home_partitions
    )
    yield GaugeMetricFamily("headrace_jobmasters", "JobMasters that this Dispatcher runs.", value=snapshot.jobmasters)
    if snapshot.dead_letters is not None:
        yield CounterMetricFamily(
            "headrace_dead_letters_total",
            "Control messages that could not be read and were put aside.",
            value=snapshot.dead_letters,
        )


def _jobs(snapshot: ClusterSnapshot) -> Iterator[Metric]:
    by_status = Counter(job.status for job in snapshot.jobs)
    jobs = GaugeMetricFamily("headrace_jobs", "Jobs that the registry knows, by status.", labels=["status"])
    for status in JobStatus:
        jobs.add_metric([status], by_status[status])
    info = GaugeMetricFamily(
        "headrace_job_info",
        "Always 1; joins a job's id with its name and status.",
        labels=["job_id", "name", "status"],
    )
    states = GaugeMetricFamily("headrace_lanes", "Lanes of living jobs, by state.", labels=["job_id", "state"])
    for job in snapshot.jobs:
        if not job.status.ended:
            info.add_metric([job.job_id, job.name, job.status], 1)
            for state, count in sorted(Counter(lane.state for lane in job.lanes.values()).items()):
                states.add_metric([job.job_id, state], count)
    yield from (jobs, info, states)


def _lanes(snapshot: ClusterSnapshot) -> Iterator[Metric]:
    def counter(name: str, text: str) -> CounterMetricFamily:
        return CounterMetricFamily(f"headrace_lane_{name}", text, labels=LANE)

    def gauge(name: str, text: str) -> GaugeMetricFamily:
        return GaugeMetricFamily(f"headrace_lane_{name}", text, labels=LANE)

    records_in = counter("records_in_total", "Records read by the present attempt of a lane.")
    records_out = counter("records_out_total", "Records written by the present attempt of a lane.")
    commits = counter("commits_total", "Commits of the present attempt of a lane.")
    late = counter("late_dropped_total", "Records too late for their window, of the present attempt of a lane.")
    restarts = counter("restarts_total", "Starts of a lane after its first, as its attempt number counts them.")
    rate = gauge("records_in_per_second", "Records that a lane read per second, over its last five seconds.")
    lag = gauge("lag_records", "Records of a source that wait to be read.")
    behind = gauge("watermark_lag_seconds", "Wall-clock time minus a lane's watermark; can be negative.")
    committed = gauge("last_commit_timestamp_seconds", "When a lane last committed, Unix time.")
    age = gauge("report_age_seconds", "Age of the report that a lane's values come from; about 1 while it runs.")
    for job in snapshot.jobs:
        if job.status.ended:
            continue
        for name, lane in job.lanes.items():
            attempt = Attempt.parse(lane.attempt)
            restarts.add_metric(_labels(job.job_id, name), max(0, attempt.planned - 1) + attempt.local)
        for name, metrics in snapshot.lanes.get(job.job_id, {}).items():
            labels = _labels(job.job_id, name)
            records_in.add_metric(labels, metrics.records_in)
            records_out.add_metric(labels, metrics.records_out)
            commits.add_metric(labels, metrics.commits)
            late.add_metric(labels, metrics.late_dropped)
            rate.add_metric(labels, metrics.records_in_per_s)
            age.add_metric(labels, max(0, snapshot.now_ms - metrics.at_ms) / 1000)
            if metrics.lag is not None:
                lag.add_metric(labels, metrics.lag)
            if metrics.watermark_ms is not None:
                behind.add_metric(labels, (snapshot.now_ms - metrics.watermark_ms) / 1000)
            if metrics.last_commit_ms:
                committed.add_metric(labels, metrics.last_commit_ms / 1000)
    yield from (records_in, records_out, commits, late, restarts, rate, lag, behind, committed, age)
    yield from _of_users(snapshot)


def _of_users(snapshot: ClusterSnapshot) -> Iterator[Metric]:
    """Metrics of user functions: headrace_user_<name>, dots and what Prometheus does not take as underscores."""
    families: dict[str, GaugeMetricFamily] = {}
    for job in snapshot.jobs:
        lanes = {} if job.status.ended else snapshot.lanes.get(job.job_id, {})
        for lane, metrics in lanes.items():
            for operator, values in metrics.user.items():
                for name, value in values.items():
                    called = "headrace_user_" + _UNFIT.sub("_", name)
                    if called not in families:
                        text = "A metric of a user's function, of the present start of a lane."
                        families[called] = GaugeMetricFamily(called, text, labels=[*LANE, "operator"])
                    families[called].add_metric([*_labels(job.job_id, lane), operator], value)
    yield from (families[name] for name in sorted(families))


def _labels(job_id: str, lane: str) -> list[str]:
    vertex, number = split_lane(lane)
    return [job_id, vertex, str(number)]


def _taskmanagers(snapshot: ClusterSnapshot) -> Iterator[Metric]:
    yield GaugeMetricFamily("headrace_taskmanagers", "TaskManagers alive.", value=len(snapshot.taskmanagers))
    slots = GaugeMetricFamily(
        "headrace_slots", "Slots of living TaskManagers, free and occupied.", labels=["taskmanager", "state"]
    )
    for each in snapshot.taskmanagers:
        occupied = len(each.occupied)
        slots.add_metric([each.id, "free"], max(0, each.slots - occupied))
        slots.add_metric([each.id, "occupied"], occupied)
    yield slots
