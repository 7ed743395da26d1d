"""Results of a job that come back to the program: what ``execute_and_collect`` reads.

The job's collect sink writes values to a topic of their own, in the lanes' transactions: each arrives once, whatever
fails meanwhile (at least once in that mode). Values are pickled; the program unpickles what its own job wrote.
"""

from __future__ import annotations

import pickle
from collections import deque
from typing import TYPE_CHECKING, Any, Protocol, Self

from headrace import clock

if TYPE_CHECKING:
    from headrace.log.lane import LaneReader

VALUES_AT_ONCE_MAX = 1_000
#: How long the last results of an ended job are waited for.
END_S = 30.0


class ResultSource(Protocol):
    """Where results come from."""

    def take(self) -> list[Any] | None:
        """The values that came meanwhile, maybe none; None when no more will come.

        Raises JobFailedError when the job failed, after its committed results.
        """

    def close(self) -> object:
        """No more is wanted: a job that still runs is cancelled. May be called again."""


class CloseableIterator:
    """Results of a running job, as they are committed; also a context manager.

    At the end of the job it stops. ``close``, or leaving the ``with`` block, before that cancels the job.
    """

    def __init__(self, source: ResultSource) -> None:
        self._source = source
        self._waiting: deque[Any] = deque()
        self._over = False

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        while not self._waiting:
            values = None if self._over else self._source.take()
            if values is None:
                self.close()
                raise StopIteration
            self._waiting.extend(values)
        return self._waiting.popleft()

    def next(self) -> Any:
        """PyFlink's name of ``__next__``."""
        return self.__next__()

    def close(self) -> None:
        """Cancel the job if it still runs, and remove what it collected."""
        if not self._over:
            self._over = True
            self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class ResultReader:
    """Reads a topic of results from its start; one thread at a time. ``reader`` is closed with it."""

    def __init__(self, reader: LaneReader, topic: str) -> None:
        self._reader = reader
        self._split = (topic, 0)
        self._next = 0
        reader.assign({self._split: 0})

    def take(self, timeout_s: float) -> list[Any]:
        """Values that came, maybe none."""
        messages = self._reader.read(VALUES_AT_ONCE_MAX, timeout_s)
        if messages:
            self._next = messages[-1].offset() + 1
        return [pickle.loads(message.value()) for message in messages]

    def rest(self) -> list[Any]:
        """All that is left; to be called once nobody writes any more. Raises TimeoutError after END_S."""
        self._reader.assign({self._split: self._next})
        deadline_s = clock.monotonic_s() + END_S
        values: list[Any] = []
        while self._split not in self._reader.at_end():
            values += self.take(0.2)
            if clock.monotonic_s() > deadline_s:
                raise TimeoutError(f"the end of {self._split[0]} was not reached within {END_S:.0f} s")
        return values

    def close(self) -> None:
        self._reader.close()
