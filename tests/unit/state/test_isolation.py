"""What is shared, what is copied."""

from __future__ import annotations

import dataclasses
import threading
from typing import Any

import pytest

from headrace.common.types import Row
from headrace.errors import UsageError
from headrace.runtime.state.isolation import isolated


@dataclasses.dataclass
class Total:
    counts: list[int]


@pytest.mark.parametrize("value", [1, "text", b"bytes", None, 2.5, (1, "a"), ()])
def test_immutable_values_are_shared(value: Any) -> None:
    assert isolated(value) is value


@pytest.mark.parametrize(
    "value",
    [
        [1, 2],
        {"a": 1},
        Row(a=1, b="x"),
        Row(1, 2),
        {"a": [1]},
        [{"a": 1}],
        (1, [2]),
        {(1, 2): 3},
        Row(a=[1]),
        Total([1, 2]),
        {1, 2},
        bytearray(b"x"),
    ],
)
def test_mutable_values_are_copied_at_any_depth(value: Any) -> None:
    copied = isolated(value)
    assert copied == value and type(copied) is type(value)
    assert copied is not value


def test_nested_values_are_not_shared() -> None:
    value = {"a": [1], "b": (2, [3])}
    copied = isolated(value)
    value["a"].append(9)  # type: ignore[union-attr,attr-defined]
    value["b"][1].append(9)  # type: ignore[index,union-attr,attr-defined]
    assert copied == {"a": [1], "b": (2, [3])}


def test_what_cannot_be_copied_is_refused() -> None:
    with pytest.raises(UsageError, match="state-unpicklable|lock"):
        isolated([threading.Lock()])
