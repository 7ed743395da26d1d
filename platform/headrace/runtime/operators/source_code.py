"""The text of a vertex's functions: its operators fused into straight-line Python.

For each vertex one module is generated, with a function per entry:

    process_source(values, times, split)          a batch from a source
    process_rows(edge_input, keys, values, times) a batch from an exchange
    out_<n>(v, t)                                 one output of operator n that no input caused: of timers,
                                                  windows, async functions

Stateless operators, sinks and running reductions are inlined; a KeyedProcessFunction is one call per record, a
window one per batch. ``lines`` says which operator each generated line belongs to, so that an exception from user
code is laid at the right door without a try around every call; ``edge_lines`` are those that write to an edge, where
the only user code is the key selector. Pure.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from headrace.graph.job_graph import SIDE_OUTPUTS, TWO_INPUT, JobGraph, Operator, OperatorKind, Vertex

#: Python refuses more than 20 nested for statements; from here on a chain continues in a function of its own.
LOOPS_MAX = 12
#: And not more than 100 levels of indentation.
DEPTH_MAX = 40
INDENT = "    "
#: Heads whose outputs may come without an input.
TIMED = frozenset({OperatorKind.KEYED_PROCESS, OperatorKind.WINDOW, OperatorKind.ASYNC_WAIT}) | TWO_INPUT


def vertex_source(graph: JobGraph, vertex_id: str) -> VertexSource:
    """Of one vertex of a graph; ``build`` gives the text that its lanes run."""
    leaving = Counter(edge.operator for edge in graph.outputs(vertex_id))
    return VertexSource(graph.vertex(vertex_id), dict(leaving))


@dataclass
class VertexSource:
    """Text under construction. Names in it: f<n> is operator n's callable, w<n>_<k> its k-th edge writer."""

    vertex: Vertex
    edges: dict[int, int]  #: operator index to how many edges leave it
    text: list[str] = field(default_factory=list)
    lines: dict[int, int] = field(default_factory=dict)  #: line number to operator index
    edge_lines: set[int] = field(default_factory=set)
    _continued: list[int] = field(default_factory=list)  #: operators that need an out_<n>

    def build(self) -> str:
        """The whole text; ``lines`` is filled."""
        head = self.vertex.operators[0]
        if self.vertex.is_source:
            self._source(head)
        else:
            self._rows(head)
        if head.kind in TIMED or head.params.get("final"):
            self._continued.append(0)
        done: set[int] = set()
        while self._continued:
            index = self._continued.pop()
            if index not in done:
                done.add(index)
                self.text += ["", ""]
                self._line(0, f"def out_{index}(v{index}, t{index}):", index)
                if not self._outputs(index, f"v{index}", f"t{index}", 1, 0):
                    self._line(1, "pass", index)
        return "\n".join(self.text) + "\n"

    def _line(self, depth: int, text: str, operator: int) -> None:
        self.text.append(INDENT * depth + text)
        self.lines[len(self.text)] = operator

    # ---- entries

    def _source(self, head: Operator) -> None:
        self._line(0, "def process_source(values, times, split):", 0)
        watermarked = bool(head.params.get("watermark"))
        if watermarked:
            self._line(1, "generator = generator_of(split)", 0)
            self._line(1, "greatest = generator.greatest", 0)
        self._line(1, "for v0, t0 in zip(values, times):", 0)
        before = len(self.text)
        if head.kind is OperatorKind.KAFKA_SOURCE:
            self._line(2, "if v0 is None:", 0)  # a record without a value
            self._line(3, "continue", 0)
        if head.kind is OperatorKind.DATAGEN_SOURCE:
            self._line(2, "v0 = f0(v0)", 0)
        if "timestamp" in head.functions:
            self._timestamp(0, "v0", "t0", 2)
        if watermarked:
            self._line(2, "if t0 is not None and t0 > greatest:", 0)
            self._line(3, "greatest = t0", 0)
        self._outputs(0, "v0", "t0", 2, 1)
        if len(self.text) == before:
            self._line(2, "pass", 0)
        if watermarked:
            self._line(1, "generator.greatest = greatest", 0)

    def _timestamp(self, index: int, value: str, time: str, depth: int) -> None:
        """``t<index>`` becomes what the user's assigner says."""
        mine = f"t{index}"
        self._line(depth, f"{mine} = timestamp{index}({value}, NO_TIME if {time} is None else {time})", index)
        self._line(depth, f"if type({mine}) is not int:", index)
        self._line(depth + 1, f"{mine} = event_time({mine})", index)

    def _rows(self, head: Operator) -> None:
        self._line(0, "def process_rows(edge_input, keys, values, times):", 0)
        if head.kind in TWO_INPUT:
            self._two_inputs(head)
            return
        if head.kind in (
            OperatorKind.KEYED_PROCESS,
            OperatorKind.REDUCE,
            OperatorKind.AGGREGATE,
            OperatorKind.WINDOW,
        ):
            if head.kind is OperatorKind.WINDOW:
                self._line(1, "late_firings = f0(keys, values, times)", 0)
                self._line(1, "for v0, t0 in late_firings:", 0)
                if not self._outputs(0, "v0", "t0", 2, 1):
                    self._line(2, "pass", 0)
                return
            if head.kind in (OperatorKind.REDUCE, OperatorKind.AGGREGATE):
                self._line(1, 'space, undo = table0.enter("")', 0)
            self._line(1, "for k, v, t0 in zip(keys, values, times):", 0)
            if head.kind is OperatorKind.KEYED_PROCESS:
                self._many(0, "f0(k, v, t0)", "t0", 2, 1)
            else:
                self._reduction()
            return
        if head.kind is OperatorKind.ASYNC_WAIT:
            self._line(1, "f0(values, times)", 0)
            return
        self._line(1, "for v, t in zip(values, times):", 0)
        before = len(self.text)
        self._operator(0, "v", "t", 2, 1)
        if len(self.text) == before:
            self._line(2, "pass", 0)

    def _two_inputs(self, head: Operator) -> None:
        """Rows of either input: joined a message at a time, else each row by the function of its input."""
        if head.kind is OperatorKind.INTERVAL_JOIN:
            self._line(1, "for v0, t0 in f0(edge_input, keys, values, times):", 0)
            if not self._outputs(0, "v0", "t0", 2, 1):
                self._line(2, "pass", 0)
            return
        self._line(1, "process = f0[edge_input]", 0)
        self._line(1, "for k, v, t0 in zip(NO_KEYS if keys is None else keys, values, times):", 0)
        self._many(0, "process(k, v, t0)", "t0", 2, 1)

    def _reduction(self) -> None:
        """A running reduction on the table's dicts: what the table holds, gives back and emits is never shared.

        In batch mode nothing leaves until the end.
        """
        final = self.vertex.operators[0].params.get("final")
        for depth, text in (
            (2, "if type(k) is not str:"),
            (3, "k = state_key(k)"),
            (2, "v0 = space.get(k, MISSING)"),
            (2, "if k not in undo:"),
            (3, "undo[k] = v0"),
            (3, "if v0 is not MISSING:"),
            (4, "v0 = isolated(v0)"),
            (2, "space[k] = v0 = v if v0 is MISSING else f0(v0, v)"),
            (2, "if type(v0) not in ATOMS:"),
            (3, "v0 = isolated(v0)"),
        ):
            self._line(depth, text, 0)
            if final and text.startswith("space[k]"):
                return
        self._outputs(0, "v0", "t0", 2, 1)

    # ---- one operator's code for one record

    def _operator(self, index: int, value: str, time: str, depth: int, loops: int) -> None:
        operator = self.vertex.operators[index]
        match operator.kind:
            case OperatorKind.MAP:
                self._line(depth, f"v{index} = f{index}({value})", index)
                self._outputs(index, f"v{index}", time, depth, loops)
            case OperatorKind.FILTER:
                self._line(depth, f"if f{index}({value}):", index)
                if not self._outputs(index, value, time, depth + 1, loops):
                    self._line(depth + 1, "pass", index)
            case OperatorKind.FLAT_MAP:
                self._many(index, f"f{index}({value})", time, depth, loops)
            case OperatorKind.PROCESS:
                self._many(index, f"f{index}({value}, {time})", time, depth, loops)
            case OperatorKind.TIMESTAMPS:
                self._timestamps(index, operator, value, time, depth, loops)
            case OperatorKind.PRINT | OperatorKind.FILE_SINK | OperatorKind.COLLECT:
                self._line(depth, f"f{index}({value})", index)
            case OperatorKind.DISCARD:
                self._line(depth, "pass", index)
            case OperatorKind.KAFKA_SINK:
                self._line(depth, f"f{index}({value}, {time})", index)
            case _:
                raise ValueError(f"operator {operator.uid!r}: a {operator.kind} must be the head of its vertex")

    def _timestamps(self, index: int, operator: Operator, value: str, time: str, depth: int, loops: int) -> None:
        mine = f"t{index}"
        if "timestamp" in operator.functions:
            self._timestamp(index, value, time, depth)
        else:
            self._line(depth, f"{mine} = {time}", index)
        if operator.params.get("watermark"):
            self._line(depth, f"if {mine} is not None and {mine} > generator{index}.greatest:", index)
            self._line(depth + 1, f"generator{index}.greatest = {mine}", index)
        self._outputs(index, value, mine, depth, loops)

    def _many(self, index: int, call: str, time: str, depth: int, loops: int) -> None:
        """An operator that gives an iterable or None."""
        self._line(depth, f"r{index} = {call}", index)
        self._line(depth, f"if r{index} is not None:", index)
        self._line(depth + 1, f"for v{index} in r{index}:", index)
        if not self._outputs(index, f"v{index}", time, depth + 2, loops + 1):
            self._line(depth + 2, "pass", index)

    def _outputs(self, index: int, value: str, time: str, depth: int, loops: int) -> bool:
        """Hand one output of operator ``index`` on; False when nobody takes it."""
        children, sides = self._children(index)
        edges = self.edges.get(index, 0)
        if not children and not edges and not sides:
            return False
        if loops >= LOOPS_MAX or depth >= DEPTH_MAX:
            self._line(depth, f"out_{index}({value}, {time})", index)
            self._continued.append(index)
            return True
        if self.vertex.operators[index].kind in SIDE_OUTPUTS:
            self._sides(index, sides, value, time, depth, loops)
            depth += 1
            if not children and not edges:
                self._line(depth, "pass", index)
        for edge in range(edges):
            self._line(depth, f"w{index}_{edge}({value}, {time})", index)
            self.edge_lines.add(len(self.text))
        for child in children:
            self._operator(child, value, time, depth, loops)
        return True

    def _children(self, index: int) -> tuple[list[int], list[int]]:
        """The operators that read operator ``index``: its results, and its side outputs."""
        children: tuple[list[int], list[int]] = [], []
        for n, operator in enumerate(self.vertex.operators):
            if operator.input == index:
                children[operator.kind is OperatorKind.SIDE_OUTPUT].append(n)
        return children

    def _sides(self, index: int, sides: list[int], value: str, time: str, depth: int, loops: int) -> None:
        """Outputs to a tag; the branch for those without one is left open."""
        self._line(depth, f"if type({value}) is tuple and {value} and type({value}[0]) is OutputTag:", index)
        if not sides:
            self._line(depth + 1, "pass", index)
        for side in sides:
            tag = self.vertex.operators[side].params["tag"]
            self._line(depth + 1, f"if {value}[0].tag_id == {tag!r}:", index)
            self._line(depth + 2, f"v{side} = {value}[1]", index)
            if not self._outputs(side, f"v{side}", time, depth + 2, loops):
                self._line(depth + 2, "pass", index)
        self._line(depth, "else:", index)
