"""What somebody who watches the demo sees: steps that are done, and a bar while the job runs. On stderr."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Protocol

from headrace import clock


class Screen(Protocol):
    """Where the demo shows how far it is."""

    def step(self, text: str) -> None:
        """What is being done now."""

    def done(self, text: str) -> None:
        """Something that happened and stays to be read."""

    def progress(self, committed: int, records: int, rows: int) -> None:
        """How many records are committed, how many rows are in the sink."""

    def rest(self) -> None:
        """Nothing is being done here for now: leave the terminal to somebody else."""


class Terminal:
    """A spinner, lines, and a bar; use it as a context manager."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            TextColumn("{task.fields[counts]}"),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._progress.add_task("", total=None, counts="")

    def __enter__(self) -> Terminal:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def step(self, text: str) -> None:
        from rich.markup import escape

        self._progress.update(self._task, description=escape(text), total=None, counts="")

    def done(self, text: str) -> None:
        from rich.markup import escape

        self._progress.console.print(f"[green]*[/] {escape(text)}", highlight=False)

    def progress(self, committed: int, records: int, rows: int) -> None:
        self._progress.update(
            self._task,
            description="flights committed",
            total=records,
            completed=committed,
            counts=f"{committed:,} of {records:,}, {rows:,} rows",
        )

    def rest(self) -> None:
        self._progress.stop()


class Lines:
    """One line for each thing that happened, a line of progress every two seconds."""

    INTERVAL_S = 2.0

    def __init__(self) -> None:
        self._begin_s = clock.monotonic_s()
        self._last = ""
        self._next_s = 0.0

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def step(self, text: str) -> None:
        if text != self._last:
            self._last = text
            self._write(f"  {text}")

    def done(self, text: str) -> None:
        self._write(f"* {text}")

    def progress(self, committed: int, records: int, rows: int) -> None:
        now_s = clock.monotonic_s()
        if now_s >= self._next_s:
            self._next_s = now_s + self.INTERVAL_S
            self.step(f"{committed:,} of {records:,} flights committed, {rows:,} rows")

    def rest(self) -> None:
        pass

    def _write(self, text: str) -> None:
        sys.stderr.write(f"{clock.monotonic_s() - self._begin_s:6.1f} s {text}\n")
        sys.stderr.flush()


def screen() -> Terminal | Lines:
    return Terminal() if sys.stderr.isatty() else Lines()
