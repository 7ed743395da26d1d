"""Configuration: options by name, held as text as Flink does."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

__all__ = ["Configuration"]


class Configuration:
    """A mutable map of option names to text. Booleans are "true" and "false", numbers as Python writes them."""

    def __init__(self, options: Mapping[str, str] | None = None) -> None:
        self._options: dict[str, str] = dict(options or {})

    def set_string(self, key: str, value: str) -> Configuration:
        self._options[key] = str(value)
        return self

    def set_integer(self, key: str, value: int) -> Configuration:
        return self.set_string(key, str(int(value)))

    def set_float(self, key: str, value: float) -> Configuration:
        return self.set_string(key, repr(float(value)))

    def set_boolean(self, key: str, value: bool) -> Configuration:
        return self.set_string(key, "true" if value else "false")

    def set_bytearray(self, key: str, value: bytes | bytearray) -> Configuration:
        return self.set_string(key, bytes(value).hex())

    def get_string(self, key: str, default_value: str | None = None) -> str | None:
        return self._options.get(key, default_value)

    def get_integer(self, key: str, default_value: int) -> int:
        """The option as int; ValueError when its text is none."""
        return int(self._options[key]) if key in self._options else default_value

    def get_float(self, key: str, default_value: float) -> float:
        """The option as float; ValueError when its text is none."""
        return float(self._options[key]) if key in self._options else default_value

    def get_boolean(self, key: str, default_value: bool) -> bool:
        """The option as bool; ValueError when its text is neither true nor false."""
        text = self._options.get(key)
        if text is None:
            return default_value
        if text.lower() not in ("true", "false"):
            raise ValueError(f"{key} is {text!r}, neither true nor false")
        return text.lower() == "true"

    def get_bytearray(self, key: str, default_value: bytearray) -> bytearray:
        return bytearray.fromhex(self._options[key]) if key in self._options else default_value

    @staticmethod
    def parse_list_value(value: str) -> list[str]:
        """The items of an option that holds a list: a YAML list in flow or block form, or ``a;b;c``.

        Raises ValueError for a YAML list that has lists or maps in it, or is none.
        """
        text = value.strip()
        if text.startswith("["):
            if not text.endswith("]"):
                raise ValueError(f"{value!r} begins as a list and does not end as one")
            return [_unquoted(item) for item in _split(text[1:-1], ",")]
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        if lines and all(line.startswith("- ") or line == "-" for line in lines):
            return [_unquoted(line[1:]) for line in lines]
        return [_unquoted(item) for item in _split(text, ";")]

    def key_set(self) -> set[str]:
        return set(self._options)

    def contains_key(self, key: str) -> bool:
        return key in self._options

    def remove_config(self, key: str) -> bool:
        """Remove an option; whether it was there."""
        return self._options.pop(key, None) is not None

    def add_all(self, other: Configuration, prefix: str | None = None) -> Configuration:
        """Take all options of ``other``, with ``prefix`` before their names."""
        for key, value in other._options.items():
            self._options[(prefix or "") + key] = value
        return self

    def add_all_to_dict(self, target_dict: dict[str, Any]) -> None:
        target_dict.update(self._options)

    def to_dict(self) -> dict[str, str]:
        return dict(self._options)

    def __deepcopy__(self, memo: dict[int, Any]) -> Configuration:
        return Configuration(copy.copy(self._options))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Configuration) and self._options == other._options

    def __hash__(self) -> int:
        return hash(frozenset(self._options.items()))

    def __str__(self) -> str:
        return "{" + ", ".join(f"{key}={value}" for key, value in self._options.items()) + "}"

    def __repr__(self) -> str:
        return f"Configuration({self})"


def _split(text: str, separator: str) -> list[str]:
    """At the separators outside of quotes; nothing between two of them is no item."""
    items, item, quote = [], "", ""
    for letter in text:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'":
            quote = letter
        if letter == separator and not quote:
            items.append(item)
            item = ""
        else:
            item += letter
    if quote:
        raise ValueError(f"{text!r} has a quote that does not end")
    return [item.strip() for item in [*items, item] if item.strip()]


def _unquoted(item: str) -> str:
    item = item.strip()
    if item[:1] in "[{" and item:
        raise ValueError(f"{item!r}: a list of plain values is wanted")
    if len(item) > 1 and item[0] == item[-1] and item[0] in "\"'":
        return item[1:-1].replace(item[0] * 2, item[0])
    return item
