"""What a command says: text or JSON on stdout, progress and errors on stderr.

One Output belongs to one run of the command line. stdout carries the result only, so that it can be piped;
with ``--json`` it carries one JSON object per result and nothing else.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from headrace.errors import HeadraceError, JobFailedError, UsageError

if TYPE_CHECKING:
    from pydantic import JsonValue
    from rich.console import Console, RenderableType

#: Columns of tables that go to a file or a pipe: wide enough that nothing is cut.
PIPE_COLUMNS = 1000


class Format(StrEnum):
    TEXT = "text"
    JSON = "json"


class ScriptFailedError(UsageError):
    """The user's script raised while it ran here; the traceback starts at their first frame."""

    def __init__(self, code: str, message: str, *, hint: str = "", user_traceback: str) -> None:
        super().__init__(code, message, hint=hint)
        self.user_traceback = user_traceback


class Progress(Protocol):
    """Where a wait stands, for somebody who watches."""

    def say(self, text: str) -> None:
        """Replace the current line; the same text twice is said once."""


class Output:
    """The voice of one command."""

    def __init__(self) -> None:
        self.format = Format.TEXT
        #: What is known even if the command fails now (the job id, its status); part of a JSON error.
        self.facts: dict[str, JsonValue] = {}
        #: What an interrupt leaves behind, for a person.
        self.after_interrupt = ""

    def result(self, value: JsonValue, text: RenderableType | None = None) -> None:
        """Print the result: ``value`` with --json, else ``text``."""
        if self.format is Format.JSON:
            sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
            sys.stdout.flush()
        elif text is not None:
            console = stdout_console()
            with console.capture() as drawn:
                console.print(text, highlight=False)
            sys.stdout.write("".join(line.rstrip() + "\n" for line in drawn.get().splitlines()))
            sys.stdout.flush()

    def note(self, text: str) -> None:
        """One line for a person, on stderr; not said with --json."""
        if self.format is Format.TEXT:
            sys.stderr.write(text + "\n")
            sys.stderr.flush()

    def error(self, error: HeadraceError) -> None:
        """Say an error: with --json one object on stdout, else its line and its hint on stderr."""
        traceback = user_traceback(error)
        if self.format is Format.JSON:
            body: dict[str, JsonValue] = {"code": error.code, "message": error.message, "hint": error.hint}
            if traceback:
                body["traceback"] = traceback
            self.result({"error": body, **self.facts})
            return
        if traceback:
            sys.stderr.write(traceback.rstrip("\n") + "\n")
        sys.stderr.write(f"{styled('error', 'bold red')}: {error.message} [{error.code}]\n")
        if error.hint:
            sys.stderr.write(f"  {error.hint}\n")
        sys.stderr.flush()

    def interrupted(self) -> None:
        """Say that Ctrl-C ended the command, and what it leaves behind."""
        if self.format is Format.JSON:
            body: dict[str, JsonValue] = {
                "code": "interrupted",
                "message": "interrupted",
                "hint": self.after_interrupt,
            }
            self.result({"error": body, **self.facts})
        else:
            self.note("interrupted" + (f"; {self.after_interrupt}" if self.after_interrupt else ""))

    @contextmanager
    def progress(self, text: str) -> Iterator[Progress]:
        """Show a wait: a spinner on a terminal, else a line per change; silent with --json."""
        if self.format is Format.JSON:
            yield _Silence()
        elif sys.stderr.isatty():
            from rich.console import Console

            console = Console(stderr=True)
            with console.status(text) as status:
                yield _Spinner(status.update)
        else:
            lines = _Lines()
            lines.say(text)
            yield lines


class _Silence:
    def say(self, text: str) -> None:
        pass


class _Lines:
    def __init__(self) -> None:
        self._last = ""

    def say(self, text: str) -> None:
        if text != self._last:
            self._last = text
            sys.stderr.write(text + "\n")
            sys.stderr.flush()


class _Spinner:
    def __init__(self, update: object) -> None:
        self._update = update

    def say(self, text: str) -> None:
        from rich.markup import escape

        assert callable(self._update)
        self._update(escape(text))


def user_traceback(error: HeadraceError) -> str:
    """The traceback of the user's own code that came with an error, or ""."""
    return error.user_traceback if isinstance(error, (JobFailedError, ScriptFailedError)) else ""


def stdout_console() -> Console:
    """A console as wide as the terminal, or wide enough for everything when there is none."""
    from rich.console import Console

    columns = os.environ.get("COLUMNS", "")
    if sys.stdout.isatty() or columns.isdigit():
        return Console()
    return Console(width=PIPE_COLUMNS)


def styled(text: str, style: str) -> str:
    """``text`` in a style when stderr is a terminal that wants colours."""
    if not sys.stderr.isatty():
        return text
    from rich.console import Console

    console = Console(stderr=True)
    with console.capture() as capture:
        console.print(f"[{style}]{text}[/]", end="")
    return capture.get()
