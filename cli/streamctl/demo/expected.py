"""What the flights job must give, computed in plain Python without the platform, and the comparison.

Pure: no I/O.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from streamctl.demo.data import Flight


@dataclass(frozen=True)
class Row:
    """One result: a carrier's day (UTC)."""

    carrier: str
    name: str
    day: str
    flights: int
    mean_delay: float
    worst_delay: int


@dataclass(frozen=True)
class Comparison:
    """The sink against the expected rows. ``wrong`` rows have a known carrier and day but other values."""

    exact: bool
    expected: int
    found: int
    lost: int
    duplicated: int
    wrong: int


def expected_rows(flights: Iterable[Flight], airlines: dict[str, str]) -> list[Row]:
    """One row per carrier and UTC day on which it had a flight."""
    delays: dict[tuple[str, str], list[int]] = {}
    for flight in flights:
        delays.setdefault((flight.carrier, flight.time_hour[:10]), []).append(flight.dep_delay)
    return [
        Row(carrier, airlines[carrier], day, len(group), sum(group) / len(group), max(group))
        for (carrier, day), group in sorted(delays.items())
    ]


def compare(expected: Iterable[Row], found: Iterable[Row]) -> Comparison:
    """Count what differs. A row is lost when its carrier and day are missing, duplicated for each time too many."""
    wanted, got = list(expected), list(found)
    days = Counter((row.carrier, row.day) for row in got)
    known = set(wanted)
    return Comparison(
        exact=Counter(wanted) == Counter(got),
        expected=len(wanted),
        found=len(got),
        lost=sum((row.carrier, row.day) not in days for row in wanted),
        duplicated=sum(count - 1 for count in days.values()),
        wrong=sum(row not in known for row in got),
    )
