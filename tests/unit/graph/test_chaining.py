"""From StreamGraph to JobGraph: what shares a vertex, and how vertices, edges and uids are numbered."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.errors import UsageError
from headrace.graph.chaining import job_graph
from headrace.graph.job_graph import JobGraph, OperatorKind, Ship
from headrace.graph.stream_graph import Chaining, StreamEdge, StreamGraph, StreamNode
from headrace.graph.uids import uids

SOURCE = StreamNode(OperatorKind.KAFKA_SOURCE, "source", "job.py:1")


def node(*inputs: int | StreamEdge, kind: OperatorKind = OperatorKind.MAP, name: str = "map") -> StreamNode:
    edges = tuple(edge if isinstance(edge, StreamEdge) else StreamEdge(edge) for edge in inputs)
    return StreamNode(kind, name, "job.py:2", edges)


def names(graph: JobGraph) -> list[str]:
    return [vertex.name for vertex in graph.vertices]


def chained(second: StreamNode, first: StreamNode = SOURCE, *, chaining: bool = True) -> bool:
    return len(job_graph(StreamGraph((first, second), chaining)).vertices) == 1


def test_operators_with_one_forward_input_share_a_vertex() -> None:
    graph = job_graph(StreamGraph((SOURCE, node(0), node(1, kind=OperatorKind.PRINT, name="print"))))
    assert names(graph) == ["source -> map -> print"]
    assert [operator.input for operator in graph.vertices[0].operators] == [None, 0, 1]
    assert graph.edges == ()


def test_a_branch_is_written_as_a_tree() -> None:
    graph = job_graph(StreamGraph((SOURCE, node(0, name="a"), node(0, name="b"), node(1, name="c"))))
    assert names(graph) == ["source -> (a -> c, b)"]
    assert [operator.input for operator in graph.vertices[0].operators] == [None, 0, 0, 1]


@pytest.mark.parametrize(
    "second",
    [
        node(StreamEdge(0, Ship.REBALANCE)),
        node(StreamEdge(0, Ship.BROADCAST)),
        node(StreamEdge(0, Ship.HASH, "f1")),
        node(StreamEdge(0, Ship.HASH, "f1"), kind=OperatorKind.REDUCE),
        node(0, 0),
        replace(node(0), lanes=2, parallelism=2),
        replace(node(0), chaining=Chaining.HEAD),
        replace(node(0), chaining=Chaining.NEVER),
    ],
)
def test_what_begins_a_vertex_of_its_own(second: StreamNode) -> None:
    assert not chained(second)


def test_chaining_can_be_switched_off() -> None:
    assert chained(node(0))
    assert chained(node(StreamEdge(0, Ship.FORWARD)))
    assert not chained(node(0), chaining=False)
    assert not chained(node(0), replace(SOURCE, chaining=Chaining.NEVER))
    assert chained(node(0), replace(SOURCE, chaining=Chaining.HEAD))


def test_same_lanes_at_another_parallelism_begin_a_vertex_with_a_forward_edge() -> None:
    graph = job_graph(
        StreamGraph((replace(SOURCE, lanes=4, parallelism=2), replace(node(0), lanes=4, parallelism=4)))
    )
    assert [edge.ship for edge in graph.edges] == [Ship.FORWARD]


def test_unequal_lanes_are_rebalanced() -> None:
    graph = job_graph(StreamGraph((SOURCE, replace(node(0), lanes=2, parallelism=2))))
    assert [edge.ship for edge in graph.edges] == [Ship.REBALANCE]


def test_union_gives_one_edge_for_each_input_in_order() -> None:
    two = replace(SOURCE, name="two")
    graph = job_graph(
        StreamGraph((SOURCE, two, node(StreamEdge(1, Ship.HASH, "f1"), StreamEdge(0, Ship.HASH, "f1"))))
    )
    edges = [(edge.id, edge.source, edge.operator, edge.target, edge.input, edge.key) for edge in graph.edges]
    assert edges == [("e1", "v2", 0, "v3", 0, "f1"), ("e2", "v1", 0, "v3", 0, "f1")]


def test_an_edge_names_the_operator_inside_the_chain_it_leaves_from() -> None:
    graph = job_graph(StreamGraph((SOURCE, node(0), node(1, name="last"), node(StreamEdge(1, Ship.REBALANCE)))))
    assert [(edge.source, edge.operator, edge.target) for edge in graph.edges] == [("v1", 1, "v2")]


def test_forward_to_other_lanes_names_both_operators() -> None:
    second = replace(node(StreamEdge(0, Ship.FORWARD)), lanes=2, parallelism=2)
    with pytest.raises(UsageError) as caught:
        job_graph(StreamGraph((SOURCE, second)))
    assert caught.value.code == "forward-unequal"
    assert str(caught.value) == "forward() from 'source' with 1 lanes to 'map' with 2 (job.py:2)"


def test_long_vertex_names_are_cut() -> None:
    nodes = [SOURCE, *(node(i, name="x" * 400) for i in range(6))]
    (name,) = names(job_graph(StreamGraph(tuple(nodes))))
    assert len(name) == 2000
    assert name.endswith("...")


def test_generated_uids_stay_when_a_branch_is_added() -> None:
    before = StreamGraph((SOURCE, node(0), node(1)))
    after = StreamGraph((SOURCE, node(0), node(0, kind=OperatorKind.PRINT), node(1)))
    assert uids(before) == [uids(after)[i] for i in (0, 1, 3)]


def test_generated_uids_of_twins_differ() -> None:
    assert len(set(uids(StreamGraph((SOURCE, SOURCE, node(0), node(0), node(1)))))) == 5


def test_generated_uids_are_fixed() -> None:
    """Savepoints name state by them."""
    graph = StreamGraph((SOURCE, node(0), replace(node(1), uid="mine"), node(2)))
    assert uids(graph) == ["kafka_source-add219c2", "map-f78330a8", "mine", "map-3b48cf97"]


def test_a_uid_that_repeats_is_named_with_both_places() -> None:
    graph = StreamGraph((replace(SOURCE, uid="a"), replace(node(0), uid="a", site="job.py:9")))
    with pytest.raises(UsageError) as caught:
        uids(graph)
    assert str(caught.value) == "uid 'a' stands at 'map' (job.py:9) and at 'source' (job.py:1)"


@st.composite
def stream_graphs(draw: st.DrawFn) -> StreamGraph:
    nodes: list[StreamNode] = []
    for position in range(draw(st.integers(1, 12))):
        lanes = draw(st.sampled_from([1, 2, 4]))
        if position == 0 or draw(st.integers(0, 4)) == 0:
            fresh = SOURCE
        else:
            ships = st.sampled_from([None, Ship.REBALANCE, Ship.BROADCAST, Ship.HASH])
            edges = []
            for _ in range(draw(st.integers(1, 3))):
                ship = draw(ships)
                source = draw(st.integers(0, position - 1))
                edges.append(StreamEdge(source, ship, "f1" if ship is Ship.HASH else None))
            fresh = node(*edges)
        chaining = draw(st.sampled_from(list(Chaining)))
        nodes.append(replace(fresh, lanes=lanes, parallelism=lanes, chaining=chaining))
    return StreamGraph(tuple(nodes), draw(st.booleans()))


@given(stream_graphs())
def test_any_program_becomes_a_valid_job_graph_that_loses_nothing(graph: StreamGraph) -> None:
    """JobGraph checks itself; every operator is there once, every input is an edge or a place in a chain."""
    made = job_graph(graph)
    assert [edge.id for edge in made.edges] == [f"e{n}" for n in range(1, len(made.edges) + 1)]
    assert [vertex.id for vertex in made.vertices] == [f"v{n}" for n in range(1, len(made.vertices) + 1)]
    operators = [operator for vertex in made.vertices for operator in vertex.operators]
    assert sorted(operator.uid for operator in operators) == sorted(uids(graph))
    inside = sum(operator.input is not None for operator in operators)
    assert inside + len(made.edges) == sum(len(each.inputs) for each in graph.nodes)
    if not graph.chaining:
        assert len(made.vertices) == len(graph.nodes)
