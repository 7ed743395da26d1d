"""The chain of one vertex in one lane: its generated functions, bound to the user's functions and the lane."""

from __future__ import annotations

import itertools
import linecache
import logging
import operator as std_operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from headrace.clock import now_ms
from headrace.datastream.async_retry_strategies import NO_RETRY_STRATEGY
from headrace.datastream.functions import ProcessFunction, RuntimeContext
from headrace.datastream.output_tag import OutputTag
from headrace.errors import UsageError
from headrace.graph.job_graph import KEYED, TWO_INPUT, Operator, OperatorKind, Vertex
from headrace.graph.keys import state_key
from headrace.runtime.eventtime.generators import Generator, make_generator
from headrace.runtime.files.sink import PartFiles
from headrace.runtime.operators.async_calls import EventLoopCalls
from headrace.runtime.operators.async_wait import AsyncWaitOperator
from headrace.runtime.operators.attribution import LineMap
from headrace.runtime.operators.by_clock import ClockedWindows
from headrace.runtime.operators.context import (
    LaneRuntimeContext,
    Task,
    UnkeyedStore,
    call_of,
    close_function,
    open_function,
)
from headrace.runtime.operators.count_window import CountOperator
from headrace.runtime.operators.final_values import FinalValues
from headrace.runtime.operators.interval_join import IntervalJoinOperator
from headrace.runtime.operators.keyed_process import KeyedProcessOperator
from headrace.runtime.operators.running import aggregation
from headrace.runtime.operators.session import SessionOperator
from headrace.runtime.operators.sinks import collect_sink, file_sink, kafka_sink, print_sink
from headrace.runtime.operators.source_code import VertexSource
from headrace.runtime.operators.triggered_window import TriggeredWindowOperator
from headrace.runtime.operators.two_input import two_input_head
from headrace.runtime.operators.window import WindowOperator
from headrace.runtime.operators.window_head import triggered_head, window_head
from headrace.runtime.ports import (
    MAX_WATERMARK,
    MIN_WATERMARK,
    ChainFactory,
    EdgeWriter,
    Pending,
    SinkWriter,
    UserCodeError,
)
from headrace.runtime.state.due import Timers
from headrace.runtime.state.isolation import ATOMS, isolated
from headrace.runtime.state.keyed import CurrentKey
from headrace.runtime.state.store import TableStateStore
from headrace.runtime.state.tables import MISSING, Tables

#: What a TimestampAssigner is given for a record that has no time yet.
NO_TIME = MIN_WATERMARK
#: Method of a function object, by role.
METHODS = {
    "generate": "map",
    "map": "map",
    "filter": "filter",
    "flat_map": "flat_map",
    "reduce": "reduce",
    "timestamp": "extract_timestamp",
    "key": "get_key",
}

#: Table of what is not keyed: the watermark of the keyed head, and of each ``timestamps`` operator by its uid.
EVENT_TIME_TABLE = "/event-time"

#: How many timers and windows of the time of day fire in one turn of the lane; the rest in the next.
TICK_ROWS_MAX = 10_000

EventTimeHead = (
    KeyedProcessOperator
    | WindowOperator
    | SessionOperator
    | CountOperator
    | IntervalJoinOperator
    | TriggeredWindowOperator
    | FinalValues
)

log = logging.getLogger(__name__)


