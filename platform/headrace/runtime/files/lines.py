"""Lines of a file with the byte offset after each: what a file's position is made of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

PIECE_BYTES = 256 * 1024
#: A longer line is no text: the file is refused before memory is full.
LINE_BYTES_MAX = 16 * 1024 * 1024
_MARK = b"\xef\xbb\xbf"  #: byte order mark that editors put in front of UTF-8


class LineTooLongError(ValueError):
    """A line of more than LINE_BYTES_MAX bytes."""

    def __init__(self) -> None:
        super().__init__(f"a line of more than {LINE_BYTES_MAX} bytes")


class Lines:
    """Reads ``file``, which stands at ``offset``; ``offset`` is then always the one after the last line taken.

    Lines come without the 0x0A at their end. The last one need not have it.
    """

    def __init__(self, file: IO[bytes], offset: int) -> None:
        self.offset = offset
        self._file = file
        self._rest = b""  #: begun, not ended
        self._ready: list[bytes] = []
        self._taken = 0  #: of _ready
        self._ended = False
        self._open_end = False  #: the last of _ready has no 0x0A

    def take(self, lines_max: int) -> list[bytes]:
        """The next lines, as many as are at hand; none at the end of the file. Raises LineTooLongError."""
        lines = self.peek(lines_max)
        self.skip(lines)
        return lines

    def peek(self, lines_max: int) -> list[bytes]:
        """As ``take``, but they stay the next ones."""
        return self._ready[self._taken : self._taken + lines_max] if self.more() else []

    def skip(self, lines: list[bytes]) -> None:
        """Take what ``peek`` gave, or the first of it."""
        self._taken += len(lines)
        self.offset += sum(map(len, lines)) + len(lines)
        if lines and self._open_end and self._taken == len(self._ready):
            self.offset -= 1

    def more(self) -> bool:
        """Whether there is another line."""
        return self._taken < len(self._ready) or self._fill()

    def each(self) -> Iterator[bytes]:
        """One line after the other; ``offset`` is the one after the line when it comes."""
        while self.more():
            line = self._ready[self._taken]
            self._taken += 1
            self.offset += len(line) + 1
            if self._open_end and self._taken == len(self._ready):
                self.offset -= 1
            yield line

    def _fill(self) -> bool:
        """Make lines ready; False at the end of the file."""
        self._ready, self._taken = [], 0
        while not self._ended:
            piece = self._file.read(PIECE_BYTES)
            if not piece:
                self._ended = self._open_end = True
                if self._rest:
                    self._ready, self._rest = [self._rest], b""
                break
            if self.offset == 0 and not self._rest and piece.startswith(_MARK):
                piece = piece[len(_MARK) :]
                self.offset = len(_MARK)
            if b"\n" not in piece:
                self._rest += piece
                if len(self._rest) > LINE_BYTES_MAX:
                    raise LineTooLongError
                continue
            *self._ready, self._rest = (self._rest + piece).split(b"\n")
            break
        return bool(self._ready)
