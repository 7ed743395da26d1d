"""TypeSerializer: how a value of one type is written to a stream of bytes and read back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import BinaryIO, Generic, TypeVar

__all__ = ["TypeSerializer"]

T = TypeVar("T")


class TypeSerializer(ABC, Generic[T]):
    """Writes and reads values of one type, one after the other."""

    @abstractmethod
    def serialize(self, element: T, stream: BinaryIO) -> None:
        """Write the value."""

    @abstractmethod
    def deserialize(self, stream: BinaryIO) -> T:
        """Read the next value."""
