"""The user's functions, out of the job's code bundle. Only slot workers load pickles.

The bundle is a msgpack map of function id to cloudpickle bytes. Each load gives fresh objects, so that a lane
that starts over also starts with functions that remember nothing.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from headrace.graph.job_graph import JobGraph

#: The entry that puts the user's own modules where all other pickles look for them.
MODULES = "modules"


class FunctionLoadError(Exception):
    """A user function cannot be loaded here: usually a module that this machine does not have."""

    def __init__(self, function_id: str, message: str) -> None:
        super().__init__(message)
        self.function_id = function_id


class CodeBundle:
    """The bundle of one job, read once per worker."""

    def __init__(self, path: str) -> None:
        self._pickles: dict[str, bytes] = {}
        if path:
            self.add(msgspec.msgpack.decode(Path(path).read_bytes(), type=dict[str, bytes]))

    def add(self, pickles: dict[str, bytes]) -> None:
        """More functions. The user's own modules among them are put in place at once."""
        self._pickles.update(pickles)
        if MODULES in pickles:
            self.load([MODULES])

    def load(self, function_ids: Iterable[str]) -> dict[str, Any]:
        """Fresh objects for these ids. Raises FunctionLoadError naming the id and the reason."""
        loaded: dict[str, Any] = {}
        for function_id in function_ids:
            data = self._pickles.get(function_id)
            if data is None:
                raise FunctionLoadError(function_id, f"the job's code has no function {function_id!r}")
            try:
                loaded[function_id] = pickle.loads(data)
            except Exception as error:  # noqa: BLE001 - anything may come out of unpickling; it becomes one error
                raise FunctionLoadError(
                    function_id, f"function {function_id!r} cannot be loaded: {error!r}"
                ) from error
        return loaded


def function_ids(graph: JobGraph, vertex_id: str) -> set[str]:
    """All functions a lane of the vertex needs: its operators' and its output edges' key selectors."""
    operators = graph.vertex(vertex_id).operators
    keys = {edge.key for edge in graph.outputs(vertex_id) if edge.key is not None}
    return {function_id for operator in operators for function_id in operator.functions.values()} | keys


def as_callable(function: Any, method: str) -> Any:
    """A plain callable out of what the user gave: a function, or an object with ``method``."""
    return getattr(function, method, function)
