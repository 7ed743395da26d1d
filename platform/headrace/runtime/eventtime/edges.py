"""Watermarks of a lane that reads exchanges: one per input edge and source lane, the least of them counts.

The source lanes of an edge are a fixed set. One that has not spoken holds everything back; one that said it is
idle, or that it has ended, does not. A source lane's watermark never goes back. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from headrace.runtime.ports import MAX_WATERMARK, MIN_WATERMARK

LaneWatermarks = dict[str, dict[int, int]]
LaneSets = dict[str, list[int]]


class EdgeWatermarks:
    """Tracks every (edge, source lane) of one lane's inputs."""

    def __init__(self, sources: Mapping[str, Sequence[int]]) -> None:
        """``sources``: edge id to the lanes that write to this lane over it."""
        self._sources = [(edge, lane) for edge, lanes in sources.items() for lane in lanes]
        self._edges = list(sources)
        self._watermarks: dict[tuple[str, int], int] = {}
        self._idle: set[tuple[str, int]] = set()
        self._ended: set[tuple[str, int]] = set()
        self._minimum: int | None = None

    def advance(self, edge: str, lane: int, watermark: int) -> None:
        """The source lane's watermark is now at least this."""
        at = (edge, lane)
        if watermark > self._watermarks.get(at, MIN_WATERMARK):
            self._watermarks[at] = watermark
            self._minimum = None

    def set_idle(self, edge: str, lane: int, idle: bool) -> None:
        at = (edge, lane)
        if idle != (at in self._idle):
            (self._idle.add if idle else self._idle.discard)(at)
            self._minimum = None

    def end(self, edge: str, lane: int) -> None:
        self._ended.add((edge, lane))
        self._minimum = None

    def minimum(self) -> int:
        """The least watermark of all source lanes that are neither idle nor ended.

        All ended: MAX_WATERMARK. None ended but all idle: the greatest heard, as nobody holds it back.
        """
        if self._minimum is None:
            waiting = [at for at in self._sources if at not in self._ended and at not in self._idle]
            if waiting:
                self._minimum = min(self._watermarks.get(at, MIN_WATERMARK) for at in waiting)
            elif self.all_ended():
                self._minimum = MAX_WATERMARK
            else:
                idle = [at for at in self._sources if at not in self._ended]
                self._minimum = max(self._watermarks.get(at, MIN_WATERMARK) for at in idle)
        return self._minimum

    def least(self) -> tuple[str, int, int]:
        """(edge, source lane, its watermark) of one that holds all others back; of any when nobody does."""
        waiting = [at for at in self._sources if at not in self._ended and at not in self._idle] or self._sources
        least = min(waiting, key=lambda at: self._watermarks.get(at, MIN_WATERMARK))
        return *least, self._watermarks.get(least, MIN_WATERMARK)

    def all_idle(self) -> bool:
        """Nobody is expected to speak, and not everybody has ended."""
        return not self.all_ended() and all(at in self._idle or at in self._ended for at in self._sources)

    def all_ended(self) -> bool:
        return len(self._ended) == len(self._sources)

    def snapshot(self) -> tuple[LaneWatermarks, LaneSets, LaneSets]:
        """(watermarks, idle, ended) by edge, for the lane log."""
        watermarks: LaneWatermarks = {}
        for (edge, lane), watermark in self._watermarks.items():
            watermarks.setdefault(edge, {})[lane] = watermark
        return watermarks, _by_edge(self._idle), _by_edge(self._ended)

    def restore(
        self,
        watermarks: Mapping[str, Mapping[int, int]],
        idle: Mapping[str, Sequence[int]],
        ended: Mapping[str, Sequence[int]],
    ) -> None:
        """Become what ``snapshot`` gave."""
        self._watermarks = {(edge, lane): w for edge, lanes in watermarks.items() for lane, w in lanes.items()}
        self._idle = {(edge, lane) for edge, lanes in idle.items() for lane in lanes}
        self._ended = {(edge, lane) for edge, lanes in ended.items() for lane in lanes}
        self._minimum = None


def _by_edge(lanes: set[tuple[str, int]]) -> LaneSets:
    out: LaneSets = {}
    for edge, lane in sorted(lanes):
        out.setdefault(edge, []).append(lane)
    return out
