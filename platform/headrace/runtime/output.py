"""What user code prints and logs, line by line into the worker's output file, marked with its lane.

A line is ``lane TAB attempt TAB stream TAB text``. The TaskManager ships the file; it is kept below
ROTATE_BYTES by renaming it to ``<name>.1``. Not transactional: lines may repeat after a restart.
"""

from __future__ import annotations

import io
import logging
import os
import sys
import threading
from pathlib import Path
from typing import Protocol, TextIO

ROTATE_BYTES = 10_000_000
LINE_CHARS_MAX = 16_384

_current = threading.local()


def enter_lane(lane: str, attempt: str) -> None:
    """What this thread prints from now on belongs to this lane."""
    _current.mark = f"{lane}\t{attempt}"


def thread_mark() -> str:
    """The mark of what this thread prints, for a thread that it begins: see ``enter_mark``."""
    return getattr(_current, "mark", "\t")


def enter_mark(mark: str) -> None:
    """What this thread prints from now on belongs where another thread's does."""
    _current.mark = mark


class Output(Protocol):
    """Takes what print sinks write."""

    def line(self, stream: str, text: str) -> None: ...


class OutputFile:
    """The file itself; lines of all lanes, whole lines only."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._file: TextIO = self._open()

    def _open(self) -> TextIO:
        return open(self._path, "a", encoding="utf-8", errors="backslashreplace", newline="\n")

    def line(self, stream: str, text: str) -> None:
        if len(text) > LINE_CHARS_MAX:
            text = text[:LINE_CHARS_MAX] + f"... ({len(text)} characters)"
        with self._lock:
            self._file.write(f"{thread_mark()}\t{stream}\t{text}\n")
            self._file.flush()
            if self._file.tell() > ROTATE_BYTES:
                self._file.close()
                os.replace(self._path, self._path.with_name(self._path.name + ".1"))
                self._file = self._open()


class _LineStream(io.TextIOBase):
    """Replaces sys.stdout or sys.stderr: every thread's text is cut into lines of its own."""

    def __init__(self, output: OutputFile, stream: str) -> None:
        super().__init__()
        self._output = output
        self._stream = stream
        self._rest = threading.local()

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        *lines, rest = (getattr(self._rest, "text", "") + text).split("\n")
        for line in lines:
            self._output.line(self._stream, line)
        if len(rest) > LINE_CHARS_MAX:
            self._output.line(self._stream, rest)
            rest = ""
        self._rest.text = rest
        return len(text)


class _LogHandler(logging.Handler):
    def __init__(self, output: OutputFile) -> None:
        super().__init__()
        self._output = output
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        for line in self.format(record).split("\n"):
            self._output.line("log", line)


def capture(path: Path) -> OutputFile:
    """Send print, sys.stderr and the root logger of this process to the output file."""
    output = OutputFile(path)
    sys.stdout = _LineStream(output, "stdout")
    sys.stderr = _LineStream(output, "stderr")
    logging.basicConfig(level=logging.INFO, handlers=[_LogHandler(output)], force=True)
    return output
