"""From StreamGraph to JobGraph: operators that need no exchange between them become one vertex.

An operator joins the vertex of its input when it has this one input, without a way of shipping that changes the
lane; both run in the same lanes at the same parallelism; it keeps no keyed state (a keyed operator reads a hash
edge) and waits for no results (an async one); and chaining is allowed for the program and for both of them. A side
output always joins the operator it is of. Everything else begins a vertex.

Vertices are numbered in the order of their first operators, edges by their target. Both are topological, and the
same program always gives the same JobGraph. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from headrace.errors import UsageError
from headrace.graph.job_graph import HEADS, KEYED, SOURCES, Edge, JobGraph, Operator, OperatorKind, Ship, Vertex
from headrace.graph.stream_graph import Chaining, StreamEdge, StreamGraph, StreamNode
from headrace.graph.uids import uids

VERTEX_NAME_MAX = 2000


@dataclass
class _Chain:
    """A vertex in the making: positions of its nodes, and for each the index of its input among them."""

    nodes: list[int] = field(default_factory=list)
    inputs: list[int | None] = field(default_factory=list)


def job_graph(graph: StreamGraph) -> JobGraph:
    """The JobGraph of a StreamGraph.

    Raises UsageError when uids repeat or a forward() joins unequal lanes.
    """
    chains: list[_Chain] = []
    place: list[tuple[int, int]] = []  # of each node: chain, index in it
    for position, node in enumerate(graph.nodes):
        if _joins(graph, node):
            number, index = place[node.inputs[0].source]
            chain = chains[number]
        else:
            number, index, chain = len(chains), None, _Chain()
            chains.append(chain)
        place.append((number, len(chain.nodes)))
        chain.nodes.append(position)
        chain.inputs.append(index)
    names = uids(graph)
    return JobGraph(
        vertices=tuple(_vertex(graph, number, chain, names) for number, chain in enumerate(chains, 1)),
        edges=tuple(_edges(graph, chains, place)),
    )


def _joins(graph: StreamGraph, node: StreamNode) -> bool:
    if node.kind is OperatorKind.SIDE_OUTPUT:
        return True
    if not graph.chaining or node.kind in SOURCES | KEYED | HEADS or len(node.inputs) != 1:
        return False
    edge = node.inputs[0]
    source = graph.nodes[edge.source]
    return (
        edge.ship in (None, Ship.FORWARD)
        and (source.lanes, source.parallelism) == (node.lanes, node.parallelism)
        and node.chaining is Chaining.ALWAYS
        and source.chaining is not Chaining.NEVER
    )


def _vertex(graph: StreamGraph, number: int, chain: _Chain, names: list[str]) -> Vertex:
    nodes = [graph.nodes[position] for position in chain.nodes]
    operators = tuple(
        Operator(
            uid=names[position],
            kind=node.kind,
            name=node.name,
            input=index,
            params=node.params,
            functions=node.functions,
        )
        for position, node, index in zip(chain.nodes, nodes, chain.inputs, strict=True)
    )
    return Vertex(
        id=f"v{number}",
        name=_shortened(_vertex_name(nodes, chain.inputs, 0)),
        operators=operators,
        parallelism=nodes[0].parallelism,
        lanes=nodes[0].lanes,
    )


def _vertex_name(nodes: list[StreamNode], inputs: list[int | None], index: int) -> str:
    """``a -> b -> (c, d)``: the chain as a tree, from operator ``index`` down."""
    below = [_vertex_name(nodes, inputs, i) for i, source in enumerate(inputs) if source == index]
    if not below:
        return nodes[index].name
    return f"{nodes[index].name} -> {below[0] if len(below) == 1 else '(' + ', '.join(below) + ')'}"


def _shortened(name: str) -> str:
    return name if len(name) <= VERTEX_NAME_MAX else name[: VERTEX_NAME_MAX - 3] + "..."


def _edges(graph: StreamGraph, chains: list[_Chain], place: list[tuple[int, int]]) -> list[Edge]:
    edges: list[Edge] = []
    for number, chain in enumerate(chains):
        head = graph.nodes[chain.nodes[0]]
        for edge in head.inputs:
            source, operator = place[edge.source]
            edges.append(
                Edge(
                    id=f"e{len(edges) + 1}",
                    source=f"v{source + 1}",
                    operator=operator,
                    target=f"v{number + 1}",
                    input=edge.input,
                    ship=_ship(edge, graph.nodes[edge.source], head),
                    key=edge.key,
                )
            )
    return edges


def _ship(edge: StreamEdge, source: StreamNode, target: StreamNode) -> Ship:
    if edge.ship is None:
        return Ship.FORWARD if source.lanes == target.lanes else Ship.REBALANCE
    if edge.ship is Ship.FORWARD and source.lanes != target.lanes:
        raise UsageError(
            "forward-unequal",
            f"forward() from {source.name!r} with {source.lanes} lanes to {target.name!r} with {target.lanes} "
            f"({target.site})",
            hint="give both the same parallelism, or use rebalance()",
        )
    return edge.ship
