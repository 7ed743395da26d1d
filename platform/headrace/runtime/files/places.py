"""Where the files of a source are: folders of this machine, or whatever fsspec reads.

Every lane lists for itself, so all lanes must see the same files.
"""

from __future__ import annotations

import bz2
import errno
import gzip
import lzma
import os
import socket
from collections.abc import Callable, Iterator
from typing import IO, Any, cast

from headrace.errors import UsageError

_DECOMPRESS: dict[str, Callable[[Any], Any]] = {
    ".gz": gzip.open,
    ".gzip": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
}


def files_at(path: str) -> Iterator[str]:
    """The file itself, or all files in and below a folder, without hidden ones.

    Raises OSError when there is nothing at the path or it cannot be read, UsageError for a URL that nobody reads.
    """
    if "://" in path:
        yield from _files_at_url(path)
        return
    if os.path.isfile(path):
        yield path
        return
    if not os.path.isdir(path):
        raise FileNotFoundError(errno.ENOENT, f"no such file or folder on host {socket.gethostname()}", path)
    for folder, folders, names in os.walk(path, onerror=_raise):
        folders[:] = [name for name in folders if not _hidden(name)]
        yield from (os.path.join(folder, name) for name in names if not _hidden(name))


def open_at(path: str, offset: int) -> IO[bytes]:
    """The file for reading from a byte offset; of a compressed file, an offset in what it holds."""
    # Buffering is the reader's: it takes large pieces.
    raw = _open_url(path) if "://" in path else open(path, "rb", buffering=0)
    decompress = _DECOMPRESS.get(os.path.splitext(path)[1].lower())
    file = cast(IO[bytes], raw if decompress is None else _Decompressed(decompress(raw), raw))
    if offset:
        file.seek(offset)
    return file


class _Decompressed:
    """A decompressing file that closes the file below too."""

    def __init__(self, file: Any, below: Any) -> None:
        self._file, self._below = file, below
        self.read, self.seek = file.read, file.seek

    def close(self) -> None:
        self._file.close()
        self._below.close()


def _hidden(name: str) -> bool:
    return name.startswith((".", "_"))


def _raise(error: OSError) -> None:
    raise error


def _url_to_fs(path: str) -> tuple[Any, str]:
    try:
        from fsspec.core import url_to_fs
    except ModuleNotFoundError:
        raise UsageError(
            "storage-unavailable",
            f"{path}: URLs are read by fsspec, which is not installed on host {socket.gethostname()}",
            hint="install headrace[storage] and fsspec's package for this kind of storage on every worker",
        ) from None
    try:
        fs, inside = url_to_fs(path)
    except (ImportError, ValueError) as error:
        raise UsageError(
            "storage-unavailable", f"{path}: {error}", hint="install what fsspec needs for it"
        ) from error
    return fs, inside


def _files_at_url(path: str) -> Iterator[str]:
    fs, inside = _url_to_fs(path)
    fs.invalidate_cache()
    if fs.isfile(inside):
        yield fs.unstrip_protocol(inside)
        return
    if not fs.exists(inside):
        raise FileNotFoundError(errno.ENOENT, "no such file or folder", path)
    for found in fs.find(inside):
        if not any(_hidden(part) for part in found.removeprefix(inside).split("/") if part):
            yield fs.unstrip_protocol(found)


def _open_url(path: str) -> Any:
    fs, inside = _url_to_fs(path)
    return fs.open(inside, "rb")
