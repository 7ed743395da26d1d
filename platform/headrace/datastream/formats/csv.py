"""CSV files as Rows of declared columns."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from headrace.common.call_site import wrong
from headrace.common.typeinfo import TypeInformation, Types
from headrace.datastream.connectors.file_source import StreamFormat

__all__ = ["CsvReaderFormat", "CsvSchema", "CsvSchemaBuilder"]

_NUMBERS = ("BYTE", "SHORT", "INT", "LONG", "BIG_INT", "FLOAT", "DOUBLE", "BIG_DEC")
_ELEMENTS = ("STRING", "BOOLEAN", *_NUMBERS)


@dataclass(frozen=True)
class _Column:
    name: str
    kind: str
    separator: str | None = None  #: of an array's elements


@dataclass(frozen=True)
class CsvSchema:
    """Columns, and how they are separated and quoted; make one with ``CsvSchema.builder()``. Immutable."""

    columns: tuple[_Column, ...] = ()
    use_header: bool = False
    separator: str = ","
    quote: str | None = '"'
    escape: str | None = None
    comments: bool = False
    null_value: str | None = None
    skip_first: bool = False

    @staticmethod
    def builder() -> CsvSchemaBuilder:
        return CsvSchemaBuilder()

    def params(self) -> dict[str, Any]:
        """The schema as it stands in a JobGraph."""
        columns = [[c.name, c.kind] if c.separator is None else [c.name, c.kind, c.separator] for c in self.columns]
        return {
            "columns": columns,
            "header": self.use_header,
            "separator": self.separator,
            "quote": self.quote,
            "escape": self.escape,
            "comments": self.comments,
            "null_value": self.null_value,
            "skip_first": self.skip_first,
        }

    def produced_type(self) -> TypeInformation:
        types = [_type(c.kind) if c.separator is None else Types.LIST(_type(c.kind)) for c in self.columns]
        return Types.ROW_NAMED([c.name for c in self.columns], types)


def _type(kind: str) -> TypeInformation:
    found: TypeInformation = getattr(Types, kind)()
    return found


class CsvSchemaBuilder:
    """Collects columns, in the order in which they stand in the file, and the file's form.

    Empty text is None in a column of numbers or booleans. A row with too few or too many values cannot be read.
    """

    def __init__(self) -> None:
        self._schema = CsvSchema()

    # ---- columns

    def add_string_column(self, name: str) -> CsvSchemaBuilder:
        return self._add(name, "STRING")

    def add_number_column(self, name: str, number_type: TypeInformation | None = None) -> CsvSchemaBuilder:
        """Whole numbers, when no type is given; else Types.INT(), Types.DOUBLE(), Types.BIG_DEC(), ..."""
        return self._add(name, _kind("add_number_column", number_type or Types.LONG(), _NUMBERS))

    def add_boolean_column(self, name: str) -> CsvSchemaBuilder:
        """``true`` or ``false``, in letters of any size."""
        return self._add(name, "BOOLEAN")

    def add_array_column(
        self, name: str, separator: str = ";", element_type: TypeInformation | None = None
    ) -> CsvSchemaBuilder:
        """A list of elements with ``separator`` between them."""
        return self._add(
            name,
            _kind("add_array_column", element_type or Types.STRING(), _ELEMENTS),
            _letter("add_array_column", separator),
        )

    def add_columns_from(self, schema: CsvSchema) -> CsvSchemaBuilder:
        """The columns of another schema."""
        for column in schema.columns:
            self._add(column.name, column.kind, column.separator)
        return self

    def _add(self, name: str, kind: str, separator: str | None = None) -> CsvSchemaBuilder:
        if not isinstance(name, str) or not name:
            raise wrong(f"a column's name must be a non-empty str, not {name!r:.60}")
        if any(column.name == name for column in self._schema.columns):
            raise wrong(f"the schema has a column {name!r} already")
        return self._with(columns=(*self._schema.columns, _Column(name, kind, separator)))

    # ---- the file's form

    def set_use_header(self, use: bool = True) -> CsvSchemaBuilder:
        """The first row of each file names its columns: they are found by name, others are left out."""
        return self._with(use_header=bool(use))

    def set_skip_first_data_row(self, skip: bool = True) -> CsvSchemaBuilder:
        """Leave out the first row of each file, after the header when there is one."""
        return self._with(skip_first=bool(skip))

    def set_column_separator(self, char: str) -> CsvSchemaBuilder:
        return self._with(separator=_letter("set_column_separator", char))

    def set_quote_char(self, char: str) -> CsvSchemaBuilder:
        return self._with(quote=_letter("set_quote_char", char))

    def disable_quote_char(self) -> CsvSchemaBuilder:
        return self._with(quote=None)

    def set_escape_char(self, char: str) -> CsvSchemaBuilder:
        return self._with(escape=_letter("set_escape_char", char))

    def disable_escape_char(self) -> CsvSchemaBuilder:
        return self._with(escape=None)

    def set_allow_comments(self, allow: bool = True) -> CsvSchemaBuilder:
        """Leave out rows that begin with ``#``."""
        return self._with(comments=bool(allow))

    def set_null_value(self, null_value: str) -> CsvSchemaBuilder:
        """The text that stands for None, in every column."""
        if not isinstance(null_value, str):
            raise wrong(f"set_null_value() takes a str, not {null_value!r:.60}")
        return self._with(null_value=null_value)

    def build(self) -> CsvSchema:
        """The schema. Raises UsageError (connector-incomplete) when there is no column."""
        if not self._schema.columns:
            raise wrong(
                "a CsvSchema needs columns",
                code="connector-incomplete",
                hint='call add_string_column("...") and its like',
            )
        return self._schema

    def _with(self, **changed: Any) -> CsvSchemaBuilder:
        self._schema = replace(self._schema, **changed)
        return self


class CsvReaderFormat(StreamFormat):
    """CSV rows as Rows with the schema's names; for ``FileSource.for_record_stream_format``."""

    def __init__(self, schema: CsvSchema, *, ignore_parse_errors: bool = False) -> None:
        params = {"kind": "csv", **schema.params()}
        super().__init__({**params, "tolerant": True} if ignore_parse_errors else params, schema.produced_type())
        self._schema = schema

    @staticmethod
    def for_schema(schema: CsvSchema) -> CsvReaderFormat:
        if not isinstance(schema, CsvSchema):
            hint = "call .build() on the builder" if hasattr(schema, "build") else ""
            raise wrong(f"CsvReaderFormat.for_schema() takes a CsvSchema, not {schema!r:.80}", hint=hint)
        return CsvReaderFormat(schema)

    def with_ignore_parse_errors(self) -> CsvReaderFormat:
        """Leave out rows that cannot be read, instead of failing the job."""
        return CsvReaderFormat(self._schema, ignore_parse_errors=True)


def _kind(method: str, kind: TypeInformation, allowed: tuple[str, ...]) -> str:
    name = kind.describe() if isinstance(kind, TypeInformation) else None
    if name not in allowed:
        raise wrong(f"{method}() takes one of Types.{', Types.'.join(allowed)}, not {kind!r:.60}")
    return str(name)


def _letter(method: str, text: str) -> str:
    if not isinstance(text, str) or len(text) != 1 or text in "\r\n":
        raise wrong(f"{method}() takes one letter, not {text!r:.60}")
    return text
