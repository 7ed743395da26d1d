"""The broker's log, read as it grows, for the one line that tells of lost commit markers."""

from __future__ import annotations

from pathlib import Path

from headrace.embedded.kafka_server import SKIPPED_MARKERS
from headrace.embedded.processes import file_size

READ_BYTES_MAX = 4_000_000
LINES_MAX = 5


class BrokerLog:
    """A position in a log file that its writer rotates."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._position = file_size(path)

    def alarms(self) -> list[str]:
        """Lines written since the last call that tell of skipped markers, the last few of them."""
        size = file_size(self._path)
        if size < self._position:  # rotated: what was left of the old file is not looked at again
            self._position = 0
        if size == self._position:
            return []
        start = max(self._position, size - READ_BYTES_MAX)
        try:
            with self._path.open("rb") as file:
                file.seek(start)
                data = file.read(size - start)
        except FileNotFoundError:  # being rotated just now
            return []
        whole = data.rfind(b"\n") + 1
        self._position = start + whole
        lines = data[:whole].decode(errors="replace").splitlines()
        return [line for line in lines if SKIPPED_MARKERS in line][-LINES_MAX:]
