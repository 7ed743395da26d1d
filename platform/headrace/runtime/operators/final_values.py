"""The end of a reduction in batch mode: the last value of each key, once all input has been read.

The values lie in the reduction's own table. They leave in pieces of a commit each, and a key leaves the table with
its value: a restart in between goes on with the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Any

from headrace.runtime.ports import MAX_WATERMARK, MIN_WATERMARK
from headrace.runtime.state.tables import Table


class FinalValues:
    """The head of a vertex for event time; rows go through the generated reduction."""

    late_dropped = 0

    def __init__(self, table: Table, emit: Callable[[Any, int | None], None]) -> None:
        self.watermark = MIN_WATERMARK
        self._table = table
        self._emit = emit

    def advance(self, watermark_ms: int, rows_max: int) -> bool:
        """At the end of input, give up to ``rows_max`` keys' values; False while there are more."""
        self.watermark = watermark_ms
        if watermark_ms != MAX_WATERMARK:
            return True
        for key in list(islice(self._table.space(""), rows_max)):
            self._emit(self._table.get("", key), None)
            self._table.delete("", key)
        return not self._table.space("")
