"""Jobs as the JobManager of Apache Flink shows them, for dashboards and scripts written for it.

Names and types are Flink's (2.3). A lane is a subtask here: a vertex of four lanes has parallelism 4 and four tasks,
whatever number of slots they share. What Flink measures and we do not is 0, with ``complete`` false beside it.

Pure: no I/O.
"""

from __future__ import annotations

import hashlib
import html
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from headrace.graph.job_graph import Edge, JobGraph, Ship, Vertex
from headrace.protocol.control import Failure, JobRecord, LaneMetrics
from headrace.protocol.states import JobStatus, LaneState
from headrace.protocol.submission import ExponentialDelay, FixedDelay, RestartStrategy, Submit
from headrace.protocol.topics import lane_name
from headrace.rest.java_throwable import serialized_throwable
from headrace.rest.models import LaneException

Json = dict[str, Any]

NEVER = -1
MAX_PARALLELISM = 128  #: key groups
APPLICATION_STATUS = {
    JobStatus.FINISHED: "SUCCEEDED",
    JobStatus.FAILED: "FAILED",
    JobStatus.CANCELED: "CANCELED",
}
SHIP_STRATEGY = {
    Ship.HASH: "HASH",
    Ship.FORWARD: "FORWARD",
    Ship.REBALANCE: "REBALANCE",
    Ship.BROADCAST: "BROADCAST",
    Ship.CUSTOM: "CUSTOM",
}
#: A vertex is in the first of these states that one of its subtasks is in; FINISHED only when all are.
VERTEX_STATE_ORDER = (
    LaneState.FAILED,
    LaneState.CANCELING,
    LaneState.CANCELED,
    LaneState.INITIALIZING,
    LaneState.RUNNING,
    LaneState.DEPLOYING,
    LaneState.SCHEDULED,
    LaneState.RECONCILING,
)


def vertex_id(job_id: str, vertex: str) -> str:
    """32 hex digits that are the same for ever: Flink's clients accept no other ids."""
    return _hex_id(f"{job_id}/{vertex}")


def job_ids(records: list[JobRecord]) -> Json:
    return {"jobs": [{"id": record.job_id, "status": record.status} for record in records]}


def jobs_overview(records: list[JobRecord], now_ms: int) -> Json:
    return {"jobs": [_overview(record, now_ms) for record in records]}


def job_details(record: JobRecord, graph: JobGraph | None, metrics: Mapping[str, LaneMetrics], now_ms: int) -> Json:
    """``GET /jobs/:id``: the ids of plan nodes and vertices are the same, and edges are the nodes' inputs."""
    vertices = [_vertex(record, vertex, metrics, now_ms) for vertex in graph.vertices] if graph else []
    return {
        "jid": record.job_id,
        "application-id": record.job_id,
        "name": record.name,
        "isStoppable": False,
        "state": record.status,
        "job-type": "STREAMING",
        "schedulerType": "Default",
        **_times(_began(record), record.ended_ms, now_ms),
        "maxParallelism": NEVER,
        "now": now_ms,
        "timestamps": {status.value: record.timestamps.get(status, 0) for status in JobStatus}
        | {"INITIALIZING": _began(record)},
        "vertices": vertices,
        "status-counts": _counts(vertex["status"] for vertex in vertices),
        **job_plan(record, graph),
        "pending-operators": 0,
    }


def job_plan(record: JobRecord, graph: JobGraph | None) -> Json:
    nodes = [_node(record.job_id, vertex, graph.inputs(vertex.id)) for vertex in graph.vertices] if graph else []
    return {"plan": {"jid": record.job_id, "name": record.name, "type": "STREAMING", "nodes": nodes}}


def job_config(record: JobRecord, submit: Submit | None) -> Json:
    return {
        "jid": record.job_id,
        "name": record.name,
        "execution-config": {
            "restart-strategy": _restart_text(submit.restart) if submit else "unknown",
            "job-parallelism": submit.graph.slots if submit else record.slots_needed,
            "object-reuse-mode": False,
            "user-config": dict(submit.config) if submit else {},
        },
    }


def job_exceptions(
    record: JobRecord, exceptions: list[LaneException], graph: JobGraph | None, complete: bool
) -> Json:
    names = {vertex.id: (vertex.name, vertex.lanes) for vertex in graph.vertices} if graph else {}
    entries = [
        {
            "exceptionName": _exception(each.error, each.traceback)[0],
            "stacktrace": each.traceback or each.error,
            "timestamp": each.at_ms,
            "failureLabels": {"user": "true"} if each.user else {},
            **_where(each, names),
            "concurrentExceptions": [],
        }
        for each in exceptions
    ]
    return {"exceptionHistory": {"entries": entries, "truncated": not complete}}


def execution_result(record: JobRecord) -> Json:
    """In progress until the job has ended; then how, and why when it failed."""
    if not record.status.ended:
        return {"status": {"id": "IN_PROGRESS"}}
    began = _began(record)
    result: Json = {
        "id": record.job_id,
        "name": record.name,
        "application-status": APPLICATION_STATUS[record.status],
        "accumulator-results": {},
        "net-runtime": max(0, record.ended_ms - began),
        "application-id": record.job_id,
        "start-time": began,
        "end-time": record.ended_ms,
    }
    if record.status is JobStatus.FAILED:
        result["failure-cause"] = _cause(record.failure, record.reason)
    return {"status": {"id": "COMPLETED"}, "job-execution-result": result}


# ---- parts


