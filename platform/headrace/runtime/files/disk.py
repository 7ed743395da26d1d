"""What a FileSink does to the disk; a port, so that tests can let it die between any two of these."""

from __future__ import annotations

import contextlib
import errno
import os
from typing import IO

PIECE_BYTES = 1 << 20


class Disk:
    """The folders of this machine. Raises OSError with the file's name."""

    def append(self, path: str) -> IO[bytes]:
        """A new file to write to. Its folder is made when it is missing."""
        os.makedirs(os.path.dirname(path), exist_ok=True)
        file = open(path, "xb", buffering=PIECE_BYTES)
        self._sync_folder(os.path.dirname(path))
        return file

    def sync(self, file: IO[bytes]) -> None:
        """All that was written to ``file`` stays, also when the machine loses power."""
        file.flush()
        os.fsync(file.fileno())

    def copy(self, source: str, target: IO[bytes], length: int) -> None:
        """The first ``length`` bytes of a file. Raises OSError when there are fewer."""
        with open(source, "rb") as file:
            left = length
            while left:
                data = file.read(min(left, PIECE_BYTES))
                if not data:
                    raise OSError(errno.EIO, f"shorter than the {length} bytes that were committed", source)
                target.write(data)
                left -= len(data)

    def publish(self, hidden: str, final: str) -> None:
        """Give the file its final name; nothing when that was done before."""
        os.makedirs(os.path.dirname(final), exist_ok=True)
        try:
            os.rename(hidden, final)
        except FileNotFoundError:
            return
        self._sync_folder(os.path.dirname(final))

    def hidden(self, folder: str, prefix: str) -> list[str]:
        """Files of ``folder`` whose names begin with ``prefix``; none when there is no such folder."""
        try:
            return [entry.path for entry in os.scandir(folder) if entry.name.startswith(prefix)]
        except FileNotFoundError:
            return []

    def delete(self, path: str) -> None:
        """Nothing when it is gone."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)

    def _sync_folder(self, folder: str) -> None:
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
