"""When a TaskManager counts as lost.

Lost: for LOST_MS of successful reads the counter in its record did not move, counted from the latest of the
JobMaster's start, the last store error, a change of the store's identity (restart, flush) and the moment the
TaskManager was first watched. A read that comes late (this process was stopped or starved) starts the count
again too: what was not read cannot be called silent.

A lost TaskManager may well live. Nothing rests on the verdict but speed: its lanes are fenced by their ids.

Pure: no I/O.
"""

from __future__ import annotations

from collections.abc import Collection

from headrace.protocol.control import TaskManagerRecord

Beat = tuple[str, int]  #: instance, counter

LOST_MS = 3_000
#: Reads further apart than this do not add up to a silence.
READ_GAP_MS = 1_500


class Liveness:
    """The watch over the TaskManagers of one job. Times are when a read was asked for."""

    def __init__(self, now_ms: int) -> None:
        self._since_ms = now_ms  #: no silence counts from before this
        self._read_ms = now_ms
        self._identity = ""
        self._beats: dict[str, tuple[Beat | None, int]] = {}  #: of the watched: the last one, since when
        self._lost: dict[str, Beat | None] = {}  #: the last one before they were lost

    def failed(self, now_ms: int) -> None:
        """A read did not succeed."""
        self._since_ms = max(self._since_ms, now_ms)

    def read(
        self, watched: Collection[str], records: dict[str, TaskManagerRecord], identity: str, asked_ms: int
    ) -> list[str]:
        """The watched TaskManagers that are lost now; each is told once, and is watched afresh from then on."""
        if identity != self._identity or asked_ms - self._read_ms > READ_GAP_MS:
            self._identity = identity
            self._since_ms = asked_ms
        self._read_ms = asked_ms
        beats, lost = {}, []
        for name in sorted(watched):
            beat = _beat(records, name)
            before, since_ms = self._beats.get(name, (beat, asked_ms))
            if beat is not None and beat != before:
                since_ms = asked_ms
            if asked_ms - max(since_ms, self._since_ms) >= LOST_MS:
                lost.append(name)
                self._lost[name] = beat or before
            else:
                beats[name] = (beat or before, since_ms)
        self._beats = beats
        return lost

    def returned(self, records: dict[str, TaskManagerRecord]) -> list[str]:
        """Lost TaskManagers that have shown a sign of life since; each is told once."""
        back = [name for name, before in self._lost.items() if _beat(records, name) not in (None, before)]
        for name in back:
            del self._lost[name]
        return back


def _beat(records: dict[str, TaskManagerRecord], name: str) -> Beat | None:
    record = records.get(name)
    return None if record is None else (record.instance, record.counter)
