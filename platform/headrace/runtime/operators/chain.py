"""The chain of one vertex in one lane: its generated functions, bound to the user's functions and the lane."""

from __future__ import annotations

import itertools
import linecache
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any

from headrace.datastream.functions import ProcessFunction, RuntimeContext
from headrace.graph.job_graph import KEYED, Operator, OperatorKind, Vertex
from headrace.runtime.eventtime.generators import Generator, make_generator
from headrace.runtime.eventtime.tumbling import Tumbling
from headrace.runtime.operators.context import (
    LaneRuntimeContext,
    Task,
    UnkeyedStore,
    call_of,
    close_function,
    open_function,
)
from headrace.runtime.operators.keyed_process import KeyedProcessOperator
from headrace.runtime.operators.running import aggregation, running_reduce
from headrace.runtime.operators.sinks import kafka_sink, print_sink
from headrace.runtime.operators.source_code import VertexSource
from headrace.runtime.operators.window import WindowOperator, of_aggregate, of_reduce
from headrace.runtime.ports import MAX_WATERMARK, MIN_WATERMARK, EdgeWriter, SinkWriter, UserCodeError
from headrace.runtime.state.due import Timers
from headrace.runtime.state.keyed import CurrentKey, TableStateStore
from headrace.runtime.state.tables import Tables

#: What a TimestampAssigner is given for a record that has no time yet.
NO_TIME = MIN_WATERMARK
#: Method of a function object, by role.
METHODS = {
    "map": "map",
    "filter": "filter",
    "flat_map": "flat_map",
    "reduce": "reduce",
    "timestamp": "extract_timestamp",
    "key": "get_key",
}

log = logging.getLogger(__name__)
_numbers = itertools.count()


class _ElementContext(ProcessFunction.Context):
    """Context of an unkeyed ProcessFunction."""

    __slots__ = ("time",)

    def __init__(self) -> None:
        self.time: int | None = None

    def timestamp(self) -> int | None:
        return self.time


def _process(function: ProcessFunction) -> Callable[[Any, int | None], Iterable[Any] | None]:
    context, process_element = _ElementContext(), function.process_element

    def call(value: Any, time_ms: int | None) -> Iterable[Any] | None:
        context.time = time_ms
        return process_element(value, context)

    return call


