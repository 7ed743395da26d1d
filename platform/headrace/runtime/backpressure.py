"""How far a lane may run ahead of the lanes that read its exchanges. Pure.

Counts the bytes sent to each exchange partition in commits that its reader has not reported yet (the last c
seen per source lane, in the metadata of the reader's position hint). Over the limit the lane stops reading
all its inputs. After a restart the count begins at zero, so the bound is soft by one lifetime of a lane.
"""

from __future__ import annotations

import threading
from collections import deque

from headrace.log.lane import Split

BYTES_MAX = 256_000_000


class Backpressure:
    """Outstanding bytes per exchange partition of one lane. The lane adds, housekeeping takes away."""

    def __init__(self, lanes: int) -> None:
        self.bytes_max = BYTES_MAX // lanes
        self._sent: dict[Split, deque[tuple[int, int]]] = {}
        self._bytes: dict[Split, int] = {}
        self._lock = threading.Lock()

    def sent(self, c: int, messages: list[tuple[Split, int]]) -> None:
        """Commit ``c`` is durable and put these message sizes on these partitions."""
        with self._lock:
            for split, size in messages:
                self._sent.setdefault(split, deque()).append((c, size))
                self._bytes[split] = self._bytes.get(split, 0) + size

    def read_up_to(self, split: Split, c: int) -> None:
        """The reader of ``split`` has committed everything up to our commit ``c``."""
        with self._lock:
            queue = self._sent.get(split)
            while queue and queue[0][0] <= c:
                self._bytes[split] -= queue.popleft()[1]

    def held_by(self) -> Split | None:
        """The partition whose reader is too far behind, if any."""
        with self._lock:
            return next((split for split, size in self._bytes.items() if size > self.bytes_max), None)
