"""Whose fault an exception out of generated code is, and which operator's.

Generated code has no ``try`` round its calls. The traceback tells instead: the deepest generated frame gives the
line, the line gives the operator.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass

from headrace.errors import HeadraceError

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
