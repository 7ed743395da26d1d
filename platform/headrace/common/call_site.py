"""Where in the user's program a call was made, for errors that point at their line."""

from __future__ import annotations

import os
import sys
from types import FrameType

from headrace.errors import UsageError

#: Frames of these packages are ours: the user's line is the first one outside.
_OURS = ("headrace.common", "headrace.datastream", "headrace.graph", "headrace_connectors")


def call_site() -> str:
    """``file:line`` of the innermost frame outside Headrace's programming API."""
    frame = _users_frame()
    return f"{shown_path(frame.f_code.co_filename)}:{frame.f_lineno}"


def called_by_script() -> bool:
    """Whether that frame is of the file that runs as ``__main__``."""
    return _users_frame().f_globals.get("__name__") == "__main__"


def _users_frame() -> FrameType:
    frame = sys._getframe(1)
    while frame.f_back is not None and _ours(frame.f_globals.get("__name__", "")):
        frame = frame.f_back
    return frame


def depth() -> int:
    """How many frames that user's frame is above the caller of this: a ``stacklevel`` less one."""
    levels, frame = 0, sys._getframe(1)
    while frame.f_back is not None and _ours(frame.f_globals.get("__name__", "")):
        levels, frame = levels + 1, frame.f_back
    return levels


def shown_path(filename: str) -> str:
    """The path as a user would type it: relative when the file is below the current directory."""
    try:
        relative = os.path.relpath(filename)
    except ValueError:  # another drive
        return filename
    return filename if relative.startswith(os.pardir) else relative


def _ours(module: str) -> bool:
    return module.startswith(_OURS)


def wrong(message: str, *, code: str = "argument-invalid", hint: str = "") -> UsageError:
    """The error for a call that cannot work, naming the user's line."""
    return UsageError(code, f"{message} ({call_site()})", hint=hint)
