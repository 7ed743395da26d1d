"""One lane of one vertex without Kafka: drives a chain as the lane loop does, commits, aborts, kills.

Outputs are held by reference until their commit, as the exchange buffers hold them; a commit pickles them.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from typing import Any

from headrace.clock import now_ms
from headrace.graph.job_graph import Operator, OperatorKind, Vertex
from headrace.runtime.operators.chain import EVENT_TIME_TABLE, make_chain
from headrace.runtime.ports import MIN_WATERMARK
from headrace.runtime.state.tables import Tables

ROWS_MAX = 10_000


def op(
    kind: str, functions: dict[str, Any] | None = None, *, input: int | None = -1, name: str = "", **params: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    """An operator and its functions. ``input`` -1: the operator before it."""
    return {"kind": kind, "input": input, "name": name or kind, "params": params}, functions or {}


class Captured:
    """An EdgeWriter that keeps what it is given."""

    def __init__(self) -> None:
        self.rows: list[tuple[Any, int | None]] = []

    def write(self, value: Any, time_ms: int | None) -> None:
        self.rows.append((value, time_ms))


class Sink:
    def __init__(self) -> None:
        self.records: list[tuple[Any, ...]] = []

    def write(self, *record: Any) -> None:
        self.records.append(record)


class OneLane:
    """``taps``: operators with an output edge (default: the last). ``fresh`` gives functions for each attempt."""

    def __init__(
        self,
        *operators: tuple[dict[str, Any], dict[str, Any]],
        taps: Sequence[int] | None = None,
        lane: int = 0,
        lanes: int = 1,
        clock_ms: Callable[[], int] = now_ms,
    ) -> None:
        built, self._functions = [], {}
        for index, (fields, functions) in enumerate(operators):
            ids = {role: f"f{index}.{role}" for role in functions}
            self._functions.update({ids[role]: function for role, function in functions.items()})
            source = None if index == 0 else index - 1 if fields["input"] == -1 else fields["input"]
            built.append(
                Operator(
                    uid=f"op{index}",
                    kind=OperatorKind(fields["kind"]),
                    name=fields["name"],
                    input=source,
                    params=fields["params"],
                    functions=ids,
                )
            )
        self.vertex = Vertex(id="v1", name="test", operators=tuple(built), lanes=lanes)
        self._taps = [len(built) - 1] if taps is None else list(taps)
        self._lane, self._lanes, self._clock_ms = lane, lanes, clock_ms
        self.committed: dict[int, list[tuple[Any, int | None]]] = {n: [] for n in self._taps}
        self.printed: list[str] = []
        self.sink = Sink()
        self.log: list[Any] = []
        self._in_flight: tuple[list[Any], dict[int, list[Any]], int] | None = None
        self._watermark = self._committed_watermark = MIN_WATERMARK
        self.edge_override: Any = None  #: an EdgeWriter to put in the place of the captured edges
        self.tables = Tables()
        self.start()

    # ---- attempts

    def start(self) -> None:
        """A new chain over the tables as they are."""
        self._edges = {n: Captured() for n in self._taps}
        self.chain = make_chain(
            self.vertex,
            self._functions,
            lane=self._lane,
            lanes=self._lanes,
            attempt=0,
            tables=self.tables,
            edge_writers={n: [self.edge_override or edge] for n, edge in self._edges.items()},
            sink_writer=self.sink,
            print_line=self.printed.append,
            clock_ms=self._clock_ms,
        )
        self.chain.open()
        self._watermark = self._committed_watermark
        if self._watermark != MIN_WATERMARK:
            self.chain.advance(self._watermark, ROWS_MAX)

    def kill(self) -> None:
        """The process is gone, with the commit in flight: restore from the log."""
        self._in_flight = None
        self.tables = Tables()
        self.tables.apply(self.log)
        self.start()

    def abort(self) -> None:
        self.tables.rollback(keep_in_flight=False)
        self._in_flight = None
        self.start()

    def begin_commit(self) -> None:
        outputs = {n: pickle.loads(pickle.dumps(edge.rows)) for n, edge in self._edges.items()}
        for edge in self._edges.values():
            edge.rows.clear()
        self._in_flight = self.tables.take_changes(), outputs, self._watermark

    def end_commit(self) -> None:
        assert self._in_flight is not None
        changes, outputs, self._committed_watermark = self._in_flight
        self.log += changes
        for n, rows in outputs.items():
            self.committed[n] += rows
        self.tables.committed()
        self._in_flight = None

    @property
    def committing(self) -> bool:
        return self._in_flight is not None

    def commit(self) -> None:
        self.begin_commit()
        self.end_commit()

    # ---- input

    def source(self, values: Sequence[Any], times: Sequence[int | None] | None = None, split: str = "s/0") -> None:
        self.chain.process_source(values, times or [None] * len(values), split)

    def rows(self, *rows: tuple[Any, Any, int | None]) -> None:
        """(key, value, time) rows of one message."""
        self.chain.process_rows(0, [r[0] for r in rows], [r[1] for r in rows], [r[2] for r in rows])

    def second(self, *rows: tuple[Any, Any, int | None]) -> None:
        """(key, value, time) rows of one message of the second input."""
        self.chain.process_rows(1, [r[0] for r in rows], [r[1] for r in rows], [r[2] for r in rows])

    def unkeyed(self, *rows: tuple[Any, int | None], edge_input: int = 0) -> None:
        self.chain.process_rows(edge_input, None, [r[0] for r in rows], [r[1] for r in rows])

    def advance(self, watermark: int, rows_max: int = ROWS_MAX, between: Callable[[], None] | None = None) -> int:
        """To the end, with ``between`` after each unfinished call; how many calls it took."""
        calls = 1
        while not self.chain.advance(watermark, rows_max):
            calls += 1
            assert calls < 100_000
            if between is not None:
                between()
        self._watermark = watermark
        return calls

    # ---- what is left

    def state_left(self) -> dict[str, Any]:
        """What the tables of keyed state hold."""
        held = {name: table.spaces for name, table in self.tables._tables.items() if name != EVENT_TIME_TABLE}
        return {name: spaces for name, spaces in held.items() if any(spaces.values())}

    # ---- output

    def out(self, tap: int | None = None) -> list[tuple[Any, int | None]]:
        """Everything that left, after a commit of what is pending."""
        if self._in_flight is not None:
            self.end_commit()
        self.commit()
        return self.committed[self._taps[-1] if tap is None else tap]

    def values(self, tap: int | None = None) -> list[Any]:
        return [value for value, _ in self.out(tap)]
