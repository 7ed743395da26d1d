"""Fuzzy snapshots racing with writes: the tail from the begin mark restores what the whole log does."""

from __future__ import annotations

import random
from typing import Any

import pytest

from headrace.protocol.data import TableChange
from headrace.runtime.state.tables import Tables


def contents(tables: Tables) -> dict[str, dict[Any, dict[Any, Any]]]:
    return {name: {ns: dict(space) for ns, space in tables.table(name).spaces.items()} for name in ("flat", "deep")}


def restored(records: list[tuple[list[TableChange], list[TableChange]]]) -> Tables:
    tables = Tables()
    for changes, chunk in records:
        tables.apply(changes)
        tables.apply(chunk)
    return tables


def scribble(tables: Tables, rng: random.Random) -> None:
    """Some writes of every kind, to few enough keys that they meet the snapshot's."""
    for _ in range(rng.randrange(12)):
        table = tables.table(rng.choice(("flat", "deep")))
        ns = "" if table.name == "flat" else rng.randrange(6)
        match rng.randrange(8):
            case 0:
                table.drop(ns)
            case 1 | 2:
                table.delete(ns, rng.randrange(12))
            case _:
                table.put(ns, rng.randrange(12), rng.random())


@pytest.mark.parametrize("seed", range(60))
def test_restore_from_each_snapshot_equals_replay_of_everything(seed: int) -> None:
    rng = random.Random(seed)
    tables = Tables()
    records: list[tuple[list[TableChange], list[TableChange]]] = []
    begun: int | None = None
    finished: list[int] = []
    for _ in range(80):
        scribble(tables, rng)
        changes, chunk = tables.take_changes(), []
        begins = begun is None and rng.random() < 0.5
        if begins:
            tables.begin_snapshot()
        elif begun is not None:
            chunk, last = tables.snapshot_chunk(rng.choice((1, 60, 400)))
            if last:
                finished.append(begun)
        if rng.random() < 0.05:
            tables.rollback(keep_in_flight=False)
            if begun is not None and finished and finished[-1] == begun:
                finished.pop()
            begun = None
            continue
        tables.committed()
        if begins:
            begun = len(records)
        elif finished and finished[-1] == begun:
            begun = None
        records.append((changes, chunk))
        for start in finished[-1:]:
            assert contents(restored(records[start:])) == contents(tables)
    assert finished, "no snapshot ended: the test shows nothing"
    assert contents(restored(records)) == contents(tables)


def test_a_chunk_keeps_to_its_budget_and_covers_everything() -> None:
    tables = Tables()
    table = tables.table("flat")
    for n in range(20_000):
        table.put("", f"key-{n}", n)
    tables.take_changes()
    tables.committed()
    tables.begin_snapshot()
    chunks, last = [], False
    while not last:
        chunk, last = tables.snapshot_chunk(50_000)
        chunks.append(chunk)
    sizes = [sum(len(change.puts) for change in chunk) for chunk in chunks]
    assert max(sizes) < 75_000 and len(sizes) < 12
    assert contents(restored([([], chunk) for chunk in chunks])) == contents(tables)


def test_snapshot_of_nothing_is_one_empty_last_chunk() -> None:
    tables = Tables()
    tables.begin_snapshot()
    assert tables.snapshot_chunk(1000) == ([], True)
    with pytest.raises(RuntimeError):
        tables.snapshot_chunk(1000)


def test_size_is_about_what_a_snapshot_takes() -> None:
    tables = Tables()
    for n in range(3_000):
        tables.table("flat").put("", f"key-{n}", (n, "x" * 50))
        tables.table("deep").put(n, 0, n)
    tables.take_changes()
    tables.committed()
    estimate = tables.size_bytes()
    tables.begin_snapshot()
    chunk, last = tables.snapshot_chunk(10_000_000)
    assert last
    size = sum(len(change.puts) for change in chunk)
    assert 0.8 * size < estimate < 1.25 * size
    tables.table("flat").drop("")
    tables.take_changes()
    assert tables.size_bytes() < 0.5 * estimate
