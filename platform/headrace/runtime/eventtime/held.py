"""Why event time stands still in a lane, in words for its user. Pure; seconds are monotonic.

A watermark that does not move while rows come in, or that never began, is the usual reason for windows that do not
fire. Who holds it is known to the inputs: a partition that is silent, or a lane upstream.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from headrace.graph.job_graph import JobGraph

#: Standing still for less is normal: out-of-order bounds, bursts, commits of other lanes.
HELD_S = 10.0
LOOK_S = 1.0


def in_words(watermark_ms: int) -> str:
    """ "2013-01-01 10:00:00 UTC"; the number itself when it is no date."""
    try:
        return f"{datetime.fromtimestamp(watermark_ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (ValueError, OverflowError, OSError):
        return str(watermark_ms)


#: For windows before which nothing gives watermarks.
NO_STRATEGY = (
    "; no source before these windows has a WatermarkStrategy, so they fire at the end of the input only: give "
    "from_source() one, or call assign_timestamps_and_watermarks()"
)


def has_strategy(graph: JobGraph, vertex_id: str) -> bool:
    """Whether any operator before this vertex gives watermarks."""
    before = {vertex_id}
    for vertex in reversed(graph.vertices):  # in topological order: those that read a vertex come after it
        if any(edge.target in before for edge in graph.outputs(vertex.id)):
            before.add(vertex.id)
            if any(operator.params.get("watermark") for operator in vertex.operators):
                return True
    return False


class HeldWatermark:
    """Of one lane. ``holding`` says who holds the watermark ("" when nobody does); asked once a LOOK_S at most."""

    def __init__(self, holding: Callable[[], str], now_s: float) -> None:
        self._holding = holding
        self._moved_s: float | None = None  #: None before the first watermark
        self._rows_s = now_s
        self._look_s = now_s + HELD_S
        self._reason = ""

    def rows_came(self, now_s: float) -> None:
        self._rows_s = now_s

    def moved(self, now_s: float) -> None:
        self._moved_s = now_s
        self._look_s = now_s + HELD_S
        self._reason = ""

    def reason(self, now_s: float) -> str:
        """ "watermark held by idle partition 3 of topic bids: no record yet", "" while all is as usual."""
        if now_s >= self._look_s:
            self._look_s = now_s + LOOK_S
            flowing = now_s - self._rows_s <= HELD_S  # an input that is just quiet holds nothing up
            waited_for = self._moved_s is None or (flowing and self._rows_s > self._moved_s)
            holder = self._holding() if waited_for else ""
            self._reason = f"watermark held by {holder}" if holder else ""
        return self._reason
