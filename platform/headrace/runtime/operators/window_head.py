"""The window operator of a vertex, out of its parameters in the JobGraph."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from headrace.datastream.assigner import CountWindow, MergingWindowAssigner, TimeWindow
from headrace.datastream.typed import AppliedWindow
from headrace.graph.job_graph import Operator
from headrace.runtime.eventtime.aligned import Aligned, Sliding, Tumbling
from headrace.runtime.operators.by_clock import ClockedWindows
from headrace.runtime.operators.context import LaneRuntimeContext, Task, call_of
from headrace.runtime.operators.count_window import CountOperator
from headrace.runtime.operators.evaluation import Accumulation, Evaluation, of_aggregate, of_reduce
from headrace.runtime.operators.session import SessionOperator, dynamic_gap, fixed_gap
from headrace.runtime.operators.triggered_window import TriggeredWindowOperator
from headrace.runtime.operators.window import WindowOperator
from headrace.runtime.state.keyed import CurrentKey
from headrace.runtime.state.store import TableStateStore
from headrace.runtime.state.tables import Tables

WindowHead = WindowOperator | SessionOperator | CountOperator | ClockedWindows


def window_head(
    operator: Operator,
    roles: Mapping[str, Any],
    tables: Tables,
    current: CurrentKey,
    emit: Callable[[Any, int], None],
    clock_ms: Callable[[], int],
    watermark: Callable[[], int],
) -> WindowHead:
    """The operator, over the tables as they are. ``roles``: the user's functions; ``emit`` takes what fires.

    ``watermark``: the vertex's, for functions of windows that do not go by it.
    """
    params: Any = operator.params
    assigner = params["assigner"]
    lateness_ms = int(params.get("allowed_lateness_ms") or 0)
    sessions = "session" in assigner["kind"]
    function = AppliedWindow(roles["apply"]) if "apply" in roles else roles.get("process")
    evaluation = Evaluation(
        _accumulation(roles),
        function,
        tables=tables,
        uid=operator.uid,
        current=current,
        clock_ms=clock_ms,
        late_tag=params.get("late_tag"),
        merging=sessions,
        window_of=(lambda number, _end: CountWindow(number)) if assigner["kind"] == "count" else TimeWindow,
    )
    if assigner["kind"] == "count":
        return CountOperator(assigner["size"], assigner["slide"], tables, operator.uid, evaluation)
    windows: WindowOperator | SessionOperator
    if sessions:
        gap_of = dynamic_gap(call_of(roles["gap"], "extract")) if "gap" in roles else fixed_gap(assigner["gap_ms"])
        windows = SessionOperator(gap_of, lateness_ms, tables, operator.uid, evaluation, emit)
    else:
        windows = WindowOperator(_aligned(assigner, lateness_ms), tables, operator.uid, evaluation, emit)
    if not assigner["kind"].endswith("_processing_time"):
        return windows
    evaluation.watermark = watermark
    return ClockedWindows(windows, clock_ms)


def triggered_head(
    operator: Operator,
    roles: Mapping[str, Any],
    tables: Tables,
    current: CurrentKey,
    emit: Callable[[Any, int | None], None],
    task: Task,
) -> TriggeredWindowOperator:
    """The operator of windows with the function ``trigger``; arguments as of ``window_head``."""
    params: Any = operator.params
    assigner = roles["assigner"]
    evaluation = Evaluation(
        _accumulation(roles),
        roles.get("process"),
        tables=tables,
        uid=operator.uid,
        current=current,
        clock_ms=task.clock_ms,
        late_tag=params.get("late_tag"),
        merging=isinstance(assigner, MergingWindowAssigner),
        window_of=lambda window, _end: window,
    )
    return TriggeredWindowOperator(
        assigner,
        roles["trigger"],
        int(params.get("allowed_lateness_ms") or 0),
        tables,
        operator.uid,
        evaluation,
        emit,
        task.clock_ms,
        current,
        LaneRuntimeContext(
            task, TableStateStore(tables, operator.uid, current, "assigner-", task.clock_ms), operator.name
        ),
    )


def _accumulation(roles: Mapping[str, Any]) -> Accumulation | None:
    if "reduce" in roles:
        return of_reduce(call_of(roles["reduce"], "reduce"))
    return of_aggregate(roles["aggregate"]) if "aggregate" in roles else None


def _aligned(assigner: Mapping[str, Any], lateness_ms: int) -> Aligned:
    size_ms, offset_ms = assigner["size_ms"], assigner.get("offset_ms") or 0
    match assigner["kind"]:
        case "tumbling_event_time" | "tumbling_processing_time":
            return Tumbling(size_ms, offset_ms, lateness_ms)
        case "sliding_event_time" | "sliding_processing_time":
            return Sliding(size_ms, assigner["slide_ms"], offset_ms, lateness_ms)
        case kind:
            raise ValueError(f"unknown window assigner {kind!r}")
