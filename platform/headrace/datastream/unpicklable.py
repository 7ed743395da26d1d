"""Finding what in a user's function cannot be pickled, in the words of their program.

The parts of an object (closure variables, globals a function uses, attributes, items) are tried one by one, and
the first that fails is looked into the same way. TRIES_MAX and DEPTH_MAX bound the search.
"""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Any

from headrace.datastream.pickling import dumps

DEPTH_MAX = 8
TRIES_MAX = 2000


def pickling_error(value: Any) -> Exception | None:
    """What pickling raises for ``value``, None when it can be pickled."""
    try:
        dumps(value)
    except Exception as error:  # noqa: BLE001 - a user's object may raise anything when pickled
        return error
    return None


def culprit(value: Any) -> str:
    """Where the obstacle is, from the inside out: "attribute 'client' of closure variable 'api'"; "" if unknown."""
    return " of ".join(reversed(_Search().path(value, 0)))


class _Search:
    def __init__(self) -> None:
        self._tries = 0
        self._seen: set[int] = set()

    def path(self, value: Any, depth: int) -> list[str]:
        """Labels from ``value`` down to the innermost part that cannot be pickled."""
        if depth >= DEPTH_MAX:
            return []
        for label, part in _parts(value):
            if id(part) in self._seen:
                continue
            self._seen.add(id(part))
            self._tries += 1
            if self._tries > TRIES_MAX:
                return []
            if pickling_error(part) is not None:
                deeper = [] if _is_ours(part) else self.path(part, depth + 1)
                return [label, *deeper] if label else deeper
        return []


def _is_ours(value: Any) -> bool:
    """A stream or an environment, whose inside says nothing to the user."""
    return type(value).__module__.startswith(("headrace.datastream.data_stream", "headrace.datastream.stream_"))


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    """Named parts of an object that pickling goes into."""
    if isinstance(value, types.MethodType):
        yield "", value.__func__
        yield "its object", value.__self__
    elif isinstance(value, types.FunctionType):
        yield from _parts_of_function(value)
    elif isinstance(value, type):
        for name, part in vars(value).items():
            if name not in ("__dict__", "__weakref__", "__doc__", "__module__"):
                yield f"class attribute {name!r}", getattr(part, "__func__", part)
    elif isinstance(value, dict):
        for key, part in value.items():
            yield f"item {key!r:.40}", part
    elif isinstance(value, (list, tuple, set, frozenset)):
        for number, part in enumerate(value):
            yield f"item {number}", part
    else:
        for name, part in getattr(value, "__dict__", {}).items():
            yield f"attribute {name!r}", part
        yield f"class {type(value).__name__!r}", type(value)


def _parts_of_function(function: types.FunctionType) -> Iterator[tuple[str, Any]]:
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield f"closure variable {name!r}", cell.cell_contents
        except ValueError:  # not set yet
            continue
    for number, part in enumerate(function.__defaults__ or ()):
        yield f"default argument {number + 1}", part
    for name, part in (function.__kwdefaults__ or {}).items():
        yield f"default argument {name!r}", part
    for name in _names(function.__code__):
        if name in function.__globals__:
            yield f"global {name!r}", function.__globals__[name]


def _names(code: types.CodeType) -> Iterator[str]:
    """Names that a function and the functions inside it look up."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)
