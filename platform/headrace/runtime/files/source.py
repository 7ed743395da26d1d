"""FileSource in a lane: a split is a file, its position the byte offset of the next record."""

from __future__ import annotations

import contextlib
import logging
import lzma
import os
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import IO, Any

from headrace.datastream.connectors.polling import Batch, PollingSource, SplitReader
from headrace.runtime.files.formats import Cutter, DecodeRaw, FileFormat, make_format
from headrace.runtime.files.lines import Lines, LineTooLongError
from headrace.runtime.files.places import files_at, open_at
from headrace.runtime.operators.formats import REFUSALS, UndecodableRecordError

RECORDS_MAX = 1_000

log = logging.getLogger(__name__)


class PolledFiles(PollingSource):
    """The files at ``paths``. One file of a lane at a time, so that files are read in the order of their names."""

    open_splits_max = 1

    def __init__(
        self, paths: Iterable[str], format_: FileFormat, *, tolerant: bool, discovery_interval_ms: int | None
    ):
        self.discovery_interval_ms = discovery_interval_ms
        self._paths = list(paths)
        self._format = format_
        self._tolerant = tolerant

    @classmethod
    def of(cls, params: Any) -> PolledFiles:
        """From the parameters of a ``file_source``."""
        spec = params["format"]
        return cls(
            params["paths"],
            make_format(spec),
            tolerant=bool(spec.get("tolerant")),
            discovery_interval_ms=params.get("discovery_interval_ms"),
        )

    def splits(self, lanes: int) -> Iterable[str]:
        return dict.fromkeys(file for path in self._paths for file in files_at(path))

    def open(self, split: str, position: Any) -> SplitReader:
        try:
            return FileReader(split, position or 0, self._format, tolerant=self._tolerant)
        except FileNotFoundError:
            if position is not None or self.discovery_interval_ms is None:
                raise
            log.warning("%s was deleted before anything of it was read: left out", split)
            return _DeletedFile()


class _DeletedFile(SplitReader):
    """What is left of a file in a watched folder."""

    def next_batch(self, now_ms: int) -> Batch | None:
        return None


class FileReader(SplitReader):
    """One file from a byte offset on."""

    def __init__(self, path: str, offset: int, format_: FileFormat, *, tolerant: bool) -> None:
        self._path = path
        self._format = format_
        self._tolerant = tolerant
        with _named(path):
            self._file, self._cutter, self._decode = self._open(offset)

    def next_batch(self, now_ms: int) -> Batch | None:
        start = self._cutter.offset
        with _named(self._path):
            try:
                raw = self._cutter.take(RECORDS_MAX)
            except LineTooLongError as error:
                raise UndecodableRecordError(self._path, start, str(error)) from None
            except ValueError as error:
                if self._tolerant:
                    return Batch((), self._cutter.offset)
                raise UndecodableRecordError(self._path, start, str(error)) from None
            if not raw:
                return None
            try:
                values = self._decode(raw)
            except REFUSALS:
                values = self._readable(start, len(raw))
            return Batch(values, self._cutter.offset, last=not self._cutter.more())

    def close(self) -> None:
        self._file.close()

    def _readable(self, start: int, count: int) -> list[Any]:
        """After a batch was refused: its records one by one, without the bad ones when these are to be left out."""
        file, cutter, decode = self._open(start)
        values: list[Any] = []
        with contextlib.closing(file):
            for _ in range(count):
                before = cutter.offset
                raw = cutter.take(1)
                try:
                    values += decode(raw)
                except REFUSALS as error:
                    if not self._tolerant:
                        reason = f"{error} in {raw[0]!r:.80}"
                        raise UndecodableRecordError(self._path, before, reason) from error
        return values

    def _open(self, offset: int) -> tuple[IO[bytes], Cutter, DecodeRaw]:
        file = open_at(self._path, offset)
        try:
            self._check_length(offset)
            lines = Lines(file, offset)
            if not (offset and self._format.has_header):
                return file, *self._format.reader(lines, None)
            with contextlib.closing(open_at(self._path, 0)) as beginning:
                return file, *self._format.reader(lines, Lines(beginning, 0))
        except ValueError as error:
            file.close()
            raise UndecodableRecordError(self._path, 0, str(error)) from None
        except BaseException:
            file.close()
            raise

    def _check_length(self, offset: int) -> None:
        """A file that is shorter now than what was read of it is another file: going on would hide that."""
        with contextlib.suppress(FileNotFoundError):  # a URL, or about to be told by whoever opens it
            compressed = self._path.lower().endswith((".gz", ".gzip", ".bz2", ".xz"))
            if not compressed and "://" not in self._path and os.path.getsize(self._path) < offset:
                raise ValueError(f"the file ends before offset {offset}, up to which it was read: it was changed")


@contextmanager
def _named(path: str) -> Iterator[None]:
    """What the operating system and decompressors complain about, with the file's name."""
    try:
        yield
    except (EOFError, zlib.error, lzma.LZMAError) as error:
        raise OSError(f"{path}: {error}") from error
    except OSError as error:
        if error.filename is None:
            raise OSError(f"{path}: {error}") from error
        raise
