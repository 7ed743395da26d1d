"""What a program builds while it runs: operators with their functions, linked to the ones they read.

Streams are views of these (``data_stream``); ``program`` turns them into a StreamGraph.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from pydantic import JsonValue

from headrace.common.call_site import call_site, wrong
from headrace.common.typeinfo import TypeInformation
from headrace.datastream.functions import Function
from headrace.graph.job_graph import LANES_MAX, OperatorKind, Ship
from headrace.graph.stream_graph import Chaining


@dataclass(frozen=True)
class Link:
    """An input: the operator read, how its records choose the lane (None: whatever fits), and by which key.

    ``site`` is the line of the key_by. ``input``: 1 for the second input of an operator that has two.
    """

    source: Transformation
    ship: Ship | None = None
    key: Any = None
    site: str = ""
    input: int = 0


@dataclass(eq=False)
class Transformation:
    """One operator of the program. ``functions`` are the user's objects by role; ``site`` is their line.

    ``conversion`` is a declared type whose form (Row names, tuples) the results are given.
    """

    kind: OperatorKind
    name: str
    links: tuple[Link, ...] = ()
    params: dict[str, JsonValue] = field(default_factory=dict)
    functions: dict[str, Any] = field(default_factory=dict)
    conversion: TypeInformation | None = None
    parallelism: int | None = None
    parallelism_max: int = LANES_MAX
    uid: str | None = None
    chaining: Chaining = Chaining.ALWAYS
    site: str = field(default_factory=call_site)

    def set_name(self, name: str) -> None:
        if not isinstance(name, str) or not 0 < len(name) <= 500:
            raise wrong(f"a name must be a str of 1 to 500 characters, not {name!r:.60}")
        self.name = name

    def set_uid(self, uid: str) -> None:
        if not isinstance(uid, str) or not 0 < len(uid) <= 200:
            raise wrong(f"a uid must be a str of 1 to 200 characters, not {uid!r:.60}")
        self.uid = uid

    def set_parallelism(self, parallelism: int) -> None:
        self.parallelism = checked_parallelism(parallelism)
        if parallelism > self.parallelism_max:
            raise wrong(
                f"{self.name!r} runs in at most {self.parallelism_max} lane, not {parallelism}",
                code="parallelism-invalid",
                hint="a collection has one reader and window_all() one place; operators after it may run in parallel",
            )


def checked_parallelism(parallelism: int) -> int:
    """The number, if it can be a parallelism; else the user's line is named."""
    if type(parallelism) is not int or not 1 <= parallelism <= LANES_MAX:
        raise wrong(
            f"parallelism must be a whole number from 1 to {LANES_MAX}, not {parallelism!r}",
            code="parallelism-invalid",
        )
    return parallelism


def checked_function(method: str, function: Any, kind: type, *, lambdas: bool) -> Any:
    """The function, if it is a ``kind``, or a callable where ``lambdas``; else the user's line is named."""
    forgotten = isinstance(function, type) and issubclass(function, Function)
    if isinstance(function, kind) or (lambdas and callable(function) and not forgotten):
        check_arity(method, function, kind)
        return function
    article = "an" if kind.__name__[0] in "AEIOU" else "a"
    expected = f"{article} {kind.__name__}" + (" or a callable" if lambdas else "")
    given = f"the class {function.__name__}" if isinstance(function, type) else f"{function!r:.80}"
    hint = (
        f"make an instance: {function.__name__}()"
        if isinstance(function, type) and issubclass(function, kind)
        else ""
    )
    raise wrong(f"{method}() takes {expected}, not {given}", code="function-invalid", hint=hint)


def check_arity(method: str, function: Any, kind: type) -> None:
    """Each method that ``kind`` asks for must take its arguments; what has no signature to look at is let through."""
    for name in sorted(getattr(kind, "__abstractmethods__", ())):
        wanted = list(inspect.signature(getattr(kind, name)).parameters)[1:]
        called = getattr(function, name) if isinstance(function, kind) else function
        try:
            signature = inspect.signature(called)
        except (TypeError, ValueError):  # built in
            continue
        try:
            signature.bind(*wanted)
        except TypeError:
            what = f"{type(function).__name__}.{name}" if isinstance(function, kind) else function_name(function)
            arguments = f"{len(wanted)} argument{'' if len(wanted) == 1 else 's'} ({', '.join(wanted)})"
            raise wrong(
                f"{method}() calls {what or 'the lambda'} with {arguments}, but its parameters are {signature}",
                code="function-invalid",
            ) from None


def function_name(function: Any) -> str:
    """A name for people: of the function or of its class; empty for a lambda."""
    name: str = getattr(function, "__name__", type(function).__name__)
    return "" if name in ("<lambda>", "partial", "itemgetter", "attrgetter") else name


def titled(title: str, function: Any) -> str:
    """``Map: parse``, or ``Map`` for a lambda."""
    name = function_name(function)
    return f"{title}: {name}" if name else title


def relinked(links: Iterable[Link], ship: Ship, key: Any = None) -> tuple[Link, ...]:
    """The same inputs, shipped otherwise."""
    site = call_site()
    return tuple(Link(link.source, ship, key, site) for link in links)
