"""The StreamGraph: a program's operators one by one, before they are chained into the vertices of a JobGraph.

Nodes stand in the order the program made them, so every input of a node stands before it. Pure data: functions
are ids into the job's code bundle.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from pydantic import JsonValue

from headrace.graph.job_graph import OperatorKind, Ship


class Chaining(StrEnum):
    """Whether a node may share a vertex with its neighbours."""

    ALWAYS = "always"  #: with both
    HEAD = "head"  #: it begins a vertex
    NEVER = "never"  #: with none


@dataclass(frozen=True)
class StreamEdge:
    """An input of a node. ``ship`` None: forward when the lane counts are equal, else rebalance.

    ``input``: 1 for the second input of a node that has two.
    """

    source: int
    ship: Ship | None = None
    key: str | None = None
    input: int = 0


@dataclass(frozen=True)
class StreamNode:
    """One operator. ``site`` is the user's line that made it, ``uid`` None when the program gave none."""

    kind: OperatorKind
    name: str
    site: str
    inputs: tuple[StreamEdge, ...] = ()
    uid: str | None = None
    parallelism: int = 1
    lanes: int = 1
    chaining: Chaining = Chaining.ALWAYS
    params: dict[str, JsonValue] = field(default_factory=dict)
    functions: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class StreamGraph:
    """All nodes of a program; a StreamEdge names its source by position."""

    nodes: tuple[StreamNode, ...]
    chaining: bool = True
