"""Tables against a naive model: random writes, commits, aborts of both kinds, and restores in every way."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from headrace.protocol.data import TableChange
from headrace.runtime.state.tables import Tables

TABLES = ("a", "b")
Model = dict[str, dict[Any, dict[Any, Any]]]

names = st.sampled_from(TABLES)
namespaces = st.sampled_from(["", (10, b"k")])
keys = st.sampled_from(["k", "l", b"m"])
values = st.one_of(st.none(), st.integers(0, 5), st.binary(max_size=4), st.tuples(st.integers(), st.text(max_size=3)))


def contents(tables: Tables) -> Model:
    return {name: {ns: dict(space) for ns, space in tables.table(name).spaces.items() if space} for name in TABLES}


def replayed(records: list[tuple[list[TableChange], list[TableChange]]]) -> Model:
    tables = Tables()
    for changes, chunk in records:
        tables.apply(changes)
        tables.apply(chunk)
    return contents(tables)


class TablesAgainstModel(RuleBasedStateMachine):
    """The driver plays the lane loop: one commit in flight, snapshots that are abandoned by an abort."""

    def __init__(self) -> None:
        super().__init__()
        self.tables = Tables()
        self.now: Model = {name: {} for name in TABLES}
        self.at_frame = copy.deepcopy(self.now)  # model at the beginning of the current frame
        self.at_flight: Model | None = None  # model at the beginning of the frame in flight
        self.log: list[tuple[list[TableChange], list[TableChange]]] = []
        self.pending: tuple[list[TableChange], list[TableChange], str] | None = None
        self.snapshot: str = "none"  # none, running, or the commit in flight begins or ends one
        self.begin_offset = 0
        self.snapshot_from = 0

    @rule(name=names, ns=namespaces, key=keys, value=values)
    def put(self, name: str, ns: Any, key: Any, value: Any) -> None:
        self.tables.table(name).put(ns, key, value)
        self.now[name].setdefault(ns, {})[key] = value

    @rule(name=names, ns=namespaces, key=keys)
    def delete(self, name: str, ns: Any, key: Any) -> None:
        self.tables.table(name).delete(ns, key)
        space = self.now[name].get(ns, {})
        space.pop(key, None)
        if not space:
            self.now[name].pop(ns, None)

    @rule(name=names, ns=namespaces)
    def drop(self, name: str, ns: Any) -> None:
        self.tables.table(name).drop(ns)
        self.now[name].pop(ns, None)

    @rule(name=names, ns=namespaces, key=keys, value=values)
    def replace_namespace(self, name: str, ns: Any, key: Any, value: Any) -> None:
        self.drop(name, ns)
        self.put(name, ns, key, value)

    @precondition(lambda self: self.pending is None)
    @rule(budget=st.integers(1, 200), begin=st.booleans())
    def take_changes(self, budget: int, begin: bool) -> None:
        changes = self.tables.take_changes()
        chunk: list[TableChange] = []
        mark = ""
        if self.snapshot == "running":
            chunk, last = self.tables.snapshot_chunk(budget)
            mark = "end" if last else ""
        elif begin:
            self.tables.begin_snapshot()
            mark, self.snapshot = "begin", "running"
        self.pending = (changes, chunk, mark)
        self.at_flight, self.at_frame = self.at_frame, copy.deepcopy(self.now)

    def _durable(self) -> None:
        assert self.pending is not None
        changes, chunk, mark = self.pending
        if mark == "begin":
            self.begin_offset = len(self.log)
        if mark == "end":
            self.snapshot_from, self.snapshot = self.begin_offset, "none"
        self.log.append((changes, chunk))
        self.pending, self.at_flight = None, None

    @precondition(lambda self: self.pending is not None)
    @rule()
    def commit_returns(self) -> None:
        self.tables.committed()
        self._durable()

    @rule()
    def abort(self) -> None:
        self.tables.rollback(keep_in_flight=False)
        self.now = copy.deepcopy(self.at_frame if self.at_flight is None else self.at_flight)
        self.at_frame, self.at_flight, self.pending = copy.deepcopy(self.now), None, None
        self.snapshot = "none"

    @precondition(lambda self: self.pending is not None)
    @rule()
    def answer_lost_but_durable(self) -> None:
        self.tables.rollback(keep_in_flight=True)
        self._durable()
        self.now = copy.deepcopy(self.at_frame)
        self.snapshot = "none"

    @invariant()
    def same_contents(self) -> None:
        assert contents(self.tables) == self.now

    @invariant()
    def log_restores_the_committed_state(self) -> None:
        committed = self.at_frame if self.at_flight is None else self.at_flight
        assert replayed(self.log) == committed
        assert replayed(self.log[self.snapshot_from :]) == committed

    @invariant()
    def entries_are_counted(self) -> None:
        for name in TABLES:
            held = sum(map(len, self.at_frame[name].values()))
            assert self.tables.table(name).entries == held

    @invariant()
    def closed_frames_hold_no_empty_namespace(self) -> None:
        for name in TABLES:
            table = self.tables.table(name)
            assert all(space or ns in table.undo for ns, space in table.spaces.items())


TestTablesAgainstModel = TablesAgainstModel.TestCase
TestTablesAgainstModel.settings = settings(
    max_examples=150,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
