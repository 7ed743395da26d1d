"""What a lane asks of its surroundings and tells them: its phase, its worker, its makings, how it fails."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Protocol

from headrace.log.lane import LaneConnection, LaneProducer
from headrace.runtime.commit import Commit, SinkRecord
from headrace.runtime.exchange import EdgeBuffer
from headrace.runtime.inputs import Inputs
from headrace.runtime.lane_log import LaneLogPartition
from headrace.runtime.ports import Chain, StateTables


class LaneFailedError(Exception):
    """The lane cannot go on as it is; ``retryable`` says whether a restart may help."""

    def __init__(self, text: str, *, retryable: bool) -> None:
        super().__init__(text)
        self.retryable = retryable


class Phase(Enum):
    """What a lane is doing."""

    STARTING = "starting"
    RUNNING = "running"
    FINISHED = "finished"
    STOPPED = "stopped"


class LaneHost(Protocol):
    """What the lane needs from its worker."""

    def running(self) -> None:
        """Restored, and its first commit stands."""

    def fenced(self) -> None:
        """Somebody else initialised this lane's id. ``Lane.resume`` or ``Lane.stop`` is to follow."""


class Commits(Protocol):
    """Runs one transaction at a time; ``commit.done`` is set when its outcome is known."""

    call_began_s: float | None

    def submit(self, producer: LaneProducer, commit: Commit) -> None: ...

    def close(self) -> None: ...


class LaneParts(Protocol):
    """The makings of a lane: built once per attempt from its task."""

    name: str
    owner_id: str  #: names this attempt of this process in the lane log
    interval_s: float
    direct: bool  #: at least once: outputs leave at once, outside of the commit's transaction
    inputs: Inputs
    buffers: list[EdgeBuffer]
    exchange_topics: dict[str, str]  #: edge id to topic
    sink_records: list[SinkRecord]  #: filled by the chain's sinks, emptied by commits

    @property
    def tables(self) -> StateTables: ...

    def log_of(self, connection: LaneConnection) -> LaneLogPartition:
        """This lane's partition of its vertex's lane-log topic."""

    def new_chain(self, wake: Callable[[], None]) -> Chain:
        """Fresh functions, not yet opened. ``wake`` makes the lane look at its chain again; any thread."""
