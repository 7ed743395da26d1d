"""Tables and colours. Pure: from REST's answers and the time to rich renderables."""

from __future__ import annotations

from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

#: Green: works or worked. Yellow: on its way, or waits. Red: failed. Dim: ended on request.
STYLES = {
    "INITIALIZING": "yellow",
    "CREATED": "yellow",
    "SCHEDULED": "yellow",
    "DEPLOYING": "yellow",
    "RESTARTING": "yellow",
    "RECONCILING": "yellow",
    "SUSPENDED": "yellow",
    "RUNNING": "green",
    "FINISHED": "bold green",
    "FAILING": "red",
    "FAILED": "bold red",
    "CANCELING": "yellow",
    "CANCELLING": "yellow",
    "CANCELED": "dim",
}
NOTHING = "-"
ID_DIGITS = 12


def status(text: str) -> Text:
    """A job status or lane state in its colour."""
    return Text(text, style=STYLES.get(text, ""))


def plain_table(*titles: str) -> Table:
    """A table without lines. A title that begins with ">" makes a column of numbers.

    Only the last column gives way when the width is short: it folds, or is cut if its cell is ``one_line``.
    """
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for n, title in enumerate(titles):
        table.add_column(
            title.removeprefix(">"),
            justify="right" if title.startswith(">") else "left",
            no_wrap=n < len(titles) - 1,
            overflow="fold",
        )
    return table


def one_line(text: str) -> Text:
    """A cell that is cut where the column ends."""
    return Text(text.replace("\n", " "), no_wrap=True, overflow="ellipsis")


def shorten(text: str, columns: int) -> str:
    """At most ``columns`` characters, the last an ellipsis when something was cut."""
    return text if len(text) <= columns else text[: columns - 1] + "…"


def duration(ms: int) -> str:
    """A length of time in two units at most: "4s", "12m 05s", "3h 20m", "8d 2h"."""
    seconds = max(ms, 0) // 1000
    if seconds < 60:
        return f"{seconds}s"
    if seconds < 3600:
        return f"{seconds // 60}m {seconds % 60:02}s"
    if seconds < 86400:
        return f"{seconds // 3600}h {seconds % 3600 // 60:02}m"
    return f"{seconds // 86400}d {seconds % 86400 // 3600}h"


def instant(ms: int | None) -> str:
    """An instant in UTC to the second; ``-`` for none, "end" for the watermark of the end."""
    if ms is None or ms <= -(2**62):
        return NOTHING
    if ms >= 2**62:
        return "end"
    try:
        return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (OverflowError, ValueError, OSError):
        return str(ms)


def count(number: float | None) -> str:
    """A number in four digits at most: "950", "64.1k", "12.3M", "4.2G"; ``-`` for none."""
    if number is None:
        return NOTHING
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.1f}{unit}" if number < 100 * size else f"{number / size:.0f}{unit}"
    return f"{number:.0f}"


def facts(pairs: list[tuple[str, RenderableType]]) -> Table:
    """Names and values below each other."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in pairs:
        table.add_row(name, value)
    return table


def sections(*parts: RenderableType) -> Group:
    """Parts with an empty line between each two."""
    spaced: list[RenderableType] = []
    for part in parts:
        spaced += [Text(""), part] if spaced else [part]
    return Group(*spaced)