def event_time(time: Any) -> int:
    """What a TimestampAssigner gave that is no plain int, as one. Raises UsageError when it is no whole number."""
    try:
        whole = int(time) if isinstance(time, float) and time.is_integer() else std_operator.index(time)
    except TypeError:
        raise UsageError(
            "event-time-invalid",
            f"a timestamp assigner gave {time!r:.100} (a {type(time).__qualname__})",
            hint="return the event time as an int: milliseconds since 1970 in UTC",
        ) from None
    return int(whole)


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
        results: str = "",
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        """``results``: the topic of a collect sink."""
        self._vertex = vertex
        self._functions = functions
        self._task = task
        self._tables = tables
        self._sink_writer = sink_writer
        self._print_line = print_line
        self._results = results
        self._wake = wake
        self._async: AsyncWaitOperator | None = None
        self._calls: EventLoopCalls | None = None
        self._current = CurrentKey()
        self._generators: dict[str, Generator] = {}
        self._middle: dict[int, Generator | None] = {}  #: of ``timestamps`` operators; None: no watermarks
        self._head: EventTimeHead | None = None
        self._clocked: KeyedProcessOperator | ClockedWindows | TriggeredWindowOperator | None = (
            None  #: a head that goes by the time of day
        )
        self._watermark = MIN_WATERMARK
        self._opened: list[Any] = []
        self._committing: dict[int, PartFiles] = {}  #: sinks that write outside of the log, by operator
        for index, operator in enumerate(vertex.operators):
            if operator.kind is OperatorKind.FILE_SINK:
                self._committing[index] = self._file_sink(index, operator)
        self._times = tables.table(EVENT_TIME_TABLE)
        writers = {n: list(edge_writers.get(n, ())) for n in range(len(vertex.operators))}
        self._compile(writers)

    def _compile(self, writers: Mapping[int, Sequence[EdgeWriter]]) -> None:
        builder = VertexSource(self._vertex, {n: len(w) for n, w in writers.items()})
        self.source = builder.build()
        operators = self._vertex.operators
        file = f"<headrace {self._vertex.id}/{self._task.lane}>"
        self._lines = LineMap(
            file,
            self.source.splitlines(),
            {n: operators[i].name for n, i in builder.lines.items()},
            builder.edge_lines,
        )
        self._names: dict[str, Any] = {
            "__name__": "headrace.generated",
            "ATOMS": ATOMS,
            "MISSING": MISSING,
            "NO_KEYS": itertools.repeat(None),
            "NO_TIME": NO_TIME,
            "OutputTag": OutputTag,
            "event_time": event_time,
            "generator_of": self._generator_of,
            "isolated": isolated,
            "state_key": state_key,
        }
        for index, edges in writers.items():
            for number, writer in enumerate(edges):
                self._names[f"w{index}_{number}"] = writer.write
        exec(compile(self.source, file, "exec"), self._names)
        # So that tracebacks and debuggers show the generated lines. One entry for each lane, however often it starts.
        linecache.cache[file] = (len(self.source), None, self.source.splitlines(keepends=True), file)

    def _file_sink(self, index: int, operator: Operator) -> PartFiles:
        encoder = self._functions[operator.functions["encode"]] if "encode" in operator.functions else None
        table = self._tables.table(f"{operator.uid}/parts")
        return file_sink(operator, index, self._vertex.id, encoder, self._task, table)

    # ---- open and close

    def open(self) -> None:
        for sink in self._committing.values():
            sink.open()
        theirs: set[str] = set()
        for index, operator in enumerate(self._vertex.operators):
            context = self._context(operator)
            theirs.update(operator.functions.values())
            if operator.kind is OperatorKind.ASYNC_WAIT:
                self._open_calls(operator)
            else:
                for function_id in operator.functions.values():
                    self._open_function(self._functions[function_id], context, operator.name)
            self._bind(index, operator)
        context = LaneRuntimeContext(self._task, UnkeyedStore(), self._vertex.name)
        for function_id, function in self._functions.items():
            if function_id not in theirs:
                self._open_function(function, context, f"key_by after {self._vertex.name}")
        if self._head is not None:
            firing, reached = self._time_of("firing"), self._time_of("reached")
            self._head.watermark = max(firing, reached)
            if isinstance(self._head, TriggeredWindowOperator):
                self._head.behind = firing > reached
        if self._async is not None:
            self._async.open()
            self._watermark = self._async.watermark

    def _open_calls(self, operator: Operator) -> None:
        function = self._functions[operator.functions["async"]]
        retry = self._functions[operator.functions["retry"]] if "retry" in operator.functions else NO_RETRY_STRATEGY
        params: Any = operator.params
        timeout_s = params["timeout_ms"] / 1000
        self._calls = EventLoopCalls(function, retry, timeout_s=timeout_s, wake=self._wake)
        try:
            store = UnkeyedStore("cannot be called in an AsyncFunction")
            self._calls.open(LaneRuntimeContext(self._task, store, operator.name))
        except BaseException as error:  # SystemExit too
            raise UserCodeError(operator.name, error) from error

    def _open_function(self, function: Any, context: RuntimeContext, name: str) -> None:
        try:
            open_function(function, context)
        except Exception as error:  # noqa: BLE001 - whatever user code raises gets its operator's name
            raise UserCodeError(name, error) from error
        self._opened.append(function)

    def close(self) -> None:
        if self._calls is not None:
            self._calls.close()
        for sink in self._committing.values():
            try:
                sink.close()
            except OSError:
                log.exception("closing files")
        while self._opened:
            function = self._opened.pop()
            try:
                close_function(function)
            except Exception:  # noqa: BLE001 - user code; the lane is ending and says why elsewhere
                log.exception("close() of %s", type(function).__qualname__)

    def _context(self, operator: Operator) -> RuntimeContext:
        store: TableStateStore | UnkeyedStore = UnkeyedStore()
        if operator.kind in KEYED:
            store = TableStateStore(self._tables, operator.uid, self._current, clock_ms=self._task.clock_ms)
        return LaneRuntimeContext(self._task, store, operator.name)

    def _bind(self, index: int, operator: Operator) -> None:
        roles = {role: self._functions[function_id] for role, function_id in operator.functions.items()}
        calls = {role: call_of(f, METHODS[role]) if role in METHODS else f for role, f in roles.items()}
        if "timestamp" in calls and operator.kind is not OperatorKind.KAFKA_SINK:
            self._names[f"timestamp{index}"] = calls["timestamp"]
        if operator.kind is OperatorKind.TIMESTAMPS:
            strategy: Any = operator.params.get("watermark")
            generator = make_generator(strategy) if strategy else None
            if generator is not None:
                generator.restore(self._time_of(f"uid:{operator.uid}"))
            self._names[f"generator{index}"] = self._middle[index] = generator
        bound = self._callable(index, operator, roles, calls)
        if bound is not None:
            self._names[f"f{index}"] = bound

    def _callable(self, index: int, operator: Operator, roles: Mapping[str, Any], calls: Mapping[str, Any]) -> Any:
        match operator.kind:
            case OperatorKind.MAP | OperatorKind.FILTER | OperatorKind.FLAT_MAP:
                return calls[operator.kind.value]
            case OperatorKind.DATAGEN_SOURCE:
                return calls["generate"]
            case OperatorKind.PROCESS:
                return _process(roles["process"])
            case OperatorKind.PRINT:
                label = str(operator.params.get("label") or "")
                return print_sink(label, self._task.lane, self._task.lanes, self._print_line)
            case OperatorKind.KAFKA_SINK:
                return kafka_sink(operator, calls, self._sink_writer)
            case OperatorKind.COLLECT:
                return collect_sink(self._results, self._sink_writer)
            case OperatorKind.FILE_SINK:
                return self._committing[index].write
            case OperatorKind.REDUCE:
                self._reduction(operator, "reduce")
                return calls["reduce"]
            case OperatorKind.AGGREGATE:
                self._reduction(operator, "aggregate")
                params: Any = operator.params
                return aggregation(params["op"], params["field"])
            case OperatorKind.KEYED_PROCESS:
                head = KeyedProcessOperator(
                    roles["process"],
                    Timers(self._tables.table(f"{operator.uid}/timers")),
                    Timers(self._tables.table(f"{operator.uid}/processing-timers")),
                    self._current,
                    self._names["out_0"],
                    self._task.clock_ms,
                )
                self._head = self._clocked = head
                return head.process
            case OperatorKind.ASYNC_WAIT:
                assert self._calls is not None
                params = operator.params
                table, ordered = self._tables.table(f"{operator.uid}/async"), params["mode"] == "ordered"
                waits = AsyncWaitOperator(
                    self._calls, table, self._names["out_0"], ordered=ordered, capacity=params["capacity"]
                )
                self._async = waits
                return waits.add_rows
            case OperatorKind.WINDOW if "trigger" in roles:
                out = self._names["out_0"]
                triggered = triggered_head(operator, roles, self._tables, self._current, out, self._task)
                self._head = self._clocked = triggered
                return triggered.add_rows
            case OperatorKind.WINDOW:
                out, clock_ms = self._names["out_0"], self._task.clock_ms
                current, tables = self._current, self._tables
                window = window_head(operator, roles, tables, current, out, clock_ms, lambda: self._watermark)
                if isinstance(window, ClockedWindows):
                    self._clocked = window
                else:
                    self._head = window
                return window.add_rows
            case kind if kind in TWO_INPUT:
                return self._two_input(operator, roles["process"])
            case _:
                return None

    def _reduction(self, operator: Operator, name: str) -> None:
        """The table of a running reduction; in batch mode, a head that gives its values at the end."""
        table = self._names["table0"] = self._tables.table(f"{operator.uid}/value/{name}")
        if operator.params.get("final"):
            self._head = FinalValues(table, self._names["out_0"])

    def _two_input(self, operator: Operator, function: Any) -> Any:
        head = two_input_head(
            operator,
            function,
            tables=self._tables,
            current=self._current,
            store=TableStateStore(self._tables, operator.uid, self._current, clock_ms=self._task.clock_ms),
            emit=self._names["out_0"],
            clock_ms=self._task.clock_ms,
            watermark=lambda: self._watermark,
        )
        if isinstance(head, IntervalJoinOperator):
            self._head = head
            return head.add_rows
        if isinstance(head, KeyedProcessOperator):
            self._head = self._clocked = head
        return head.inputs

    # ---- records

    def process_source(self, values: Sequence[Any], times: Sequence[int | None], split: str) -> None:
        self._run(self._names["process_source"], values, times, split)

    def process_rows(
        self, edge_input: int, keys: Sequence[Any] | None, values: Sequence[Any], times: Sequence[int | None]
    ) -> None:
        self._run(self._names["process_rows"], edge_input, keys, values, times)

    def _run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call generated code; whatever user code raises gets its operator's name."""
        try:
            outcome = function(*arguments)
        except BaseException as error:  # SystemExit too: user code must not end a lane without a word
            name = self._lines.blame(error, self._vertex.operators[0].name)
            if name is None:
                raise
            cause = self._lines.no_iterable(error) or error
            raise UserCodeError(name, cause) from cause
        if self._middle:
            self._keep_times()
        return outcome

    @property
    def late_dropped(self) -> int:
        """Records that came too late for their window, since this chain was opened."""
        return 0 if self._head is None else self._head.late_dropped

    def user_metrics(self) -> dict[str, dict[str, int | float]]:
        """Metrics of the user's functions, by operator. Any thread."""
        return self._task.metrics.values()

    # ---- commits

    def due(self) -> bool:
        fired = self._clocked is not None and self._run(self._clocked.tick, TICK_ROWS_MAX)
        if self._async is not None:
            fired = self._run(self._async.drain)
            self._watermark = self._async.watermark
        return fired or any(sink.due() for sink in self._committing.values())

    def pending(self) -> Pending:
        return Pending.NONE if self._async is None else self._async.pending()

    def prepare(self, c: int, *, final: bool) -> None:
        for sink in self._committing.values():
            sink.prepare(c, final=final)

    def committed(self) -> None:
        for sink in self._committing.values():
            sink.committed()

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
        if self._vertex.operators[0].params.get("watermark"):
            for split, watermark in watermarks.items():
                self._generator_of(split).restore(watermark)

    def advance(self, watermark_ms: int, rows_max: int) -> bool:
        if self._head is not None and not self._advance_head(self._head, watermark_ms, rows_max):
            return False
        if self._async is not None:
            self._async.advance(watermark_ms)
            watermark_ms = self._async.watermark
        self._watermark = watermark_ms
        return True

    def _advance_head(self, head: EventTimeHead, watermark_ms: int, rows_max: int) -> bool:
        """Fire up to the watermark. How far is state as well:

        ``firing``   a firing that was cut short goes on after a restart, and rows stay late for it meanwhile
        ``reached``  what was registered in the past waits for the next step, also when a restart comes between
        """
        firing, reached = self._time_of("firing"), self._time_of("reached")
        target = max(watermark_ms, firing)
        if target <= reached:
            return True
        if not self._run(head.advance, target, rows_max):
            if target != firing:
                self._times.put("", "firing", target)
            return False
        self._times.delete("", "firing")
        self._times.put("", "reached", target)
        return True

    def _time_of(self, name: str) -> int:
        return int(self._times.get("", name, MIN_WATERMARK))

    def output_watermark(self, edge_operator: int) -> int:
        at: int | None = edge_operator
        while at is not None and self._watermark != MAX_WATERMARK:
            if at in self._middle:
                generator = self._middle[at]
                return MIN_WATERMARK if generator is None else generator.watermark
            at = self._vertex.operators[at].input
        return self._watermark

    def _keep_times(self) -> None:
        """``timestamps`` operators go on where they were after a restart."""
        for index, generator in self._middle.items():
            uid = self._vertex.operators[index].uid
            if generator is not None and generator.watermark != self._time_of(f"uid:{uid}"):
                self._times.put("", f"uid:{uid}", generator.watermark)


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
    origin: str = "job-1",
    results: str = "",
    clock_ms: Callable[[], int] = now_ms,
    wake: Callable[[], None] = lambda: None,
) -> FusedChain:
    """The chain of one vertex, not yet opened. ``functions``: function id to a fresh object.

    ``origin`` names job and incarnation, ``clock_ms`` is the time of day: for sinks outside of the log. ``results``
    is the topic of a collect sink.
    """
    task = Task(vertex.name, lane, lanes, attempt, origin, clock_ms)
    return FusedChain(
        vertex,
        functions,
        task=task,
        tables=tables,
        edge_writers=edge_writers,
        sink_writer=sink_writer,
        print_line=print_line,
        results=results,
        wake=wake,
    )


_: ChainFactory = make_chain  # the types are checked here
