"""How jobs look in text. Pure: from records of the registry to rich renderables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import RenderableType
from rich.text import Text

from headrace.graph.job_graph import JobGraph, Vertex
from headrace.protocol.control import JobRecord, LaneMetrics
from headrace.protocol.topics import split_lane
from streamctl.json_schemas import WorkerPlace
from streamctl.render import (
    ID_DIGITS,
    NOTHING,
    count,
    duration,
    facts,
    instant,
    one_line,
    plain_table,
    sections,
    shorten,
    status,
)

PLACE_COLUMNS = 11


def jobs_table(records: Sequence[JobRecord], now_ms: int, columns: int) -> RenderableType:
    """One line per job, newest first. TIME is how long it has run, or ran."""
    if not records:
        return Text("No jobs. Submit one: streamctl submit job.py")
    table = plain_table("JOB", "NAME", "STATUS", ">TIME", "REASON")
    for record in sorted(records, key=lambda r: r.submitted_ms, reverse=True):
        table.add_row(
            record.job_id[:ID_DIGITS],
            Text(shorten(record.name, columns // 4)),
            status(record.status),
            running_time(record, now_ms),
            one_line(record.reason),
        )
    return table


def job_page(
    record: JobRecord,
    graph: JobGraph | None,
    metrics: dict[str, LaneMetrics],
    now_ms: int,
    workers: Mapping[str, WorkerPlace],
) -> RenderableType:
    """Everything about one job: what it is, its vertices, its lanes, their workers, and why any of them waits."""
    head: list[tuple[str, RenderableType]] = [
        ("Job", record.job_id),
        ("Name", Text(record.name)),
        ("Status", status(record.status)),
        ("Slots", str(record.slots_needed)),
        ("Submitted", f"{instant(record.submitted_ms or None)} UTC"),
        ("Time", running_time(record, now_ms)),
    ]
    if record.reason:
        head.insert(3, ("Reason", Text(record.reason)))
    parts: list[RenderableType] = [facts(head)]
    if graph is not None:
        parts.append(_vertices(graph, metrics))
    if _lane_names(record, graph):
        parts.append(_lanes(record, graph, metrics))
    if workers and not record.status.ended:
        parts.append(_workers(workers))
    reasons = _reasons(record, metrics)
    if reasons:
        parts.append(facts(reasons))
    if record.failure is not None:
        text = record.failure.traceback.rstrip() or record.failure.error
        parts.append(Text(text, style="red"))
    return sections(*parts)


def running_time(record: JobRecord, now_ms: int) -> str:
    if not record.started_ms:
        return NOTHING
    return duration((record.ended_ms or now_ms) - record.started_ms)


def _vertices(graph: JobGraph, metrics: dict[str, LaneMetrics]) -> RenderableType:
    table = plain_table("VERTEX", ">LANES", ">IN/S", ">RECORDS", ">LATE", "NAME")
    for vertex in graph.vertices:
        mine = [m for name, m in metrics.items() if split_lane(name)[0] == vertex.id]
        table.add_row(
            vertex.id,
            str(vertex.lanes),
            count(sum(m.records_in_per_s for m in mine)) if mine else NOTHING,
            count(sum(m.records_in for m in mine)) if mine else NOTHING,
            count(sum(m.late_dropped for m in mine)) if mine else NOTHING,
            Text(vertex.name),
        )
    return table


def _lanes(record: JobRecord, graph: JobGraph | None, metrics: dict[str, LaneMetrics]) -> RenderableType:
    table = plain_table("LANE", "STATE", "PLACE", ">ATTEMPT", ">IN/S", ">LAG", "WATERMARK")
    for name in _lane_names(record, graph):
        lane, place, measured = record.lanes.get(name), record.assignments.get(name), metrics.get(name)
        table.add_row(
            name,
            status(lane.state) if lane else NOTHING,
            Text(f"{shorten(place.taskmanager, PLACE_COLUMNS)}/{place.slot}" if place else NOTHING),
            lane.attempt if lane else NOTHING,
            count(measured.records_in_per_s if measured else None),
            count(measured.lag if measured else None),
            instant(measured.watermark_ms if measured else None),
        )
    return table


def _workers(workers: Mapping[str, WorkerPlace]) -> RenderableType:
    """One line per slot worker: where its process is, and the lanes in it."""
    table = plain_table("TASKMANAGER", ">SLOT", "HOST", ">PID", "LANES")
    lanes: dict[tuple[str, int], list[str]] = {}
    for lane in sorted(workers, key=_lane_order):
        lanes.setdefault((workers[lane].taskmanager, workers[lane].slot), []).append(lane)
    for (taskmanager, slot), names in sorted(lanes.items()):
        worker = workers[names[0]]
        table.add_row(
            Text(taskmanager),
            str(slot),
            Text(worker.host or NOTHING),
            NOTHING if worker.pid is None else str(worker.pid),
            Text(" ".join(names)),
        )
    return table


def code_page(vertices: Sequence[Vertex], sources: Mapping[str, str]) -> RenderableType:
    """The generated functions of each vertex, after a list of what the names in them stand for."""
    parts: list[RenderableType] = []
    for vertex in vertices:
        legend = [f"# {vertex.id}: {vertex.parallelism} slots, {vertex.lanes} lanes"]
        legend += [f"# f{n}: {operator.name}" for n, operator in enumerate(vertex.operators)]
        parts.append(Text("\n".join([*legend, "", sources[vertex.id].rstrip()])))
    return sections(*parts) if parts else Text("The graph of this job is not known any more.")


def _lane_names(record: JobRecord, graph: JobGraph | None) -> list[str]:
    names = set(record.lanes) | set(record.assignments) | set(graph.lane_slots() if graph else ())
    return sorted(names, key=_lane_order)


def _lane_order(name: str) -> tuple[int, int]:
    vertex, lane = split_lane(name)
    return int(vertex[1:]), lane


def _reasons(record: JobRecord, metrics: dict[str, LaneMetrics]) -> list[tuple[str, RenderableType]]:
    found: list[tuple[str, RenderableType]] = []
    for name in _lane_names(record, None):
        lane, measured = record.lanes.get(name), metrics.get(name)
        reason = (lane.reason if lane else "") or (measured.reason if measured else "")
        if reason and reason != record.reason:  # the job's own is told above
            found.append((name, Text(reason)))
    return found
