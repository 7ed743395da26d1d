"""From the bytes of a file to records: how they are cut out of it, and what is made of them.

A format is a cutter and a decoder. The cutter gives raw records (a line, a row of texts) and knows the offset after
them; the decoder makes values of a batch of these, or refuses it by one of REFUSALS.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Protocol

from headrace.common.types import Row
from headrace.runtime.files.lines import Lines
from headrace.runtime.operators.formats import make_decoder

Raw = Sequence[Any]
DecodeRaw = Callable[[Raw], list[Any]]


class Cutter(Protocol):
    """Cuts raw records out of one file, from where it was made."""

    def take(self, records_max: int) -> Raw:
        """The next raw records; none at the end. Raises ValueError for one that cannot be cut."""

    def more(self) -> bool:
        """False: nothing follows. True: something may."""

    offset: int  #: after the last record taken


class FileFormat(Protocol):
    """How the records of a kind of file are read. One for each lane; it keeps nothing of a file."""

    has_header: bool  #: at the beginning of each file, needed to read on elsewhere

    def reader(self, lines: Lines, head: Lines | None) -> tuple[Cutter, DecodeRaw]:
        """For one file. ``head``: the file from its beginning, when ``lines`` stands elsewhere.

        Raises ValueError when the file's beginning is not what the format says.
        """


def make_format(spec: Any) -> FileFormat:
    """The format of a ``file_source``, from its parameters."""
    match spec["kind"]:
        case "text":
            return TextFormat(spec["charset"])
        case "json_lines":
            return JsonLinesFormat(spec["decoder"])
        case "csv":
            return CsvFormat(spec)
        case kind:
            raise ValueError(f"unknown file format {kind!r}")


# ---- lines


class TextFormat:
    """A str for each line."""

    has_header = False

    def __init__(self, charset: str) -> None:
        self._charset = charset

    def reader(self, lines: Lines, head: Lines | None) -> tuple[Cutter, DecodeRaw]:
        return lines, self._decode

    def _decode(self, raw: Raw) -> list[Any]:
        # One decoding and one split for all lines.
        text = str(b"\n".join(raw), self._charset)
        values: list[Any] = text.split("\n")
        return [value.removesuffix("\r") for value in values] if "\r" in text else values


class JsonLinesFormat:
    """A JSON text in each line; empty lines are none."""

    has_header = False

    def __init__(self, decoder: Any) -> None:
        self._decode = make_decoder(decoder)

    def reader(self, lines: Lines, head: Lines | None) -> tuple[Cutter, DecodeRaw]:
        return lines, lambda raw: self._decode([line for line in raw if line.strip()])


# ---- CSV


class CsvFormat:
    """Rows of declared columns."""

    def __init__(self, spec: Any) -> None:
        self.has_header = bool(spec["header"])
        self._spec = spec
        self._names = tuple(str(column[0]) for column in spec["columns"])
        self._converters = [_converter(*column[1:]) for column in spec["columns"]]

    def reader(self, lines: Lines, head: Lines | None) -> tuple[Cutter, DecodeRaw]:
        rows = _CsvRows(lines, self._spec)
        columns = self._columns(rows if head is None else _CsvRows(head, self._spec)) if self.has_header else None
        if self._spec["skip_first"] and head is None and (self.has_header or lines.offset == 0):
            rows.take(1)
        return rows, lambda raw: self._decode(raw, columns)

    def _columns(self, rows: _CsvRows) -> list[int] | None:
        """Where the columns stand in this file, by its header; None for an empty file."""
        header = rows.take(1)
        if not header:
            return None
        (titles,) = header
        missing = [name for name in self._names if name not in titles]
        if missing:
            raise ValueError(f"the header has no column {', '.join(missing)}; it is {', '.join(titles)}")
        return [titles.index(name) for name in self._names]

    def _decode(self, raw: Raw, columns: list[int] | None) -> list[Any]:
        """Column by column; row by row when a row has another length, or to name what is wrong."""
        texts = list(zip(*raw, strict=False))
        if len(texts) != max(map(len, raw)) or (columns is None and len(texts) != len(self._names)):
            return [self._row(row, columns) for row in raw]
        if columns is not None:
            texts = [texts[column] for column in columns]
        null = self._spec["null_value"]
        try:
            values = [
                [None if text == null else convert(text) for text in column]
                if null is not None
                else list(map(convert, column))
                for convert, column in zip(self._converters, texts, strict=True)
            ]
        except (ValueError, ArithmeticError, IndexError):
            return [self._row(row, columns) for row in raw]
        names, of = self._names, Row.of
        return [of(names, row) for row in zip(*values, strict=True)]

    def _row(self, texts: list[str], columns: list[int] | None) -> Row:
        if columns is not None:
            if len(texts) <= max(columns):
                raise ValueError(f"{len(texts)} values, fewer than the header has: {texts!r:.100}")
            texts = [texts[column] for column in columns]
        elif len(texts) != len(self._names):
            raise ValueError(f"{len(texts)} values for {len(self._names)} columns: {texts!r:.100}")
        null = self._spec["null_value"]
        values = []
        for name, convert, text in zip(self._names, self._converters, texts, strict=True):
            try:
                values.append(None if text == null else convert(text))
            except (ValueError, ArithmeticError):
                raise ValueError(f"column {name}: {text!r:.60} is not of its type") from None
        return Row.of(self._names, values)


class _CsvRows:
    """Rows of texts; a quoted text may hold line ends. Empty lines and comments are left out."""

    def __init__(self, lines: Lines, spec: Mapping[str, Any]) -> None:
        self.offset = lines.offset
        self._lines = lines
        self._spec = spec
        self._comment = "#" if spec["comments"] else None
        self._quote = str(spec["quote"]).encode()
        self._is_plain = spec["quote"] is not None and not spec["comments"] and spec["escape"] is None
        self._between = True  #: of rows: the next line begins one
        self._failure: ValueError | None = None  #: came behind rows that were given out first
        self._rows = self._reader()

    def take(self, records_max: int) -> list[list[str]]:
        """A row that cannot be cut is raised alone, and reading goes on behind it."""
        rows = self._plain(records_max) if self._failure is None and self._is_plain else []
        if rows:
            return rows
        try:
            if self._failure is not None:
                raise self._failure
            while len(rows) < records_max:
                self._between = True
                row = next(self._rows, None)
                if row is None:
                    break
                self.offset = self._lines.offset
                if row:
                    rows.append(row)
        except (csv.Error, UnicodeDecodeError, _BadRowError) as error:
            bad = _BadRowError(str(error))
            if not rows:
                self.offset, self._failure = self._lines.offset, None
                self._rows = self._reader()
                raise bad from None
            self._failure = bad
        return rows

    def _plain(self, records_max: int) -> list[list[str]]:
        """The next rows when no text is quoted in any of the next lines, else none: each line is a row then."""
        lines = self._lines.peek(records_max)
        data = b"\n".join(lines)
        if self._quote in data:
            return []
        try:
            texts = str(data, "utf-8").split("\n")
        except UnicodeDecodeError:
            return []
        separator = self._spec["separator"]
        rows = [text.removesuffix("\r").split(separator) for text in texts if text and text != "\r"]
        if rows:
            self._lines.skip(lines)
            self.offset = self._lines.offset
        return rows

    def more(self) -> bool:
        return self._failure is not None or self._lines.more()

    def _reader(self) -> Iterator[list[str]]:
        quote = self._spec["quote"]
        return csv.reader(
            self._texts(),
            delimiter=self._spec["separator"],
            quotechar=quote,
            quoting=csv.QUOTE_NONE if quote is None else csv.QUOTE_MINIMAL,
            escapechar=self._spec["escape"],
            strict=True,
        )

    def _texts(self) -> Iterator[str]:
        for line in self._lines.each():
            text = str(line, "utf-8") + "\n"
            if self._between and self._comment is not None and text.startswith(self._comment):
                continue
            self._between = False
            yield text


class _BadRowError(ValueError):
    """A row that cannot be cut out of its file."""


# ---- from a text of a CSV file to a value


def _converter(kind: str, separator: str | None = None) -> Callable[[str], Any]:
    convert = {"STRING": _text, "BOOLEAN": _truth, "FLOAT": _float, "DOUBLE": _float, "BIG_DEC": _decimal}.get(
        kind, _whole
    )
    if separator is None:
        return convert
    return lambda text: [convert(part) for part in text.split(separator)] if text else []


def _text(text: str) -> str:
    return text


def _truth(text: str) -> bool | None:
    if not text:
        return None
    folded = text.lower()
    if folded not in ("true", "false"):
        raise ValueError
    return folded == "true"


def _whole(text: str) -> int | None:
    if "_" in text:  # Python's own
        raise ValueError
    return int(text) if text else None


def _float(text: str) -> float | None:
    if "_" in text:
        raise ValueError
    return float(text) if text else None


def _decimal(text: str) -> Decimal | None:
    return Decimal(text) if text else None
