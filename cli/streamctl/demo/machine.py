"""What the demo has seen of the monitored machine, and how a person sees it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from rich.console import RenderableType
from rich.text import Text

from streamctl.render import NOTHING, count, instant, plain_table, sections

#: Windows of a metric that are kept, and drawn as bars.
HISTORY = 12
BARS = "▁▂▃▄▅▆▇█"
NUMBER_COLUMNS = 10


@dataclass(frozen=True)
class Window:
    """A row of the monitoring job: one metric over one window."""

    host: str
    metric: str
    start: int
    end: int
    mean: float
    max: float


@dataclass(frozen=True)
class Alert:
    """An alert of the monitoring job. ``at`` is the end of the window that changed the state."""

    state: str  #: RAISED or CLEARED
    host: str
    metric: str
    at: int
    mean: float
    limit: float

    @property
    def raised(self) -> bool:
        return self.state == "RAISED"

    def __str__(self) -> str:
        """One line without colours."""
        name, unit = METRICS.get(self.metric, (self.metric, _plain))
        side = "above" if self.raised else "below"
        return f"{clock_time(self.at)} {self.state:<7} {name}: mean {unit(self.mean)}, {side} {unit(self.limit)}"


def _percent(number: float) -> str:
    return f"{number:.1f} %"


def _bytes(number: float) -> str:
    digits = count(number)
    return f"{digits[:-1]} {digits[-1]}B" if digits[-1].isalpha() else f"{digits} B"


def _bytes_per_s(number: float) -> str:
    return f"{_bytes(number)}/s"


def _plain(number: float) -> str:
    return f"{number:.2f}"


#: What people call a metric, and how its numbers are written; in the order of the table.
METRICS: dict[str, tuple[str, Callable[[float], str]]] = {
    "cpu_percent": ("CPU", _percent),
    "load_1m": ("Load, 1 minute", _plain),
    "memory_percent": ("Memory", _percent),
    "memory_used_bytes": ("Memory in use", _bytes),
    "disk_percent": ("Disk", _percent),
    "disk_read_bytes_per_s": ("Disk read", _bytes_per_s),
    "disk_written_bytes_per_s": ("Disk written", _bytes_per_s),
    "network_received_bytes_per_s": ("Network received", _bytes_per_s),
    "network_sent_bytes_per_s": ("Network sent", _bytes_per_s),
}


@dataclass
class Machine:
    """Windows by metric, and alerts, as they came."""

    windows: dict[str, list[Window]] = field(default_factory=dict)
    alerts: list[Alert] = field(default_factory=list)
    count: int = 0  #: of windows, over all metrics

    def add(self, window: Window) -> None:
        kept = self.windows.setdefault(window.metric, [])
        kept.append(window)
        del kept[:-HISTORY]
        self.count += 1

    def raised(self, metric: str, at_ms: int) -> bool:
        """Whether an alert of the metric stood at a window's end."""
        states = [alert.raised for alert in self.alerts if alert.metric == metric and alert.at <= at_ms]
        return bool(states) and states[-1]

    @property
    def host(self) -> str:
        return next((kept[-1].host for kept in self.windows.values()), "")


def machine_table(machine: Machine) -> RenderableType:
    """The newest window of each metric, the means before it as bars, the alert's state; then all alerts."""
    table = plain_table("Metric", ">Mean", ">Max", f"Last {HISTORY} windows", "Alert")
    for column in table.columns[1:3]:
        column.min_width = NUMBER_COLUMNS  # so that the columns stay where they are
    for metric, (name, unit) in METRICS.items():
        kept = machine.windows.get(metric)
        if kept is None:
            table.add_row(Text(name, style="dim"), NOTHING, NOTHING, "", NOTHING)
        else:
            newest = kept[-1]
            table.add_row(name, unit(newest.mean), unit(newest.max), _bars(machine, metric), _state(machine, newest))
    if not machine.alerts:
        return sections(table)
    alerts = (Text(str(alert), style="bold red" if alert.raised else "green") for alert in machine.alerts)
    return sections(table, Text("\n").join(alerts))


def window_lines(machine: Machine, after_ms: int, *, all_of_them: bool) -> Iterator[tuple[int, str]]:
    """(end, line) of each window that ended after ``after_ms``; the newest, which may still grow, only if asked."""
    ends = sorted({window.end for kept in machine.windows.values() for window in kept})
    for end in ends if all_of_them else ends[:-1]:
        if end <= after_ms:
            continue
        rows = {window.metric: window for kept in machine.windows.values() for window in kept if window.end == end}
        parts = [f"{name} {unit(rows[metric].mean)}" for metric, (name, unit) in METRICS.items() if metric in rows]
        yield end, f"{clock_time(end)} " + ", ".join(parts)


def clock_time(at_ms: int) -> str:
    """The time of day in UTC."""
    return instant(at_ms)[11:]


def _bars(machine: Machine, metric: str) -> Text:
    """Means as bars: of percentages against 100, of others against the greatest; red while an alert stands."""
    kept = machine.windows[metric]
    top = 100.0 if metric.endswith("_percent") else max(window.mean for window in kept)
    bars = Text()
    for window in kept:
        height = min(1.0, max(0.0, window.mean / top)) if top > 0 else 0.0
        style = "red" if machine.raised(metric, window.end) else "cyan"
        bars.append(BARS[round(height * (len(BARS) - 1))], style)
    return bars


def _state(machine: Machine, newest: Window) -> Text:
    if machine.raised(newest.metric, newest.end):
        return Text("RAISED", style="bold red")
    if any(alert.metric == newest.metric for alert in machine.alerts):
        return Text("CLEARED", style="green")
    return Text(NOTHING, style="dim")
