"""How ``streamctl top`` looks, and its life on a terminal: drawn anew each interval until q or Ctrl-C."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.text import Text

from headrace import clock
from headrace.errors import UnavailableError
from streamctl.json_schemas import TopSample
from streamctl.render import (
    ID_DIGITS,
    NOTHING,
    count,
    duration,
    facts,
    instant,
    one_line,
    plain_table,
    sections,
    shorten,
    status,
)

if TYPE_CHECKING:
    from rich.console import Console

QUIT = "qQ\x1b"
NAME_COLUMNS_MIN = 16
#: Narrower ones show reasons below the table.
WIDE_COLUMNS = 120


def top_page(sample: TopSample, columns: int, trouble: str = "") -> RenderableType:
    """The cluster in one line, TaskManagers, jobs that live; ``trouble`` is shown when this is no longer new."""
    total = sum(each.slots for each in sample.taskmanagers)
    taken = sum(each.occupied for each in sample.taskmanagers)
    ended = ", ".join(f"{number} {name}" for name, number in sample.ended.items())
    head = Text.assemble(
        (f"{instant(sample.at_ms)} UTC", "bold"),
        f"  {len(sample.jobs)} living job{'s' * (len(sample.jobs) != 1)}" + (f" ({ended})" if ended else ""),
        "  slots ",
        (f"{taken}/{total}", "yellow" if total and taken >= total else ""),
    )
    parts: list[RenderableType] = [head]
    if trouble:
        parts.append(Text(trouble, style="red"))
    parts.append(_taskmanagers(sample))
    parts.append(_jobs(sample, columns))
    return sections(*parts)


def _taskmanagers(sample: TopSample) -> RenderableType:
    if not sample.taskmanagers:
        return Text("No TaskManager is alive: `streamctl taskmanager` starts one.", style="red")
    each = (f"{tm.id}@{tm.host} {'■' * tm.occupied}{'□' * (tm.slots - tm.occupied)}" for tm in sample.taskmanagers)
    return Text("TaskManagers  " + "  ".join(each))


def _jobs(sample: TopSample, columns: int) -> RenderableType:
    if not sample.jobs:
        return Text("No job lives. Submit one: streamctl submit job.py")
    wide = columns >= WIDE_COLUMNS
    digits = ID_DIGITS if wide else 8
    titles = ["JOB", "NAME", "STATUS", ">IN/S", ">OUT/S", ">LAG", ">WM AGE", ">COMMITS/S"]
    table = plain_table(*titles, *(["REASON"] if wide else []))
    for job in sample.jobs:
        delay = job.watermark_delay_ms
        table.add_row(
            job.job_id[:digits],
            Text(shorten(job.name, max(NAME_COLUMNS_MIN, columns // 6))),
            status(job.status),
            count(job.in_per_s),
            count(job.out_per_s),
            Text(count(job.lag), style="yellow" if job.lag else ""),
            NOTHING if delay is None else duration(delay),
            count(job.commits_per_s),
            *([one_line(job.reason)] if wide else []),
        )
    reasons: list[tuple[str, RenderableType]] = [(j.job_id[:digits], Text(j.reason)) for j in sample.jobs if j.reason]
    return table if wide or not reasons else sections(table, facts(reasons))


def run_top(take: Callable[[], TopSample], console: Console, interval_s: float) -> None:
    """Show samples until q or Ctrl-C; the terminal is as it was then. A REST that goes away is waited for."""
    from rich.live import Live

    sample = take()
    with _keys() as pressed, Live(console=console, screen=True, auto_refresh=False) as live:
        trouble = ""
        while True:
            hint = Text("q quits", style="dim")
            live.update(sections(top_page(sample, console.width, trouble), hint), refresh=True)
            if pressed(interval_s):
                return
            try:
                sample, trouble = take(), ""
            except UnavailableError as error:
                trouble = f"{error.message}; trying again"


@contextmanager
def _keys() -> Iterator[Callable[[float], bool]]:
    """A wait for ``seconds`` that comes back early, with True, when a key that quits was pressed."""
    if not sys.stdin.isatty():
        yield _only_wait
        return
    import select
    import termios
    import tty

    before = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin)

    def pressed(seconds: float) -> bool:
        deadline = clock.monotonic_s() + seconds
        while (left := deadline - clock.monotonic_s()) > 0:
            ready, _, _ = select.select([sys.stdin], [], [], left)
            if ready and os.read(sys.stdin.fileno(), 1).decode(errors="replace") in (*QUIT, ""):
                return True
        return False

    try:
        yield pressed
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _only_wait(seconds: float) -> bool:
    import time

    time.sleep(seconds)
    return False
