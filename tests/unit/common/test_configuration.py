"""Configuration: options held as text."""

from __future__ import annotations

from copy import deepcopy

import pytest

from headrace.common import Configuration


def filled() -> Configuration:
    return (
        Configuration()
        .set_string("s", "text")
        .set_integer("i", 2)
        .set_float("f", 1.2)
        .set_boolean("b", True)
        .set_bytearray("y", bytearray(b"\x01\xff"))
    )


def test_values_come_back_in_their_types() -> None:
    options = filled()
    assert options.get_string("s") == "text"
    assert options.get_integer("i", 0) == 2
    assert options.get_float("f", 0) == 1.2
    assert options.get_boolean("b", False) is True
    assert options.get_bytearray("y", bytearray()) == bytearray(b"\x01\xff")


def test_defaults_stand_in_for_what_is_missing() -> None:
    empty = Configuration()
    assert empty.get_string("x", "d") == "d"
    assert empty.get_integer("x", 1) == 1
    assert empty.get_float("x", 1.5) == 1.5
    assert empty.get_boolean("x", True) is True
    assert empty.get_bytearray("x", bytearray(b"a")) == bytearray(b"a")


def test_values_are_text_outside() -> None:
    options = filled()
    assert options.to_dict() == {"s": "text", "i": "2", "f": "1.2", "b": "true", "y": "01ff"}
    assert str(Configuration().set_string("k1", "v1").set_integer("k2", 1)) == "{k1=v1, k2=1}"
    assert options.key_set() == {"s", "i", "f", "b", "y"}


def test_options_are_removed_merged_and_copied() -> None:
    options = Configuration().set_string("a", "1")
    assert options.remove_config("a") is True
    assert options.remove_config("a") is False
    options.add_all(Configuration().set_string("b", "2"), "pre.")
    assert options.contains_key("pre.b")
    target = {"c": "3"}
    options.add_all_to_dict(target)
    assert target == {"c": "3", "pre.b": "2"}
    copied = deepcopy(options)
    assert copied == options
    assert hash(copied) == hash(options)
    copied.set_string("d", "4")
    assert copied != options


def test_text_of_another_type_is_refused() -> None:
    options = Configuration().set_string("n", "many")
    with pytest.raises(ValueError, match="many"):
        options.get_integer("n", 0)
    with pytest.raises(ValueError, match="n is 'many', neither true nor false"):
        options.get_boolean("n", False)
