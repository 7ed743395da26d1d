"""One job as its vertices and lanes: registry, graph and the lanes' reports put together.

Pure: no I/O.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from headrace.graph.job_graph import JobGraph
from headrace.protocol.control import JobRecord, LaneMetrics
from headrace.protocol.topics import lane_name, split_lane
from headrace.rest.models import LaneView, VertexView


def vertex_views(record: JobRecord, graph: JobGraph | None, metrics: Mapping[str, LaneMetrics]) -> list[VertexView]:
    """In the graph's order; without a graph, the vertices that the lanes' names tell."""
    if graph is None:
        names = sorted(record.lanes.keys() | record.assignments.keys() | metrics.keys(), key=_order)
        vertices = dict.fromkeys(split_lane(name)[0] for name in names)
        lanes = {v: [lane_view(n, record, metrics) for n in names if split_lane(n)[0] == v] for v in vertices}
        return [_vertex(v, v, len(of_vertex), of_vertex) for v, of_vertex in lanes.items()]
    return [
        _vertex(
            vertex.id,
            vertex.name,
            vertex.parallelism,
            [lane_view(lane_name(vertex.id, lane), record, metrics) for lane in range(vertex.lanes)],
        )
        for vertex in graph.vertices
    ]


def lane_view(name: str, record: JobRecord, metrics: Mapping[str, LaneMetrics]) -> LaneView:
    """A lane's own reason goes before the one it reported."""
    status, place, measured = record.lanes.get(name), record.assignments.get(name), metrics.get(name)
    view = LaneView(lane=name)
    if measured is not None:
        view = view.model_copy(update=measured.model_dump(include=set(LaneView.model_fields)))
    if place is not None:
        view = view.model_copy(update={"taskmanager": place.taskmanager, "slot": place.slot})
    if status is not None:
        reason = status.reason or view.reason
        view = view.model_copy(update={"state": status.state, "attempt": status.attempt, "reason": reason})
    return view


def _vertex(id_: str, name: str, parallelism: int, lanes: Sequence[LaneView]) -> VertexView:
    watermarks = [lane.watermark_ms for lane in lanes]
    lags = [lane.lag for lane in lanes if lane.lag is not None]
    known = [watermark for watermark in watermarks if watermark is not None]
    return VertexView(
        id=id_,
        name=name,
        parallelism=parallelism,
        records_in=sum(lane.records_in or 0 for lane in lanes),
        records_out=sum(lane.records_out or 0 for lane in lanes),
        records_in_per_s=round(sum(lane.records_in_per_s or 0.0 for lane in lanes), 1),
        late_dropped=sum(lane.late_dropped or 0 for lane in lanes),
        watermark_ms=min(known) if known and len(known) == len(watermarks) else None,
        lag=sum(lags) if lags else None,
        lanes=list(lanes),
    )


def _order(name: str) -> tuple[int, int]:
    vertex, lane = split_lane(name)
    return int(vertex[1:]), lane
