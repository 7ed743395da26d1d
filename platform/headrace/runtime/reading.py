"""The lane's reader, replaced when it fails."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from headrace.log.lane import LaneConnection, LaneReader, LogError, Split

READ_AGAIN_S = 0.2
FAILURES_MAX = 30


@dataclass(frozen=True)
class Fetching:
    """How an input's reader asks the broker. Gathering saves the broker a request per small batch of others."""

    committed: bool = True
    wait_ms: int = 50
    gather_bytes: int = 1
    options: Mapping[str, str] = field(default_factory=dict)  #: of the user's, librdkafka's names


class CannotReadError(Exception):
    """Every new reader failed too."""


class LaneReading:
    """Reads at the lane's working positions; a reader that fails is replaced after a pause."""

    def __init__(self, connection: LaneConnection, pause: Callable[[float], bool], fetching: Fetching) -> None:
        """``pause`` waits and returns True when the lane is to stop."""
        self._connection = connection
        self._pause = pause
        self._fetching = fetching
        self._reader: LaneReader | None = None
        self._failures = 0
        self.reason = ""

    def seek(self, positions: Mapping[Split, int]) -> None:
        """Read on here. Raises CannotReadError when that never succeeds; gives up when the lane is to stop."""
        while positions:
            try:
                self._reader = self._reader or self._new_reader()
                self._reader.assign(positions)
                return
            except LogError as error:
                if self._failed(error):
                    return

    def read(self, messages_max: int, timeout_s: float, positions: Callable[[], Mapping[Split, int]]) -> list[Any]:
        """Messages, or none. ``positions`` are asked for when a new reader must go on where this one failed."""
        if self._reader is None:
            return []
        try:
            messages = self._reader.read(messages_max, timeout_s)
        except LogError as error:
            if not self._failed(error):
                self.seek(positions())
            return []
        if messages:
            self._failures, self.reason = 0, ""
        return messages

    def end_seen(self, split: Split) -> int:
        """Offset at which the end of ``split`` was last seen, -1 if never."""
        return -1 if self._reader is None else self._reader.end_offset_seen(split)

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _new_reader(self) -> LaneReader:
        fetching = self._fetching
        return self._connection.reader(
            committed=fetching.committed,
            wait_ms=fetching.wait_ms,
            gather_bytes=fetching.gather_bytes,
            options=fetching.options,
        )

    def _failed(self, error: LogError) -> bool:
        self.reason = f"reading: {error}"
        self._failures += 1
        if self._failures > FAILURES_MAX:
            raise CannotReadError(f"{self._failures} readers failed in a row, the last with {error}") from error
        self.close()
        return self._pause(READ_AGAIN_S)
