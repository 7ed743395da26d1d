"""Where the demo shows the monitored machine: a table that changes in place, or lines. On stdout."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Protocol

from streamctl.demo.machine import Machine, machine_table, window_lines


class Board(Protocol):
    """Use it as a context manager: what stands on it at the end stays."""

    def __enter__(self) -> Board: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def show(self, machine: Machine, doing: str) -> None:
        """The machine as it stands, and what is going on."""

    def finish(self, machine: Machine) -> None:
        """The machine for the last time."""


class TerminalBoard:
    """A table that is drawn again in the same place."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._live = Live(console=Console(), auto_refresh=False, vertical_overflow="crop")

    def __enter__(self) -> TerminalBoard:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def show(self, machine: Machine, doing: str) -> None:
        self._draw(machine, doing)

    def finish(self, machine: Machine) -> None:
        self._draw(machine, f"{machine.host}: what the monitoring saw")

    def _draw(self, machine: Machine, title: str) -> None:
        from rich.padding import Padding
        from rich.text import Text

        from streamctl.render import sections

        drawn = sections(Text(title, style="bold"), machine_table(machine))
        self._live.update(Padding(drawn, (1, 0)), refresh=True)


class LineBoard:
    """A line for each window, each alert, and each thing that is done."""

    def __init__(self) -> None:
        self._doing = ""
        self._until_ms = 0
        self._alerts = 0

    def __enter__(self) -> LineBoard:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def show(self, machine: Machine, doing: str) -> None:
        if doing != self._doing:
            self._doing = doing
            self._write(doing)
        self._news(machine, all_of_them=False)

    def finish(self, machine: Machine) -> None:
        self._news(machine, all_of_them=True)

    def _news(self, machine: Machine, *, all_of_them: bool) -> None:
        """An alert comes after the line of the window that it is about."""
        for end, line in window_lines(machine, self._until_ms, all_of_them=all_of_them):
            self._until_ms = end
            self._write(line)
            self._tell_alerts(machine)
        self._tell_alerts(machine)

    def _tell_alerts(self, machine: Machine) -> None:
        for alert in machine.alerts[self._alerts :]:
            if alert.at > self._until_ms:
                return
            self._write(str(alert))
            self._alerts += 1

    def _write(self, line: str) -> None:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


def board() -> Board:
    return TerminalBoard() if sys.stdout.isatty() else LineBoard()
