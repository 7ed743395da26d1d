"""Input of the keyed count and what it must give, both from one seed. Pure: no I/O.

A record is about 100 bytes of JSON: id, user, kind, ts, price, padding. 70 % have kind "view". Event time goes
on by 1 ms every RECORDS_PER_MS records, in order.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator

from streamctl.bench.drain import PARTITIONS

RECORDS_PER_MS = 10
RECORD_BYTES = 100
VIEWS_SHARE = 0.7
WINDOW_MS = 10_000
START_MS = 1_700_000_000_000
SEED = 1

#: (user, start of the window in ms) to the number of views.
Counts = Counter[tuple[str, int]]


class KeyedViews:
    """The input of one run; iterate once, then ``truth`` holds what the job must count."""

    def __init__(self, records: int, keys: int) -> None:
        self.records = records
        self.keys = keys
        self.truth: Counts = Counter()

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        """(partition, value) of every record, in event time order within a partition."""
        chance = random.Random(SEED)
        draw, below = chance.random, chance.randrange
        for n in range(self.records):
            user = f"u{int(draw() * self.keys):05d}"
            ts = START_MS + n // RECORDS_PER_MS
            if draw() < VIEWS_SHARE:
                kind = "view"
                self.truth[user, ts - ts % WINDOW_MS] += 1
            else:
                kind = "click"
            body = f'{{"id":{n},"user":"{user}","kind":"{kind}","ts":{ts},"price":{below(100, 100_000)},"pad":"'
            yield n % PARTITIONS, (body + "x" * (RECORD_BYTES - len(body) - 2) + '"}').encode()
