"""How changes are cut, continued, joined, and refused."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from headrace.errors import UsageError
from headrace.runtime.state import changes
from headrace.runtime.state.tables import Tables


def roundtrip(tables: Tables) -> dict[Any, dict[Any, Any]]:
    taken = tables.take_changes()
    for change in taken:
        assert len(change.puts) + len(change.deletes) < 1.1 * changes.CHANGE_BYTES_MAX
    other = Tables()
    for change in taken:  # one by one: a record may be cut between any two
        other.apply([change])
    return other.table("t").spaces


def test_many_entries_are_cut_into_several_changes() -> None:
    tables = Tables()
    table = tables.table("t")
    for n in range(40_000):
        table.put(n % 3, n, "x" * 60)
    assert roundtrip(tables) == table.spaces


def test_entries_of_very_different_size_are_cut_until_they_fit() -> None:
    tables = Tables()
    table = tables.table("t")
    for n in range(2_000):
        table.put("", n, b"x" * (100_000 if n < 40 else 10))
    assert roundtrip(tables) == table.spaces


def test_a_value_larger_than_a_message_is_continued() -> None:
    tables = Tables()
    table = tables.table("t")
    table.put("", "small", 1)
    table.put("", "large", bytes(3_000_000))
    table.put("", "after", 2)
    assert roundtrip(tables) == table.spaces


def test_many_deletes_are_cut() -> None:
    tables = Tables()
    table = tables.table("t")
    for n in range(100_000):
        table.put("", f"key number {n}", 0)
    table.put("", "kept", 0)
    first = tables.take_changes()
    tables.committed()
    for n in range(100_000):
        table.delete("", f"key number {n}")
    second = tables.take_changes()
    assert len(second) > 1
    other = Tables()
    other.apply(first)
    other.apply(second)
    assert other.table("t").spaces == {"": {"kept": 0}}


def test_what_lived_within_one_commit_leaves_no_trace() -> None:
    tables = Tables()
    table = tables.table("t")
    table.put(1, "k", "v")
    table.drop(1)
    table.put(2, "k", "v")
    table.delete(2, "k")
    assert tables.take_changes() == []


def test_dropping_a_namespace_is_one_delete_however_many_keys() -> None:
    tables = Tables()
    table = tables.table("t")
    for n in range(10_000):
        table.put(5, n, n)
    tables.take_changes()
    tables.committed()
    table.drop(5)
    (change,) = tables.take_changes()
    assert len(change.deletes) < 40 and not change.puts


def test_a_value_that_cannot_be_pickled_is_named_with_state_and_key() -> None:
    tables = Tables()
    tables.table("count/value/total").put("", "fine", 1)
    tables.table("count/value/total").put("", "carrier-7", threading.Lock())
    with pytest.raises(UsageError, match=r"count/value/total.*carrier-7.*lock") as caught:
        tables.take_changes()
    assert caught.value.code == "state-unpicklable"


def test_an_instance_of_a_class_that_exists_only_in_a_script_is_kept() -> None:
    source = "class Local:\n    def __init__(self, n): self.n = n\n"
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec(source, namespace)
    tables = Tables()
    tables.table("t").put("", "k", namespace["Local"](7))
    assert roundtrip(tables)[""]["k"].n == 7
