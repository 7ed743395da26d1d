"""The terminal of ``python job.py``."""

from __future__ import annotations

import sys
import threading
from types import TracebackType

from headrace.errors import EXIT_INTERRUPTED, HeadraceError, JobFailedError


class Terminal:
    """Where print sinks write: whole lines, whichever lane they come from."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def line(self, stream: str, text: str) -> None:
        with self._lock:
            print(text, file=sys.stderr if stream == "stderr" else sys.stdout, flush=True)


def speak_plainly() -> None:
    """Let errors meant for people, and Ctrl-C, end this script with a line instead of a traceback."""
    earlier = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        if isinstance(error, KeyboardInterrupt):
            print("interrupted", file=sys.stderr)
            _exit_with(EXIT_INTERRUPTED)
        elif isinstance(error, HeadraceError):
            if isinstance(error, JobFailedError) and error.user_traceback:
                print(error.user_traceback.rstrip(), file=sys.stderr)
            print(f"error: {error.line()}", file=sys.stderr)
            _exit_with(error.exit_code)
        else:
            earlier(kind, error, traceback)

    sys.excepthook = hook


def _exit_with(status: int) -> None:
    """An excepthook cannot choose the exit status in any gentler way."""
    import os

    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
