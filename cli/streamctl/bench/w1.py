"""W1, the keyed count: JSON, filter, exchange, windows of 10 s, sink topic; every count checked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import msgspec
from pydantic import JsonValue

from streamctl.bench.drain import Rows
from streamctl.bench.workload import Counts, KeyedViews
from streamctl.trial.cluster import example_file

INPUT, OUTPUT = "events", "counts"


class KeyedCount:
    """``typed``: with a declared row type, of which the job reads three fields."""

    output = OUTPUT

    def __init__(self, records: int, keys: int, *, typed: bool) -> None:
        self.name = "w1-typed" if typed else "w1"
        self.script = example_file("keyed_count.py")
        self.records = records
        self._views = KeyedViews(records, keys)
        self._typed = typed

    def inputs(self) -> Mapping[str, Iterable[tuple[int, bytes]]]:
        return {INPUT: self._views}

    def arguments(self) -> list[str]:
        return ["--input", INPUT, "--output", OUTPUT, *(["--typed"] if self._typed else [])]

    @property
    def windows(self) -> int:
        """Rows that the sink must hold; after ``inputs`` has been gone through."""
        return len(self._views.truth)

    def exact(self, rows: Rows) -> bool:
        found, count = counted(rows)
        return count == len(self._views.truth) and found == self._views.truth

    def facts(self) -> dict[str, JsonValue]:
        return {"keys": self._views.keys, "windows": self.windows}


def counted(rows: Rows) -> tuple[Counts, int]:
    """What the sink holds: counts by user and window, and how many rows that were."""

    class CountRow(msgspec.Struct):
        user: str
        start: int
        count: int

    decode = msgspec.json.Decoder(CountRow).decode
    found: Counts = Counter()
    number = 0
    for _, value in rows:
        row = decode(value)
        found[row.user, row.start] += row.count
        number += 1
    return found, number
