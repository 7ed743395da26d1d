"""Running a user's script as ``__main__`` in this process, and its own errors as the user should see them."""

from __future__ import annotations

import os
import runpy
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from types import TracebackType

from headrace.errors import HeadraceError, UsageError
from streamctl.output import ScriptFailedError


class Ended(StrEnum):
    """How a script came to its end."""

    LAST_LINE = "last line"
    EXIT = "exit"  #: sys.exit with success, as argparse does after --help


def run_script(path: Path, arguments: list[str]) -> Ended:
    """Run ``path`` as Python would: ``__main__``, its folder first on sys.path, sys.argv set.

    Raises ScriptFailedError ("script-failed", "script-syntax", "script-exited") with the traceback from the
    user's first frame on. An error of ours passes through: it names the user's line itself.
    """
    if not path.is_file():
        raise UsageError("script-missing", f"no such file: {path}")
    path = path.absolute()  # as Python does for a script: tracebacks elsewhere find its lines
    with _as_main(path, arguments):
        try:
            runpy.run_path(str(path), run_name="__main__")
        except HeadraceError:
            raise
        except SystemExit as error:
            if error.code not in (None, 0):
                raise exited(path, error) from None
            return Ended.EXIT
        except SyntaxError as error:
            if error.filename != str(path):
                raise elsewhere(path, error) from None
            raise ScriptFailedError(
                "script-syntax",
                f"{path.name} line {error.lineno}: {error.msg}",
                user_traceback="".join(traceback.format_exception_only(error)),
            ) from None
        except Exception as error:  # noqa: BLE001 - whatever the user's own code raises
            raise failed(path, error) from None
    return Ended.LAST_LINE


@contextmanager
def _as_main(path: Path, arguments: list[str]) -> Iterator[None]:
    argv, search = sys.argv, list(sys.path)
    sys.argv = [str(path), *arguments]
    sys.path.insert(0, str(path.resolve().parent))
    try:
        yield
    finally:
        sys.argv, sys.path[:] = argv, search


def failed(path: Path, error: Exception) -> ScriptFailedError:
    """The user's exception with the traceback that Python would have shown them."""
    error.__traceback__ = user_frames(error.__traceback__)
    return ScriptFailedError(
        "script-failed",
        f"{path.name} raised {type(error).__name__}",
        user_traceback="".join(traceback.format_exception(error)),
    )


def elsewhere(path: Path, error: SyntaxError) -> ScriptFailedError:
    """A module that the script imports is not valid Python."""
    where = f"{os.path.basename(error.filename)} line {error.lineno}" if error.filename else path.name
    shown = failed(path, error).user_traceback
    return ScriptFailedError("script-syntax", f"{where}: {error.msg}", user_traceback=shown)


def exited(path: Path, error: SystemExit) -> ScriptFailedError:
    """``sys.exit`` with a status or a text other than success."""
    said = f"{error.code}\n" if isinstance(error.code, str) else ""
    status = "1" if said else error.code
    return ScriptFailedError("script-exited", f"{path.name} ended itself with status {status}", user_traceback=said)


def user_frames(frames: TracebackType | None) -> TracebackType | None:
    """The traceback from the first frame that is neither runpy's nor ours."""
    while frames is not None and _is_ours(frames.tb_frame.f_code.co_filename):
        frames = frames.tb_next
    return frames


def _is_ours(filename: str) -> bool:
    return filename.startswith("<frozen runpy>") or os.path.dirname(filename) == os.path.dirname(__file__)
