"""A source of numbers."""

from __future__ import annotations

from typing import Any

from headrace.common.call_site import wrong
from headrace.common.typeinfo import TypeInformation, Types
from headrace.datastream.connectors.base import Source
from headrace.graph.job_graph import OperatorKind

__all__ = ["NumberSequenceSource"]


class NumberSequenceSource(Source):
    """The whole numbers from ``start`` to ``end``, both included; then the end.

    Dealt to the source's lanes in turn: of L lanes, lane i has start + i, start + i + L, and so on, in this order.
    """

    kind = OperatorKind.NUMBER_SEQUENCE_SOURCE

    def __init__(self, start: int, end: int) -> None:
        if type(start) is not int or type(end) is not int:
            raise wrong(f"NumberSequenceSource takes two whole numbers, not {start!r:.60} and {end!r:.60}")
        if start > end:
            raise wrong(f"NumberSequenceSource from {start} to {end} has no numbers: start must not be above end")
        self._start = start
        self._end = end

    def describe(self) -> str:
        return f"{self._start} to {self._end}"

    def produced_type(self) -> TypeInformation:
        return Types.LONG()

    def params(self) -> dict[str, Any]:
        return {"start": self._start, "end": self._end}
