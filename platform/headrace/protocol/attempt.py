"""Numbers of attempts: ``<planned>.<local>``, as "2.1".

The JobMaster raises the planned number with each start it plans; the TaskManager raises the local one with
each restart of its own. Pure: no I/O.
"""

from __future__ import annotations

from typing import NamedTuple


class Attempt(NamedTuple):
    """Ordered by planned number, then by local restarts."""

    planned: int
    local: int

    @classmethod
    def parse(cls, text: str) -> Attempt:
        """Raises ValueError when ``text`` is not "<planned>.<local>"."""
        planned, _, local = text.partition(".")
        return cls(int(planned), int(local))

    def __str__(self) -> str:
        return f"{self.planned}.{self.local}"
