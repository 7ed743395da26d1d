"""A program as data: its StreamGraph, and the user's functions by id.

Ids count the functions in the order the program gave them. A function used by two operators has two ids, so that
each operator has a copy of its own; the key selector of one key_by has one id on all its edges.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from headrace.common.call_site import wrong
from headrace.datastream.execution_mode import RuntimeExecutionMode, in_mode
from headrace.datastream.transformation import Link, Transformation, function_name
from headrace.datastream.typed import TypeConversion, user_function
from headrace.errors import UsageError
from headrace.graph.job_graph import LANES_MAX, OperatorKind
from headrace.graph.stream_graph import Chaining, StreamEdge, StreamGraph, StreamNode

#: What a role is called towards people, where it is not the method's name.
_TITLES = {
    "items": "from_collection",
    "async": "async function",
    "retry": "retry strategy",
    "timestamp": "timestamp assigner",
    "value": "value serializer",
    "key": "key serializer",
    "headers": "header provider",
}


@dataclass(frozen=True)
class UserFunction:
    """A function of the program: what it is for, the line that gave it, and the object itself."""

    title: str
    site: str
    function: Any


@dataclass(frozen=True)
class Program:
    """All that ``execute`` submits, before functions are pickled."""

    graph: StreamGraph
    functions: dict[str, UserFunction]


def program_of(
    transformations: Iterable[Transformation],
    *,
    parallelism: int,
    lanes: int | None,
    chaining: bool,
    mode: RuntimeExecutionMode = RuntimeExecutionMode.STREAMING,
) -> Program:
    """The program of these transformations, in the order they were made.

    ``parallelism`` is for operators without their own; these run in ``lanes`` lanes, an operator with its own
    parallelism in as many lanes as that. Raises UsageError when there are no transformations, or fewer lanes
    than the parallelism.
    """
    building = _Building(parallelism, lanes or parallelism)
    for transformation in transformations:
        building.add(transformation)
    if not building.nodes:
        raise wrong("the program has no operators to execute", code="job-empty", hint="make streams before execute()")
    return Program(StreamGraph(tuple(in_mode(building.nodes, mode)), chaining), building.functions)


def refuse_missing_uids(transformations: Iterable[Transformation]) -> None:
    """For programs that want every operator named: UsageError with the line of the first that is not."""
    for transformation in transformations:
        if transformation.uid is None and transformation.kind is not OperatorKind.SIDE_OUTPUT:
            raise UsageError(
                "uid-missing",
                f"{transformation.name!r} has no uid ({transformation.site})",
                hint="call uid() on it, or do not disable generated uids",
            )


class _Building:
    def __init__(self, parallelism: int, lanes: int) -> None:
        if not parallelism <= lanes <= LANES_MAX:
            raise wrong(
                f"pipeline.lanes is {lanes} at a parallelism of {parallelism}; it must be from {parallelism} to "
                f"{LANES_MAX}",
                code="parallelism-invalid",
            )
        self.nodes: list[StreamNode] = []
        self.functions: dict[str, UserFunction] = {}
        self._parallelism = parallelism
        self._lanes = lanes
        self._position: dict[Transformation, int] = {}  #: where its results are: its conversion, if there is one
        self._operators: dict[Transformation, int] = {}
        self._key_ids: dict[int, str] = {}  # by id() of a key selector, which self.functions keeps alive

    def add(self, transformation: Transformation) -> None:
        if transformation.kind is OperatorKind.SIDE_OUTPUT:
            self._append(transformation, self._side_output(transformation))
        else:
            self._append(transformation, self._node(transformation))
        self._operators[transformation] = self._position[transformation]
        if transformation.conversion is not None:
            self._append(transformation, self._conversion(transformation, self.nodes[-1]))

    def _side_output(self, transformation: Transformation) -> StreamNode:
        """Reads the operator itself, before a conversion of its results, and runs where that runs."""
        position = self._operators[transformation.links[0].source]
        operator = self.nodes[position]
        return StreamNode(
            kind=transformation.kind,
            name=transformation.name,
            site=transformation.site,
            inputs=(StreamEdge(position),),
            uid=transformation.uid,
            parallelism=operator.parallelism,
            lanes=operator.lanes,
            chaining=Chaining.NEVER
            if Chaining.NEVER in (transformation.chaining, operator.chaining)
            else Chaining.ALWAYS,
            params=transformation.params,
        )

    def _node(self, transformation: Transformation) -> StreamNode:
        own = transformation.parallelism
        return StreamNode(
            kind=transformation.kind,
            name=transformation.name,
            site=transformation.site,
            inputs=tuple(
                StreamEdge(
                    self._position[link.source],
                    link.ship,
                    None if link.key is None else self._key(link),
                    link.input,
                )
                for link in transformation.links
            ),
            uid=transformation.uid,
            parallelism=own or self._parallelism,
            lanes=own or self._lanes,
            chaining=transformation.chaining,
            params=transformation.params,
            functions={
                role: self._function(_TITLES.get(role, role), transformation.site, function)
                for role, function in transformation.functions.items()
            },
        )

    def _append(self, transformation: Transformation, node: StreamNode) -> None:
        self._position[transformation] = len(self.nodes)
        self.nodes.append(node)

    def _conversion(self, transformation: Transformation, node: StreamNode) -> StreamNode:
        """An operator right after ``node`` that gives its results the form of their declared type."""
        assert transformation.conversion is not None
        return StreamNode(
            kind=OperatorKind.MAP,
            name=f"to {transformation.conversion}"[:500],
            site=node.site,
            inputs=(StreamEdge(self._position[transformation]),),
            uid=f"{node.uid}.type" if node.uid else None,
            parallelism=node.parallelism,
            lanes=node.lanes,
            functions={"map": self._function("type", node.site, TypeConversion(transformation.conversion))},
        )

    def _key(self, link: Link) -> str:
        known = self._key_ids.get(id(link.key))
        if known is None:
            known = self._key_ids[id(link.key)] = self._function("key_by", link.site, link.key)
        return known

    def _function(self, title: str, site: str, function: Any) -> str:
        function_id = f"f{len(self.functions) + 1}"
        name = function_name(user_function(function)) if title != "from_collection" else ""
        self.functions[function_id] = UserFunction(f"{title} {name!r}" if name else title, site, function)
        return function_id
