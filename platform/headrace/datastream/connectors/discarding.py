"""A sink for nothing: what programs write to when only the work before it matters."""

from __future__ import annotations

from typing import Any

from headrace.datastream.connectors.base import Sink
from headrace.graph.job_graph import OperatorKind

__all__ = ["DiscardingSink"]


class DiscardingSink(Sink):
    """Takes every record and drops it. Flink's table connector of this kind is called blackhole."""

    kind = OperatorKind.DISCARD

    def describe(self) -> str:
        return "discarded"

    def params(self) -> dict[str, Any]:
        return {}