def _hex_id(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _began(record: JobRecord) -> int:
    """Flink's start of a job is its INITIALIZING, not its RUNNING."""
    return record.timestamps.get(JobStatus.INITIALIZING) or record.submitted_ms


def _times(start_ms: int, end_ms: int, now_ms: int) -> Json:
    if not start_ms:
        return {"start-time": NEVER, "end-time": NEVER, "duration": NEVER}
    return {
        "start-time": start_ms,
        "end-time": end_ms or NEVER,
        "duration": max(0, (end_ms or now_ms) - start_ms),
    }


def _counts(states: Any) -> Json:
    found = Counter(map(str, states))
    return {state.value: found[state.value] for state in LaneState}


def _overview(record: JobRecord, now_ms: int) -> Json:
    states = _counts(lane.state for lane in record.lanes.values())
    return {
        "jid": record.job_id,
        "name": record.name,
        "jobType": "STREAMING",
        "schedulerType": "Default",
        **_times(_began(record), record.ended_ms, now_ms),
        "state": record.status,
        "last-modification": max([record.submitted_ms, record.ended_ms, *record.timestamps.values()]),
        "tasks": {"total": len(record.lanes)} | {state.lower(): count for state, count in states.items()},
        "pending-operators": 0,
    }


def _vertex(record: JobRecord, vertex: Vertex, metrics: Mapping[str, LaneMetrics], now_ms: int) -> Json:
    names = [lane_name(vertex.id, lane) for lane in range(vertex.lanes)]
    states = [record.lanes[name].state if name in record.lanes else LaneState.CREATED for name in names]
    measured = [metrics[name] for name in names if name in metrics]
    whole = len(measured) == len(names)
    return {
        "id": vertex_id(record.job_id, vertex.id),
        "slotSharingGroupId": _hex_id(f"{record.job_id}/slots"),
        "name": vertex.name,
        "maxParallelism": MAX_PARALLELISM,
        "parallelism": vertex.lanes,
        "status": _vertex_state(states),
        **_times(record.started_ms, record.ended_ms, now_ms),
        "tasks": _counts(states),
        "metrics": {
            "read-bytes": 0,
            "read-bytes-complete": False,
            "write-bytes": 0,
            "write-bytes-complete": False,
            "read-records": sum(each.records_in for each in measured),
            "read-records-complete": whole,
            "write-records": sum(each.records_out for each in measured),
            "write-records-complete": whole,
            "accumulated-backpressured-time": 0,
            "accumulated-idle-time": 0,
            "accumulated-busy-time": 0.0,
        },
    }


def _vertex_state(states: list[LaneState]) -> LaneState:
    if all(state is LaneState.FINISHED for state in states):
        return LaneState.FINISHED
    if found := next((state for state in VERTEX_STATE_ORDER if state in states), None):
        return found
    return LaneState.RUNNING if LaneState.FINISHED in states else LaneState.CREATED


def _node(job_id: str, vertex: Vertex, inputs: tuple[Edge, ...]) -> Json:
    chain = [html.escape(operator.name) for operator in vertex.operators]
    node: Json = {
        "id": vertex_id(job_id, vertex.id),
        "operator": "",
        "parallelism": vertex.lanes,
        "operator_strategy": "",
        "description": "".join(f"{'+- ' if n else ''}{name}<br/>" for n, name in enumerate(chain)),
        "optimizer_properties": {},
    }
    if inputs:
        node["inputs"] = [
            {
                "id": vertex_id(job_id, edge.source),
                "num": number,
                "exchange": "pipelined_bounded",
                "ship_strategy": SHIP_STRATEGY.get(edge.ship, edge.ship.upper()),
            }
            for number, edge in enumerate(inputs)
        ]
    return node


def _restart_text(strategy: RestartStrategy) -> str:
    match strategy:
        case FixedDelay():
            return f"fixed-delay: {strategy.attempts} restarts, {strategy.delay_ms} ms apart"
        case ExponentialDelay():
            return (
                f"exponential-delay: {strategy.attempts} restarts, from {strategy.initial_ms} ms "
                f"times {strategy.multiplier:g} up to {strategy.max_ms} ms"
            )
        case _:
            return "none"


def _exception(error: str, traceback: str) -> tuple[str, str]:
    """Class and message of a failure told as "[operator: ]Class: message"; an operator's name may hold a colon."""
    for line in reversed(traceback.splitlines()):
        named = re.match(r"(?:\w+\.)*([A-Za-z_]\w*)(?=:|$)", line)
        if named and (found := re.search(rf"(?:^|: ){named[1]}(?:: |$)", error)):
            return named[0], error[found.end() :]
    class_name, _, message = error.partition(": ")
    return class_name, message


def _where(each: LaneException, names: Mapping[str, tuple[str, int]]) -> Json:
    """Of a subtask: which, and where it ran. A failure of the whole job has none of these."""
    if not each.lane:
        return {}
    vertex, _, lane = each.lane.partition("/")
    name, lanes = names.get(vertex, (vertex, 0))
    return {
        "taskName": f"{name} ({int(lane) + 1}/{lanes}) - execution #{each.attempt}",
        "endpoint": each.taskmanager,
        "taskManagerId": each.taskmanager,
    }


def _cause(failure: Failure | None, reason: str) -> Json:
    """Flink's Java client reads the serialized form alone; people and scripts read the other two."""
    error = failure.error if failure else reason or "the job failed"
    stack = failure.traceback if failure and failure.traceback else error
    class_name, message = _exception(error, stack)
    return {
        "class": class_name,
        "stack-trace": stack,
        "serialized-throwable": serialized_throwable(class_name, message, stack),
    }
