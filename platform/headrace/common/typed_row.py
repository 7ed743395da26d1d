"""Rows of a declared type as structs: decoded, read by name and put into columns at the speed of C.

They are Rows in all respects but one: their names are fixed.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from keyword import iskeyword
from typing import Any, ClassVar, overload

import msgspec

from headrace.common.types import Row, RowOperations

#: Classes that are kept; a program that makes more of them pays for making them again.
CLASSES_MAX = 1_000

astuple = msgspec.structs.astuple


#: Types whose values travel as they are in any format: what most declared fields hold.
PLAIN = frozenset({str, bytes, int, float, bool, type(None)})


class TypedRow(RowOperations, msgspec.Struct, eq=False, gc=False):
    """Base of the classes that ``row_class`` makes."""

    #: No row of this class was ever given a value of another type than PLAIN has: nobody needs to look.
    all_plain: ClassVar[bool] = False

    def __setattr__(self, name: str, value: Any) -> None:
        if type(value) not in PLAIN:
            type(self).all_plain = False
        getattr(type(self), name).__set__(self, value)  # struct classes let nobody call the __setattr__ they inherit

    def field_names(self) -> tuple[str, ...]:
        return self.__struct_fields__

    def set_field_names(self, field_names: Sequence[str]) -> None:
        if tuple(field_names) != self.__struct_fields__:
            raise TypeError(f"the names of {self!r} are declared; Row.of(names, row) makes a row with other names")

    @overload
    def __getitem__(self, item: int | str) -> Any: ...
    @overload
    def __getitem__(self, item: slice) -> list[Any]: ...
    def __getitem__(self, item: int | str | slice) -> Any:
        if item in self.__struct_fields__:
            return getattr(self, item)
        if isinstance(item, slice):
            return list(astuple(self)[item])
        return getattr(self, self.__struct_fields__[self._position(item) if isinstance(item, str) else item])

    def __setitem__(self, item: int | str, value: Any) -> None:
        names = self.__struct_fields__
        setattr(self, names[self._position(item) if isinstance(item, str) else item], value)

    def __len__(self) -> int:
        return len(self.__struct_fields__)


#: A field of such a name would hide what rows can do, or what structs are made of.
_TAKEN = frozenset(dir(TypedRow)) | {"_fields", "_values"}


def can_be_typed(names: Sequence[str]) -> bool:
    """Whether there can be a class for these names: identifiers that do not hide a row's own methods."""
    return bool(names) and all(
        name.isidentifier() and not iskeyword(name) and not name.startswith("__") and name not in _TAKEN
        for name in names
    )


def row_class(names: Sequence[str], annotations: Sequence[Any], *, all_plain: bool = False) -> type[TypedRow]:
    """The class of rows with these names, for msgspec to decode to; fields that are missing are None.

    ``all_plain``: what is decoded has no values but of types in PLAIN. Raises ValueError unless ``can_be_typed``.
    """
    if not can_be_typed(names):
        raise ValueError(f"no class of rows can have the fields {list(names)}")
    fields = [(name, annotation, None) for name, annotation in zip(names, annotations, strict=True)]
    made: type[TypedRow] = msgspec.defstruct(  # type: ignore[assignment]
        "Row", fields, bases=(TypedRow,), module=Row.__module__, gc=False, eq=False
    )
    made.all_plain = all_plain
    return made


@lru_cache(CLASSES_MAX)
def untyped_row_class(names: tuple[str, ...]) -> type[TypedRow]:
    """The same for values that were in such rows before: one class for each list of names.

    ``all_plain`` until somebody makes one with other values, and says so.
    """
    return row_class(names, [Any] * len(names), all_plain=True)
