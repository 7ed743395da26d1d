"""RuntimeExecutionMode: whether keyed reductions give a result with each record, or the last one at the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from enum import Enum

from headrace.errors import UsageError
from headrace.graph.job_graph import SOURCES, OperatorKind
from headrace.graph.stream_graph import StreamNode

__all__ = ["RuntimeExecutionMode"]

#: What gives a result with each record in streaming, and the last one of each key in batch.
RUNNING = frozenset({OperatorKind.REDUCE, OperatorKind.AGGREGATE})


class RuntimeExecutionMode(Enum):
    """``env.set_runtime_mode``, or the option ``execution.runtime-mode``.

    BATCH is the same engine on bounded input: ``reduce``, ``sum``, ``min``, ``max`` and their like on a keyed stream
    give the last value of each key, when all input has been read. Everything else is as in STREAMING.
    """

    STREAMING = "streaming"
    BATCH = "batch"
    AUTOMATIC = "automatic"  #: BATCH when every source is bounded, else STREAMING


def in_mode(nodes: Sequence[StreamNode], mode: RuntimeExecutionMode) -> list[StreamNode]:
    """The operators as the mode wants them. Raises UsageError for BATCH with a source that has no end."""
    endless = [node for node in nodes if node.kind in SOURCES and not _bounded(node)]
    if mode is RuntimeExecutionMode.BATCH and endless:
        raise UsageError(
            "batch-unbounded",
            f"the source {endless[0].name!r} has no end, and the program is to run in batch mode ({endless[0].site})",
            hint="bound it (set_bounded of a KafkaSource), or use streaming mode",
        )
    if mode is RuntimeExecutionMode.STREAMING or endless:
        return list(nodes)
    return [_final(node) for node in nodes]


def _final(node: StreamNode) -> StreamNode:
    return replace(node, params={**node.params, "final": True}) if node.kind in RUNNING else node


def _bounded(source: StreamNode) -> bool:
    params = source.params
    match source.kind:
        case OperatorKind.COLLECTION_SOURCE | OperatorKind.NUMBER_SEQUENCE_SOURCE:
            return True
        case OperatorKind.DATAGEN_SOURCE:
            return params.get("count") is not None
        case OperatorKind.FILE_SOURCE:
            return params.get("discovery_interval_ms") is None
        case OperatorKind.KAFKA_SOURCE:
            return params.get("bounded") is not None
        case _:
            return False  # polled: only the source itself knows
