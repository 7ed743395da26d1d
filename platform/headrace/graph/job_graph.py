"""The JobGraph: what a client submits and what every later step reads.

Vertices are chains of operators that run together in each lane; edges carry records from one vertex to the
lanes of another through an exchange topic. The graph is data only: user functions are named by ids into the
job's code bundle (``Submission.code``) and are never unpickled outside a slot worker.

Pure: no I/O.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, FailFast, Field, JsonValue, StringConstraints, model_validator

LANES_MAX = 64

VertexId = Annotated[str, StringConstraints(pattern=r"^v[0-9]{1,4}$")]
EdgeId = Annotated[str, StringConstraints(pattern=r"^e[0-9]{1,4}$")]


class Strict(BaseModel):
    """A part of the public contract: unknown fields are refused, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Ship(StrEnum):
    """How records of an edge choose the target lane."""

    HASH = "hash"  #: by key group of the key
    FORWARD = "forward"  #: lane i to lane i; equal lane counts
    REBALANCE = "rebalance"  #: round robin
    BROADCAST = "broadcast"  #: to every lane
    GLOBAL = "global"  #: to lane 0
    CUSTOM = "custom"  #: as the program's partitioner says


class OperatorKind(StrEnum):
    """The operators the runtime knows; docs/internals/operators.md lists their parameters and functions."""

    COLLECTION_SOURCE = "collection_source"
    KAFKA_SOURCE = "kafka_source"
    NUMBER_SEQUENCE_SOURCE = "number_sequence_source"
    DATAGEN_SOURCE = "datagen_source"
    FILE_SOURCE = "file_source"
    POLLING_SOURCE = "polling_source"
    TIMESTAMPS = "timestamps"
    MAP = "map"
    FILTER = "filter"
    FLAT_MAP = "flat_map"
    PROCESS = "process"
    KEYED_PROCESS = "keyed_process"
    REDUCE = "reduce"
    AGGREGATE = "aggregate"
    WINDOW = "window"
    ASYNC_WAIT = "async_wait"
    CO_PROCESS = "co_process"
    KEYED_CO_PROCESS = "keyed_co_process"
    BROADCAST_PROCESS = "broadcast_process"
    KEYED_BROADCAST_PROCESS = "keyed_broadcast_process"
    INTERVAL_JOIN = "interval_join"
    SIDE_OUTPUT = "side_output"
    PRINT = "print"
    KAFKA_SINK = "kafka_sink"
    FILE_SINK = "file_sink"
    COLLECT = "collect"
    DISCARD = "discard"


SOURCES = frozenset(
    {
        OperatorKind.COLLECTION_SOURCE,
        OperatorKind.KAFKA_SOURCE,
        OperatorKind.NUMBER_SEQUENCE_SOURCE,
        OperatorKind.DATAGEN_SOURCE,
        OperatorKind.FILE_SOURCE,
        OperatorKind.POLLING_SOURCE,
    }
)
SINKS = frozenset(
    {
        OperatorKind.PRINT,
        OperatorKind.KAFKA_SINK,
        OperatorKind.FILE_SINK,
        OperatorKind.COLLECT,
        OperatorKind.DISCARD,
    }
)
#: Operators that begin their vertex, though not keyed.
HEADS = frozenset({OperatorKind.ASYNC_WAIT})
#: Operators of two inputs: heads of their vertices, whose edges say which input they are.
TWO_INPUT = frozenset(
    {
        OperatorKind.CO_PROCESS,
        OperatorKind.KEYED_CO_PROCESS,
        OperatorKind.BROADCAST_PROCESS,
        OperatorKind.KEYED_BROADCAST_PROCESS,
        OperatorKind.INTERVAL_JOIN,
    }
)
KEYED = frozenset(
    {
        OperatorKind.KEYED_PROCESS,
        OperatorKind.REDUCE,
        OperatorKind.AGGREGATE,
        OperatorKind.WINDOW,
        OperatorKind.KEYED_CO_PROCESS,
        OperatorKind.KEYED_BROADCAST_PROCESS,
        OperatorKind.INTERVAL_JOIN,
    }
)
#: Operators whose outputs may go to a tag instead.
SIDE_OUTPUTS = frozenset({OperatorKind.PROCESS, OperatorKind.KEYED_PROCESS, OperatorKind.WINDOW, *TWO_INPUT})


class Operator(Strict):
    """One operator of a vertex.

    ``input`` is the index, within the vertex, of the operator it reads from; None for the head, which reads
    a source or the vertex's input edges. ``functions`` maps a role ("map", "reduce", "key", ...) to a
    function id in the code bundle. ``uid`` names the operator's state; unique within a job.
    """

    uid: str = Field(min_length=1, max_length=200)
    kind: OperatorKind
    name: str = Field(min_length=1, max_length=500)
    input: int | None = Field(None, ge=0)
    params: dict[str, JsonValue] = Field(default_factory=dict)
    functions: dict[str, str] = Field(default_factory=dict)


