"""How a process becomes the owner of a lane: its transactional id first, then its log.

Whoever initialises the id last owns the lane; everybody before is fenced, and an open transaction is ended.
Only then is the log read, up to an end that counts open transactions, so that nothing can be missed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from headrace.log.lane import LaneConnection, LaneProducer, LogError, PositionLostError, Remedy
from headrace.protocol.data import LaneLogRecord, TableChange
from headrace.runtime.lane_log import RESTORE_WAIT_MS, Deadline, LaneLogPartition

T = TypeVar("T")

TRANSACTION_TIMEOUT_S = 20.0
INIT_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class Acquired:
    """A fresh producer, and what the lane log said right after it was initialised."""

    producer: LaneProducer
    newest: LaneLogRecord | None
    start: int
    end: int


class LaneOwnership:
    """Acquires one lane, as often as needed."""

    def __init__(
        self,
        connection: LaneConnection,
        transactional_id: str,
        log: LaneLogPartition,
        *,
        clock: Callable[[], float],
        pause: Callable[[float], bool],
        log_timeout_s: float = 40.0,
    ) -> None:
        """``pause`` waits up to so many seconds and returns True when the lane is to stop."""
        self._connection = connection
        self._id = transactional_id
        self._log = log
        self._clock = clock
        self._pause = pause
        self._log_timeout_s = log_timeout_s

    def acquire(self) -> Acquired | None:
        """Initialise the id and read the newest record; None when the lane was told to stop meanwhile.

        Rides out an absent broker for as long as it takes: every non-fatal error means again, with back-off.
        """
        producer = self._initialised_producer()
        if producer is None:
            return None
        bounds = self.persist(lambda: self._connection.bounds(self._log.topic, self._log.lane, INIT_TIMEOUT_S))
        if bounds is None:
            producer.close()
            return None
        start, end = bounds
        try:
            newest = self._with_reader(lambda reader: self._log.newest(reader, start, end, self._deadline()))
        except PositionLostError:
            producer.close()  # an owner before us trimmed its log in this moment: look again
            return self.acquire()
        return Acquired(producer, newest, start, end)

    def replay(self, acquired: Acquired, apply: Callable[[list[TableChange]], None]) -> int:
        """Rebuild state from the log; the bytes of log replayed."""
        newest = acquired.newest
        if newest is None:
            return 0
        return self._with_reader(
            lambda reader: self._log.restore(reader, newest, acquired.start, acquired.end, apply, self._deadline())
        )

    def _initialised_producer(self) -> LaneProducer | None:
        back_off_s = 0.05
        while True:
            producer = self._connection.producer(self._id, TRANSACTION_TIMEOUT_S)
            try:
                producer.init(INIT_TIMEOUT_S)
                return producer
            except LogError as error:
                producer.close()
                if error.remedy is Remedy.FENCED:
                    raise
            if self._pause(back_off_s):
                return None
            back_off_s = min(1.0, back_off_s * 2)

    def persist(self, call: Callable[[], T]) -> T | None:
        """Ask again for as long as nobody answers; None when the lane was told to stop meanwhile."""
        while True:
            try:
                return call()
            except LogError as error:
                if error.remedy is not Remedy.RETRY:
                    raise
            if self._pause(0.1):
                return None

    def _with_reader(self, use: Callable[..., T]) -> T:
        reader = self._connection.reader(committed=True, wait_ms=RESTORE_WAIT_MS)
        try:
            return use(reader)
        finally:
            reader.close()

    def _deadline(self) -> Deadline:
        return Deadline(self._clock() + self._log_timeout_s, self._clock)
