"""Ports between the lane loop and what runs inside it.

    lane loop  ── batches, watermarks ──►  Chain (operators of one vertex, fused)
    lane loop  ◄── rows ──  EdgeWriter, SinkWriter
    lane loop  ── changes, snapshot chunks, rollback ──►  StateTables

Everything here is called from the lane's own thread, one call at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from headrace.graph.job_graph import Vertex
    from headrace.runtime.state.tables import Tables

#: Event time of the end: the watermark that a source sends when it has ended.
MAX_WATERMARK = 9_223_372_036_854_775_807
#: No watermark yet.
MIN_WATERMARK = -9_223_372_036_854_775_808


class Pending(Enum):
    """Whether rows are inside of a chain whose results come by themselves, such as calls of an AsyncFunction."""

    NONE = "none"
    SOME = "some"
    FULL = "full"  #: no more is to be read for now


class EdgeWriter(Protocol):
    """Takes the rows of one output edge until the next commit takes them away."""

    def write(self, value: Any, time_ms: int | None) -> None:
        """Append one row: the writer computes key and target lane itself."""


class SinkWriter(Protocol):
    """Takes records for topics meant for others; they leave in the lane's transaction."""

    def write(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: list[tuple[str, bytes | None]] | None,
        timestamp_ms: int | None,
    ) -> None: ...


class StateTables(Protocol):
    """Keyed state of one lane: named two-level tables {namespace: {key: value}}.

    Reads see every write at once. Writes since the last ``take_changes`` form the current frame, writes of
    the commit in flight the frame before it; each frame remembers what it replaced, so that an aborted
    commit can be undone without reading the log.
    """

    def take_changes(self) -> list[Any]:
        """Close the current frame for a commit: its changes as TableChange, absolute. A new frame opens."""

    def committed(self) -> None:
        """The commit in flight is durable: forget what its frame replaced."""

    def rollback(self, *, keep_in_flight: bool) -> None:
        """Undo the current frame, and the frame in flight too unless its commit turned out durable."""

    def apply(self, changes: Sequence[Any]) -> None:
        """Restore: apply TableChange records read from the lane log, outside any frame."""

    def clear(self) -> None:
        """Forget everything; a restore follows."""

    def size_bytes(self) -> int:
        """About how many bytes a snapshot of all tables would take."""

    def begin_snapshot(self) -> None:
        """Freeze the list of keys that a fuzzy snapshot will visit."""

    def snapshot_chunk(self, bytes_max: int) -> tuple[list[Any], bool]:
        """The next keys of the snapshot with their values as of now, and whether it is the last chunk."""

    def abandon_snapshot(self) -> None: ...


class Chain(Protocol):
    """The operators of one vertex in one lane, opened once per attempt of the lane.

    ``process_*`` run user code; an exception from it is raised as ``UserCodeError`` with the operator's name.
    """

    def open(self) -> None:
        """After the state was restored: open functions, build what is derived from state."""

    def process_source(self, values: Sequence[Any], times: Sequence[int | None], split: str) -> None:
        """A batch of decoded source records of one split, in order."""

    def process_rows(
        self, edge_input: int, keys: Sequence[Any] | None, values: Sequence[Any], times: Sequence[int | None]
    ) -> None:
        """Rows of one packed message, with the key of each when the edge is a hash edge."""

    def split_watermarks(self) -> dict[str, int]:
        """Sources: watermark of each split as its generator has it now (MIN_WATERMARK if none yet)."""

    def restore_split_watermarks(self, watermarks: dict[str, int]) -> None: ...

    def advance(self, watermark_ms: int, rows_max: int) -> bool:
        """Fire timers and windows up to the watermark, at most about ``rows_max`` firings at a time.

        With rows pending, the watermark is taken, and leaves behind them.

        True: all fired, and ``output_watermark`` is now the watermark. False: call again with the same
        watermark after a commit. A watermark that was reached before, by this chain or an earlier one over the
        same tables, fires nothing.
        """

    def output_watermark(self, edge_operator: int) -> int:
        """The watermark that leaves operator ``edge_operator`` (a ``timestamps`` operator restarts it)."""

    def due(self) -> bool:
        """Between commits, often: what the time of day makes due fires now, and results that have come leave.

        True: a commit is wanted although nothing came in, for what fired or to finish something outside of the log.
        """

    def pending(self) -> Pending:
        """Whether rows are on their way inside. The lane reads no more while FULL, and ends, or is idle, with NONE.

        ``due`` lets their results out; ``wake`` of the chain's factory is called when some have come.
        """

    def prepare(self, c: int, *, final: bool) -> None:
        """Commit ``c`` is about to take the tables' changes; ``final``: it is the lane's last.

        What sinks keep outside of the log is now made to last.
        """

    def committed(self) -> None:
        """The commit prepared last stands in the log: finish outside what the tables say. May be repeated.

        Called for a lane that has finished too, without ``open``.
        """

    def close(self) -> None:
        """Once at the end of the attempt, also after a failure; errors are logged, not raised."""


class UserCodeError(Exception):
    """An exception came out of a user's function. ``__cause__`` is theirs."""

    def __init__(self, operator: str, cause: BaseException) -> None:
        super().__init__(f"{type(cause).__name__}: {cause}")
        self.operator = operator
        self.__cause__ = cause


class ChainFactory(Protocol):
    """How a lane gets its chain: a new one for each attempt and after each rollback, over the same tables."""

    def __call__(
        self,
        vertex: Vertex,
        functions: Mapping[str, Any],
        *,
        lane: int,
        lanes: int,
        attempt: int,
        tables: Tables,
        edge_writers: Mapping[int, Sequence[EdgeWriter]],
        sink_writer: SinkWriter,
        print_line: Callable[[str], None],
        wake: Callable[[], None],
    ) -> Chain:
        """``functions``: function id to a fresh object; ``edge_writers``: operator index to its output edges.

        ``wake`` may be called from any thread: ``due`` has something to do.
        """
