"""Samples for ``streamctl top``: how every living job is doing now. Pure but for ``look``, which asks REST."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headrace.graph.job_graph import JobGraph
from headrace.protocol.control import JobRecord, LaneMetrics, TaskManagerRecord
from headrace.protocol.topics import split_lane
from streamctl.json_schemas import JobSample, TaskManagerSample, TopSample
from streamctl.rest import JobDetail

if TYPE_CHECKING:
    from streamctl.cluster import Cluster

#: Of the newest; each costs one question.
JOBS_MAX = 50
_NO_WATERMARK, _END = -(2**62), 2**62


@dataclass(frozen=True)
class Look:
    """What REST answered at one time."""

    living: Sequence[JobDetail]
    ended: dict[str, int]
    taskmanagers: Sequence[TaskManagerRecord]


def look(cluster: Cluster) -> Look:
    """Ask REST. Raises UnavailableError and what REST refuses."""
    from headrace.errors import UsageError
    from streamctl import rest

    records = rest.jobs(cluster)
    living = []
    for record in [each for each in records if not each.status.ended][:JOBS_MAX]:
        try:
            living.append(rest.job(cluster, record.job_id))
        except UsageError as error:  # it was retired meanwhile
            if error.code != "job-unknown":
                raise
    ended = Counter(record.status.value for record in records if record.status.ended)
    return Look(living, dict(sorted(ended.items())), rest.taskmanagers(cluster))


class Sampler:
    """Makes samples out of looks; rates of counters come from the look before."""

    def __init__(self) -> None:
        self._before: dict[tuple[str, str], LaneMetrics] = {}

    def sample(self, found: Look, now_ms: int) -> TopSample:
        """The state of things at ``now_ms``."""
        jobs = [self._job(detail, now_ms) for detail in found.living]
        self._before = {
            (detail.record.job_id, lane): metrics
            for detail in found.living
            for lane, metrics in detail.metrics.items()
        }
        return TopSample(
            at_ms=now_ms,
            jobs=jobs,
            ended=found.ended,
            taskmanagers=[
                TaskManagerSample(id=each.id, host=each.host, slots=each.slots, occupied=len(each.occupied))
                for each in sorted(found.taskmanagers, key=lambda each: each.id)
            ],
        )

    def _job(self, detail: JobDetail, now_ms: int) -> JobSample:
        record, metrics = detail.record, detail.metrics
        first, last = _ends(detail.graph)
        sources = {lane: each for lane, each in metrics.items() if first is None or split_lane(lane)[0] in first}
        sinks = {lane: each for lane, each in metrics.items() if last is None or split_lane(lane)[0] in last}
        lags = [each.lag for each in metrics.values() if each.lag is not None]
        return JobSample(
            job_id=record.job_id,
            name=record.name,
            status=record.status,
            in_per_s=round(sum(each.records_in_per_s for each in sources.values()), 1) if sources else None,
            out_per_s=self._rate(record, sinks, "records_out"),
            lag=sum(lags) if lags else None,
            watermark_delay_ms=_delay(sinks.values(), now_ms),
            commits_per_s=self._rate(record, metrics, "commits"),
            last_commit_ms=max((each.last_commit_ms for each in metrics.values()), default=0) or None,
            reason=_reason(record, metrics),
        )

    def _rate(self, record: JobRecord, lanes: dict[str, LaneMetrics], counter: str) -> float | None:
        """Of all lanes together; None before anything can be compared."""
        rates = []
        for lane, now in lanes.items():
            before = self._before.get((record.job_id, lane))
            if before is not None and before.attempt == now.attempt and now.at_ms > before.at_ms:
                moved = getattr(now, counter) - getattr(before, counter)
                rates.append(max(0, moved) * 1000 / (now.at_ms - before.at_ms))
        return round(sum(rates), 1) if rates else None


def _ends(graph: JobGraph | None) -> tuple[set[str] | None, set[str] | None]:
    """Vertices that read sources, and those that nothing follows; None without a graph."""
    if graph is None:
        return None, None
    every = {vertex.id for vertex in graph.vertices}
    return every - {edge.target for edge in graph.edges}, every - {edge.source for edge in graph.edges}


def _delay(lanes: Iterable[LaneMetrics], now_ms: int) -> int | None:
    watermarks = [each.watermark_ms for each in lanes]
    known = [each for each in watermarks if each is not None and _NO_WATERMARK < each < _END]
    return now_ms - min(known) if known and len(known) == len(watermarks) else None


def _reason(record: JobRecord, metrics: dict[str, LaneMetrics]) -> str:
    """The job's own reason unless all is well, else the first lane's that has one."""
    if record.reason and record.status != "RUNNING":
        return record.reason
    lanes = {lane: status.reason for lane, status in record.lanes.items() if status.reason}
    lanes |= {lane: each.reason for lane, each in metrics.items() if each.reason and lane not in lanes}
    return next((f"{lane}: {lanes[lane]}" for lane in sorted(lanes)), record.reason)
