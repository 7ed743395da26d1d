"""The port that connectors implement to be a source: splits, each read by polling from a position.

    PollingSource.splits        which parts the outside system has; every lane takes its own of them
    PollingSource.open          a reader of one split, from where the lane's last commit stood
    SplitReader.next_batch      records, and the position after them

The engine commits positions together with what became of the records. So each record counts exactly once when a
reader gives the same records again from the same position, and at most once when the outside cannot repeat them
(a measurement): what was read and not committed is then read anew, as whatever it is by that time.

``headrace.testing.connectors`` checks an implementation against this contract.
"""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from headrace.common.typeinfo import TypeInformation, Types
from headrace.datastream.connectors.base import Source
from headrace.graph.job_graph import OperatorKind

__all__ = ["Batch", "PollingSource", "SplitReader"]


@dataclass(frozen=True, slots=True)
class Batch:
    """Records of one split, and the position after the last of them.

    ``position`` is any small value that can be pickled and is never changed: an int, a str, a tuple of these. It
    goes into the lane's log with every commit that moved it. ``times`` are event times in ms since 1970 in UTC,
    one for each record; None when the records have none. ``last``: the split has ended with these records, and
    its end is committed together with them; without it the end is known when ``next_batch`` returns None.
    """

    records: Sequence[Any]
    position: Any
    times: Sequence[int | None] | None = None
    last: bool = False


class SplitReader(ABC):
    """Reads one split. Made by ``PollingSource.open``, used and closed by one lane's thread."""

    @abstractmethod
    def next_batch(self, now_ms: int) -> Batch | None:
        """What comes next; an empty batch when there is nothing for now, None when the split has ended for good.

        ``now_ms`` is the time of day in ms since 1970. Keep a batch small (about a thousand records) and the call
        short (well below a second): the lane commits between calls. An exception ends this attempt of the lane,
        and the job's restart strategy decides; the next attempt opens the split at its last committed position.
        """

    def next_awake(self) -> int | None:
        """The time of day in ms before which ``next_batch`` need not be called; None when it may be at any time.

        Asked after each batch. Lanes look every 100 ms at the latest when they have nothing to do.
        """
        return None

    def close(self) -> None:  # noqa: B027
        """The end of this reader. Called once."""


class PollingSource(Source):
    """A source of splits that are read by polling; derive from it for a system of your own.

    The object travels to the workers by pickle: hold settings in it, and make connections in ``open``. Splits are
    spread over the source's lanes by ``lane_of``. A source without ``discovery_interval_ms`` asks for its splits
    once and ends when all of them have ended.
    """

    kind = OperatorKind.POLLING_SOURCE
    #: How often ``splits`` is asked for new ones, in ms; None: never again. Then the source has no end.
    discovery_interval_ms: int | None = None
    #: How many splits a lane reads at a time; further ones wait for one to end. In the order of their names.
    open_splits_max = 64

    @abstractmethod
    def splits(self, lanes: int) -> Iterable[str]:
        """The names of all splits that there are now, the same on every lane; the source runs in ``lanes`` lanes.

        A split that was there once and is missing now is read on as if it were there.
        """

    @abstractmethod
    def open(self, split: str, position: Any) -> SplitReader:
        """A reader of ``split`` from a position that one of its batches had; None: from its beginning."""

    def lane_of(self, split: str, lanes: int) -> int:
        """The lane that reads ``split``: the same answer every time and everywhere."""
        return zlib.crc32(split.encode()) % lanes

    def describe(self) -> str:
        return type(self).__name__

    def produced_type(self) -> TypeInformation:
        return Types.PICKLED_BYTE_ARRAY()

    def params(self) -> dict[str, Any]:
        """What people are shown of the source, as JSON; without secrets."""
        return {}

    def functions(self) -> dict[str, Any]:
        return {"source": self}
