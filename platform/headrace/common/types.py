"""Row: a record with positions and, when they are known, field names.

What every row can do stands in ``RowOperations``. ``Row(...)`` holds a list and the names beside it; rows of a
declared type, decoded by the million, are structs (``typed_row``) and are instances of Row too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, overload

__all__ = ["Row"]


class RowOperations:
    """Everything that follows from names, length, and reading and writing one value."""

    __slots__ = ()

    def field_names(self) -> tuple[str, ...] | None:
        """The names in order, None when the row has positions only."""
        raise NotImplementedError

    def set_field_names(self, field_names: Sequence[str]) -> None:
        """Name the values; raises ValueError unless there is one name for each value.

        Rows of a declared type keep its names: TypeError.
        """
        raise NotImplementedError

    def as_dict(self, recursive: bool = False) -> dict[str, Any]:
        """The row as a dict; nested rows too when ``recursive``. Raises TypeError when it has no names."""
        names = self.field_names()
        if names is None:
            raise TypeError(f"{self!r} has no field names, so it cannot become a dict")
        values = [_plain(value) for value in self] if recursive else self[:]
        return dict(zip(names, values, strict=True))

    def __call__(self, *values: Any) -> Row:
        if len(values) > len(self):
            raise ValueError(f"{len(values)} values for the fields of {self!r}")
        return Row.of(self[: len(values)], values)

    def _position(self, name: str) -> int:
        names = self.field_names()
        if names is None or name not in names:
            known = "it has positions only" if names is None else f"it has {', '.join(names)}"
            raise KeyError(f"no field {name!r} in a Row: {known}")
        return names.index(name)

    @overload
    def __getitem__(self, item: int | str) -> Any: ...
    @overload
    def __getitem__(self, item: slice) -> list[Any]: ...
    def __getitem__(self, item: int | str | slice) -> Any:
        raise NotImplementedError

    def __setitem__(self, item: int | str, value: Any) -> None:
        raise NotImplementedError

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name in Row.__slots__:
            raise AttributeError(name)
        try:
            return self[self._position(name)]
        except KeyError as error:
            raise AttributeError(error.args[0]) from None

    def __contains__(self, value: object) -> bool:
        return value in self[:]

    def __iter__(self) -> Iterator[Any]:
        return iter(self[:])

    def __len__(self) -> int:
        raise NotImplementedError

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RowOperations):
            return NotImplemented
        return self.field_names() == other.field_names() and self[:] == other[:]

    def __lt__(self, other: RowOperations) -> bool:
        return self[:] < other[:] if isinstance(other, RowOperations) else NotImplemented

    def __le__(self, other: RowOperations) -> bool:
        return self[:] <= other[:] if isinstance(other, RowOperations) else NotImplemented

    def __gt__(self, other: RowOperations) -> bool:
        return self[:] > other[:] if isinstance(other, RowOperations) else NotImplemented

    def __ge__(self, other: RowOperations) -> bool:
        return self[:] >= other[:] if isinstance(other, RowOperations) else NotImplemented

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __reduce__(self) -> tuple[Any, ...]:
        return Row.of, (self.field_names(), self[:])

    def __repr__(self) -> str:
        names = self.field_names()
        if names is None:
            return f"<Row({', '.join(map(repr, self))})>"
        pairs = zip(names, self, strict=True)
        return f"Row({', '.join(f'{name}={value!r}' for name, value in pairs)})"


class _RowType(type):
    """Makes rows of a declared type instances of Row as well."""

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, RowOperations)

    def __subclasscheck__(cls, subclass: type) -> bool:
        return issubclass(subclass, RowOperations)


class Row(RowOperations, metaclass=_RowType):
    """A mutable record of fixed length, read by position, by name or as an attribute.

    ``Row("Alice", 11)`` has positions only; ``Row(name="Alice", age=11)`` has names too, in the order written.
    A row of names can be called to make rows with these names: ``Person = Row("name", "age")`` and then
    ``Person("Alice", 11)``. Two rows are equal when their names (or the lack of them) and values are.
    """

    __slots__ = ("_fields", "_values")
    _fields: tuple[str, ...] | None
    _values: list[Any]

    def __init__(self, *values: Any, **fields: Any) -> None:
        if values and fields:
            raise ValueError("a Row takes values or named fields, not both")
        self._fields = tuple(fields) if fields else None
        self._values = list(fields.values()) if fields else list(values)

    @classmethod
    def of(cls, names: Sequence[str] | None, values: Sequence[Any]) -> Row:
        """A row from names (None: positions only) and values; Headrace's own constructor."""
        row = cls.__new__(cls)
        row._fields = None if names is None else tuple(names)
        row._values = list(values)
        return row

    def field_names(self) -> tuple[str, ...] | None:
        return self._fields

    def set_field_names(self, field_names: Sequence[str]) -> None:
        if len(field_names) != len(self._values):
            raise ValueError(f"{len(field_names)} names for a Row of {len(self._values)} values")
        self._fields = tuple(field_names)

    @overload
    def __getitem__(self, item: int | str) -> Any: ...
    @overload
    def __getitem__(self, item: slice) -> list[Any]: ...
    def __getitem__(self, item: int | str | slice) -> Any:
        return self._values[self._position(item) if isinstance(item, str) else item]

    def __setitem__(self, item: int | str, value: Any) -> None:
        self._values[self._position(item) if isinstance(item, str) else item] = value

    def __iter__(self) -> Iterator[Any]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


def _plain(value: Any) -> Any:
    match value:
        case Row():
            return value.as_dict(recursive=True)
        case list():
            return [_plain(item) for item in value]
        case dict():
            return {key: _plain(item) for key, item in value.items()}
        case _:
            return value