class Vertex(Strict):
    """A chain of operators run in ``lanes`` lanes spread over ``parallelism`` slots."""

    id: VertexId
    name: str = Field(min_length=1, max_length=2000)
    operators: Annotated[tuple[Operator, ...], FailFast()] = Field(min_length=1)
    parallelism: int = Field(1, ge=1, le=LANES_MAX)
    lanes: int = Field(1, ge=1, le=LANES_MAX)

    @property
    def is_source(self) -> bool:
        return self.operators[0].kind in SOURCES

    @model_validator(mode="after")
    def _chain_is_a_tree(self) -> Self:
        for index, operator in enumerate(self.operators):
            if (operator.input is None) != (index == 0) or (operator.input or 0) > max(index - 1, 0):
                raise ValueError(f"operator {operator.uid!r} of {self.id}: input must be an earlier operator")
        if self.parallelism > self.lanes:
            raise ValueError(f"{self.id}: parallelism {self.parallelism} exceeds lanes {self.lanes}")
        return self


class Edge(Strict):
    """Records of ``source``'s operator ``operator`` go to ``target``, all to its head operator.

    ``input``: which input of the head; 1 is the second of an operator of two inputs.
    ``key`` is the function id of the key selector (HASH only). ``codec`` says how values travel:
    "pickle" keeps any Python value, "msgpack" is for declared types.
    """

    id: EdgeId
    source: VertexId
    operator: int = Field(ge=0)
    target: VertexId
    input: int = Field(0, ge=0, le=1)
    ship: Ship
    key: str | None = None
    codec: str = Field("pickle", pattern="^(pickle|msgpack)$")

    @model_validator(mode="after")
    def _hash_needs_a_key(self) -> Self:
        if (self.ship in (Ship.HASH, Ship.CUSTOM)) != (self.key is not None):
            raise ValueError(f"edge {self.id}: a key selector belongs to hash edges, and to these only")
        return self


class JobGraph(Strict):
    """Vertices and edges, both numbered in topological order."""

    # FailFast: a message of 900 KB can hold half a million mistakes, and listing them all takes seconds.
    vertices: Annotated[tuple[Vertex, ...], FailFast()] = Field(min_length=1, max_length=1000)
    edges: Annotated[tuple[Edge, ...], FailFast()] = Field(default=(), max_length=5000)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        ids = [v.id for v in self.vertices]
        if len(set(ids)) != len(ids):
            raise ValueError("vertex ids repeat")
        if len({e.id for e in self.edges}) != len(self.edges):
            raise ValueError("edge ids repeat")
        uids = [o.uid for v in self.vertices for o in v.operators]
        if len(set(uids)) != len(uids):
            raise ValueError("operator uids repeat")
        order = {vertex_id: n for n, vertex_id in enumerate(ids)}
        for edge in self.edges:
            if edge.source not in order or edge.target not in order:
                raise ValueError(f"edge {edge.id} names a vertex that is not in the graph")
            if order[edge.source] >= order[edge.target]:
                raise ValueError(f"edge {edge.id}: vertices must be in topological order")
            if edge.operator >= len(self.vertex(edge.source).operators):
                raise ValueError(f"edge {edge.id}: no operator {edge.operator} in {edge.source}")
            lanes = self.vertex(edge.source).lanes, self.vertex(edge.target).lanes
            if edge.ship is Ship.FORWARD and lanes[0] != lanes[1]:
                raise ValueError(f"edge {edge.id}: forward needs equal lanes, not {lanes[0]} and {lanes[1]}")
        for vertex in self.vertices:
            if vertex.is_source == any(e.target == vertex.id for e in self.edges):
                raise ValueError(f"{vertex.id} must have either a source operator or input edges")
        return self

    def vertex(self, vertex_id: str) -> Vertex:
        return next(v for v in self.vertices if v.id == vertex_id)

    def inputs(self, vertex_id: str) -> tuple[Edge, ...]:
        return tuple(e for e in self.edges if e.target == vertex_id)

    def outputs(self, vertex_id: str) -> tuple[Edge, ...]:
        return tuple(e for e in self.edges if e.source == vertex_id)

    @property
    def slots(self) -> int:
        """Slots the job needs: lanes of all vertices share slots, so the largest parallelism."""
        return max(v.parallelism for v in self.vertices)

    def lane_slots(self) -> dict[str, int]:
        """Every lane of the job by name, with the index of the slot it runs in: lane i in i * p // L."""
        return {f"{v.id}/{i}": i * v.parallelism // v.lanes for v in self.vertices for i in range(v.lanes)}
