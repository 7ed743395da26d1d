"""The terminal of ``python job.py``."""

from __future__ import annotations

import atexit
import contextlib
import signal
import sys
import threading
from collections.abc import Callable
from types import TracebackType

from headrace.errors import EXIT_INTERRUPTED, HeadraceError, JobFailedError

#: As shells report a filter whose reader has gone.
EXIT_NOBODY_READS = 128 + signal.SIGPIPE


class NobodyReadsError(BrokenPipeError):
    """What the job printed went into a pipe whose reader has ended, as after ``| head``."""


_at_end: list[Callable[[], None]] = []
_failed = threading.Event()  #: the script ends with an exception of its own


class Terminal:
    """Where print sinks write: whole lines, whichever lane they come from."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.closed = False  #: nobody reads what is printed any more

    def line(self, stream: str, text: str) -> None:
        """Write it. Raises NobodyReadsError, which ends the lane."""
        with self._lock:
            try:
                print(text, file=sys.stderr if stream == "stderr" else sys.stdout, flush=True)
            except BrokenPipeError as error:
                self.closed = True
                raise NobodyReadsError(*error.args) from None


def speak_plainly() -> None:
    """Let errors meant for people, and Ctrl-C, end this script with a line instead of a traceback.

    A reader that has gone ends it without a word, as it ends any filter.
    """
    if getattr(sys.excepthook, "speaks_plainly", False):
        return
    earlier = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        if isinstance(error, KeyboardInterrupt):
            print("interrupted", file=sys.stderr)
            _exit_with(EXIT_INTERRUPTED)
        elif isinstance(error, NobodyReadsError):
            _exit_with(EXIT_NOBODY_READS)
        elif isinstance(error, HeadraceError):
            if isinstance(error, JobFailedError) and error.user_traceback:
                print(error.user_traceback.rstrip(), file=sys.stderr)
            print(f"error: {error.line()}", file=sys.stderr)
            _exit_with(error.exit_code)
        else:
            _failed.set()
            earlier(kind, error, traceback)

    hook.speaks_plainly = True  # type: ignore[attr-defined]
    sys.excepthook = hook


def remind_of_execute(was_forgotten: Callable[[], bool]) -> None:
    """At the end of a script that did not fail, say when it made streams and never executed them."""

    def remind() -> None:
        if not _failed.is_set() and was_forgotten():
            print(
                "warning: script-no-execute: the script made streams and ended without executing them - call "
                'env.execute("name") at its end',
                file=sys.stderr,
            )

    atexit.register(remind)


def nobody_minds_errors() -> bool:
    """Whether a file runs as ``__main__``, and nobody has said yet how its errors are shown."""
    return hasattr(sys.modules.get("__main__"), "__file__") and sys.excepthook is sys.__excepthook__


def at_end(last: Callable[[], None]) -> None:
    """Do something when the script ends, also when it ends with an error of ours or by Ctrl-C."""
    _at_end.append(last)
    atexit.register(last)


def _exit_with(status: int) -> None:
    """An excepthook cannot choose the exit status in any gentler way."""
    for last in _at_end:
        with contextlib.suppress(HeadraceError, KeyboardInterrupt):
            last()
    import os

    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(BrokenPipeError):
            stream.flush()
    os._exit(status)