class FusedChain:
    """Implements Chain (headrace.runtime.ports) by generated code."""

    def __init__(
        self,
        vertex: Vertex,
        functions: Mapping[str, Any],
        *,
        task: Task,
        tables: Tables,
        edge_writers: Mapping[int, Sequence[EdgeWriter]],
        sink_writer: SinkWriter,
        print_line: Callable[[str], None],
    ) -> None:
        self._vertex = vertex
        self._functions = functions
        self._task = task
        self._tables = tables
        self._sink_writer = sink_writer
        self._print_line = print_line
        self._current = CurrentKey()
        self._generators: dict[str, Generator] = {}
        self._middle: dict[int, Generator] = {}
        self._head: KeyedProcessOperator | WindowOperator | None = None
        self._watermark = MIN_WATERMARK
        writers = {n: list(edge_writers.get(n, ())) for n in range(len(vertex.operators))}
        builder = VertexSource(vertex, {n: len(w) for n, w in writers.items()})
        self.source = builder.build()
        self._lines = builder.lines
        self._file = f"<headrace {vertex.id} {next(_numbers)}>"
        self._names: dict[str, Any] = {"NO_TIME": NO_TIME, "generator_of": self._generator_of}
        for index, edges in writers.items():
            for number, writer in enumerate(edges):
                self._names[f"w{index}_{number}"] = writer.write
        exec(compile(self.source, self._file, "exec"), self._names)
        lines = self.source.splitlines(keepends=True)
        linecache.cache[self._file] = (len(self.source), None, lines, self._file)

    # ---- open and close

    def open(self) -> None:
        for index, operator in enumerate(self._vertex.operators):
            context = self._context(operator)
            for function_id in operator.functions.values():
                try:
                    open_function(self._functions[function_id], context)
                except Exception as error:  # noqa: BLE001 - whatever user code raises gets its operator's name
                    raise UserCodeError(operator.name, error) from error
            self._bind(index, operator)

    def close(self) -> None:
        for operator in self._vertex.operators:
            for function_id in operator.functions.values():
                try:
                    close_function(self._functions[function_id])
                except Exception:  # noqa: BLE001 - user code; the lane is ending and says why elsewhere
                    log.exception("close() of %s", operator.name)
        linecache.cache.pop(self._file, None)

    def _context(self, operator: Operator) -> RuntimeContext:
        keyed = operator.kind in KEYED
        store = TableStateStore(self._tables, operator.uid, self._current) if keyed else UnkeyedStore()
        return LaneRuntimeContext(self._task, store)

    def _bind(self, index: int, operator: Operator) -> None:
        roles = {role: self._functions[function_id] for role, function_id in operator.functions.items()}
        calls = {role: call_of(f, METHODS[role]) if role in METHODS else f for role, f in roles.items()}
        if "timestamp" in calls and operator.kind is not OperatorKind.KAFKA_SINK:
            self._names[f"timestamp{index}"] = calls["timestamp"]
        if operator.kind is OperatorKind.TIMESTAMPS and operator.params.get("watermark"):
            strategy: Any = operator.params["watermark"]
            self._names[f"generator{index}"] = self._middle[index] = make_generator(strategy)
        bound = self._callable(index, operator, roles, calls)
        if bound is not None:
            self._names[f"f{index}"] = bound

    def _callable(self, index: int, operator: Operator, roles: Mapping[str, Any], calls: Mapping[str, Any]) -> Any:
        match operator.kind:
            case OperatorKind.MAP | OperatorKind.FILTER | OperatorKind.FLAT_MAP:
                return calls[operator.kind.value]
            case OperatorKind.PROCESS:
                return _process(roles["process"])
            case OperatorKind.PRINT:
                label = str(operator.params.get("label") or "")
                return print_sink(label, self._task.lane, self._task.lanes, self._print_line)
            case OperatorKind.KAFKA_SINK:
                return kafka_sink(operator, calls, self._sink_writer)
            case OperatorKind.REDUCE:
                return running_reduce(self._tables.table(f"{operator.uid}/value/reduce"), calls["reduce"])
            case OperatorKind.AGGREGATE:
                params: Any = operator.params
                reduce = aggregation(params["op"], params["field"])
                return running_reduce(self._tables.table(f"{operator.uid}/value/aggregate"), reduce)
            case OperatorKind.KEYED_PROCESS:
                timers = Timers(self._tables.table(f"{operator.uid}/timers"))
                head = KeyedProcessOperator(roles["process"], timers, self._current, self._names["out_0"])
                self._head = head
                return head.process
            case OperatorKind.WINDOW:
                window = self._window(operator, roles, calls)
                self._head = window
                return window.add_rows
            case _:
                return None

    def _window(self, operator: Operator, roles: Mapping[str, Any], calls: Mapping[str, Any]) -> WindowOperator:
        params: Any = operator.params
        assigner = params["assigner"]
        accumulation = None
        if "reduce" in roles:
            accumulation = of_reduce(calls["reduce"])
        elif "aggregate" in roles:
            accumulation = of_aggregate(roles["aggregate"])
        process = call_of(roles["process"], "process") if "process" in roles else None
        return WindowOperator(
            Tumbling(
                assigner["size_ms"], assigner.get("offset_ms") or 0, int(params.get("allowed_lateness_ms") or 0)
            ),
            self._tables.table(f"{operator.uid}/window"),
            self._tables.table(f"{operator.uid}/window-elements"),
            self._tables.table(f"{operator.uid}/window-due"),
            accumulation=accumulation,
            process=process,
            emit=self._names["out_0"],
        )

    # ---- records

    def process_source(self, values: Sequence[Any], times: Sequence[int | None], split: str) -> None:
        try:
            self._names["process_source"](values, times, split)
        except Exception as error:  # noqa: BLE001 - whatever user code raises gets its operator's name
            raise self._located(error) from error

    def process_rows(
        self, edge_input: int, keys: Sequence[Any] | None, values: Sequence[Any], times: Sequence[int | None]
    ) -> None:
        try:
            self._names["process_rows"](edge_input, keys, values, times)
        except Exception as error:  # noqa: BLE001 - whatever user code raises gets its operator's name
            raise self._located(error) from error

    # ---- event time

    def _generator_of(self, split: str) -> Generator:
        generator = self._generators.get(split)
        if generator is None:
            strategy: Any = self._vertex.operators[0].params["watermark"]
            generator = self._generators[split] = make_generator(strategy)
        return generator

    def split_watermarks(self) -> dict[str, int]:
        return {split: generator.watermark for split, generator in self._generators.items()}

    def restore_split_watermarks(self, watermarks: dict[str, int]) -> None:
        for split, watermark in watermarks.items():
            self._generator_of(split).restore(watermark)

    def advance(self, watermark_ms: int, rows_max: int) -> bool:
        if self._head is not None:
            try:
                if not self._head.advance(watermark_ms, rows_max):
                    return False
            except Exception as error:  # noqa: BLE001 - whatever user code raises gets its operator's name
                raise self._located(error) from error
        self._watermark = watermark_ms
        return True

    def output_watermark(self, edge_operator: int) -> int:
        at: int | None = edge_operator
        while at is not None:
            if at in self._middle and self._watermark != MAX_WATERMARK:
                return self._middle[at].watermark
            at = self._vertex.operators[at].input
        return self._watermark

    # ---- whose fault

    def _located(self, error: Exception) -> UserCodeError:
        if isinstance(error, UserCodeError):
            return error
        at: TracebackType | None = error.__traceback__
        index = 0
        while at is not None:
            if at.tb_frame.f_code.co_filename == self._file:
                index = self._lines.get(at.tb_lineno, 0)
            at = at.tb_next
        return UserCodeError(self._vertex.operators[index].name, error)


def make_chain(
    vertex: Vertex,
    functions: Mapping[str, Any],
    *,
    lane: int,
    lanes: int,
    attempt: int,
    tables: Tables,
    edge_writers: Mapping[int, Sequence[EdgeWriter]],
    sink_writer: SinkWriter,
    print_line: Callable[[str], None],
) -> FusedChain:
    """The chain of one vertex, not yet opened. ``functions``: function id to a fresh object."""
    task = Task(vertex.name, lane, lanes, attempt)
    return FusedChain(
        vertex,
        functions,
        task=task,
        tables=tables,
        edge_writers=edge_writers,
        sink_writer=sink_writer,
        print_line=print_line,
    )
