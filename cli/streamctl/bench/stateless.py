"""Map and filter from topic to topic, text in and out; every line compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from pydantic import JsonValue

from streamctl.bench.drain import PARTITIONS, Rows, job_file

INPUT, OUTPUT = "lines", "loud-lines"
LINE_BYTES = 100


class Stateless:
    """Lines of 100 bytes that begin with their number; those that end in a digit below 7 are kept, in capitals."""

    name = "stateless"
    output = OUTPUT

    def __init__(self, records: int) -> None:
        self.script = job_file("loud_lines.py")
        self.records = records

    def inputs(self) -> Mapping[str, Iterable[tuple[int, bytes]]]:
        return {INPUT: self._lines()}

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        for n in range(self.records):
            yield n % PARTITIONS, line(n).encode()

    def arguments(self) -> list[str]:
        return ["--input", INPUT, "--output", OUTPUT]

    def exact(self, rows: Rows) -> bool:
        found = Counter(value for _, value in rows)
        return found == Counter(text.upper().encode() for text in map(line, range(self.records)) if kept(text))

    def facts(self) -> dict[str, JsonValue]:
        return {"bytes": LINE_BYTES}


def line(number: int) -> str:
    """``number`` first, padding, its last digit at the end."""
    return f"{number:09d} {'line by line ' * 7}"[: LINE_BYTES - 1] + str(number * 7919 % 10)


def kept(text: str) -> bool:
    return text[-1] < "7"
