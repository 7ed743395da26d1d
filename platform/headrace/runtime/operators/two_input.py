"""The head of a vertex with two inputs, out of its operator in the JobGraph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from headrace.graph.job_graph import Operator, OperatorKind
from headrace.runtime.operators.broadcast_process import BroadcastProcessOperator, KeyedBroadcastProcessOperator
from headrace.runtime.operators.co_process import CoProcessOperator, KeyedCoProcessOperator
from headrace.runtime.operators.interval_join import IntervalJoinOperator
from headrace.runtime.state.broadcast import BroadcastStates
from headrace.runtime.state.due import Timers
from headrace.runtime.state.keyed import CurrentKey
from headrace.runtime.state.store import TableStateStore
from headrace.runtime.state.tables import Tables

TwoInputHead = (
    CoProcessOperator
    | KeyedCoProcessOperator
    | BroadcastProcessOperator
    | KeyedBroadcastProcessOperator
    | IntervalJoinOperator
)


def two_input_head(
    operator: Operator,
    function: Any,
    *,
    tables: Tables,
    current: CurrentKey,
    store: TableStateStore,
    emit: Callable[[Any, int | None], None],
    clock_ms: Callable[[], int],
    watermark: Callable[[], int],
) -> TwoInputHead:
    """The operator, over the tables as they are. ``emit`` takes what timers give; ``watermark``: the vertex's.

    ``store`` gives the operator's keyed state of all keys.
    """
    params: Any = operator.params
    if operator.kind is OperatorKind.CO_PROCESS:
        return CoProcessOperator(function, watermark, clock_ms)
    if operator.kind is OperatorKind.INTERVAL_JOIN:
        return IntervalJoinOperator(
            function,
            params["lower_ms"],
            params["upper_ms"],
            tables=tables,
            uid=operator.uid,
            current=current,
            late_tags=(params.get("left_late_tag"), params.get("right_late_tag")),
        )
    timers = (
        Timers(tables.table(f"{operator.uid}/timers")),
        Timers(tables.table(f"{operator.uid}/processing-timers")),
    )
    if operator.kind is OperatorKind.KEYED_CO_PROCESS:
        return KeyedCoProcessOperator(function, *timers, current, emit, clock_ms)
    states = BroadcastStates(tables, operator.uid, params["broadcast_states"])
    if operator.kind is OperatorKind.BROADCAST_PROCESS:
        return BroadcastProcessOperator(function, states, watermark, clock_ms)
    return KeyedBroadcastProcessOperator(function, states, store, *timers, current, emit, clock_ms)
