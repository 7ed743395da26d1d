"""Interval join of two topics, orders and their payments, bounds of 10 s; every pair compared."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

import msgspec
from pydantic import JsonValue

from streamctl.bench.drain import PARTITIONS, Rows, job_file

ORDERS, PAYMENTS, OUTPUT = "orders", "payments", "paid"
ORDERS_PER_MS = 5
BOUND_MS = 10_000
#: A payment comes this long before or after its order: one in six is out of bounds.
DISTANCE_MAX_MS = 12_000
START_MS = 1_700_000_000_000
RECORD_BYTES = 100
SEED = 1


class IntervalJoin:
    """One payment for each order, both topics in the order of event time."""

    name = "join"
    output = OUTPUT

    def __init__(self, records: int) -> None:
        self.script = job_file("paid_orders.py")
        self._orders = records // 2
        self.records = 2 * self._orders
        chance = random.Random(SEED)
        self._distances = [chance.randint(-DISTANCE_MAX_MS, DISTANCE_MAX_MS) for _ in range(self._orders)]

    def inputs(self) -> Mapping[str, Iterable[tuple[int, bytes]]]:
        paid_at = ((START_MS + n // ORDERS_PER_MS + far, n) for n, far in enumerate(self._distances))
        ordered_at = ((START_MS + n // ORDERS_PER_MS, n) for n in range(self._orders))
        return {ORDERS: self._records(ordered_at), PAYMENTS: self._records(sorted(paid_at))}

    def _records(self, rows: Iterable[tuple[int, int]]) -> Iterator[tuple[int, bytes]]:
        for number, (ts, n) in enumerate(rows):
            body = f'{{"order":"o{n:08d}","ts":{ts},"cents":{n % 10_000},"pad":"'
            yield number % PARTITIONS, (body + "x" * (RECORD_BYTES - len(body) - 2) + '"}').encode()

    def arguments(self) -> list[str]:
        return ["--orders", ORDERS, "--payments", PAYMENTS, "--output", OUTPUT, "--bound-ms", str(BOUND_MS)]

    def exact(self, rows: Rows) -> bool:
        found = Counter((row["order"], row["after_ms"]) for row in (msgspec.json.decode(value) for _, value in rows))
        within = ((n, far) for n, far in enumerate(self._distances) if abs(far) <= BOUND_MS)
        return found == Counter((f"o{n:08d}", far) for n, far in within)

    def facts(self) -> dict[str, JsonValue]:
        return {"pairs": sum(abs(far) <= BOUND_MS for far in self._distances), "bound_ms": BOUND_MS}
