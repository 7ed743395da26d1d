"""Whose fault an exception out of generated code is, and which operator's.

Generated code has no ``try`` round its calls. The traceback tells instead: the deepest generated frame gives the
line, the line gives the operator.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from headrace.errors import HeadraceError, UsageError

#: Modules that act for the user's code: what they raise is about what the user gave them.
ON_BEHALF = (
    "headrace.common.",
    "headrace.datastream.",
    "headrace.graph.keys",
    "headrace.runtime.operators.",
    "headrace.runtime.state.",
)


@dataclass(frozen=True)
class LineMap:
    """What the lines of one generated module belong to."""

    file: str
    text: Sequence[str]
    operators: Mapping[int, str]  #: line number to the operator's name
    edge_lines: Set[int]

    def blame(self, error: BaseException, otherwise: str) -> str | None:
        """The name to lay ``error`` at, None when it is an error of our own. ``otherwise``: for no generated line."""
        line, deepest, users = 0, "", False
        at = error.__traceback__
        while at is not None:
            deepest = at.tb_frame.f_globals.get("__name__", "")
            if at.tb_frame.f_code.co_filename == self.file:
                # Raised right there: by a function of the user's that has no frame, such as int or itemgetter.
                line, deepest, users = at.tb_lineno, "", False
            elif not deepest.startswith("headrace."):
                users = True
            at = at.tb_next
        ours = deepest.startswith("headrace.") and not f"{deepest}.".startswith(ON_BEHALF)
        if ours and not users and not isinstance(error, HeadraceError):
            return None
        name = self.operators.get(line, otherwise)
        return f"key_by after {name}" if line in self.edge_lines else name

    def no_iterable(self, error: BaseException) -> UsageError | None:
        """What to say when a function that may give several values gave something else; None for other errors."""
        at = error.__traceback__
        while at is not None and at.tb_next is not None:
            at = at.tb_next
        if not isinstance(error, TypeError) or at is None or at.tb_frame.f_code.co_filename != self.file:
            return None
        loop = _LOOP.match(self.text[at.tb_lineno - 1])
        if loop is None:
            return None
        given: Any = at.tb_frame.f_locals[loop[1]]
        return UsageError(
            "function-result-invalid",
            f"the function gave {given!r:.100} (a {type(given).__qualname__}) where an iterable of values is wanted",
            hint="return a list, yield values, or return None for none",
        )


#: The line of generated code that goes through what a function gave.
_LOOP = re.compile(r"\s*for v[0-9]+ in (r[0-9]+):")
