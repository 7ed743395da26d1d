"""What the demo shows of the monitored machine: the table, and the lines where there is no terminal."""

from __future__ import annotations

import pytest
from rich.console import Console

from streamctl.demo.board import LineBoard
from streamctl.demo.machine import HISTORY, METRICS, Alert, Machine, Window, machine_table

START_MS = 1_772_451_000_000  # 2026-03-02 11:30:00 UTC
SIZE_MS = 2_000


def window(number: int, mean: float, metric: str = "cpu_percent") -> Window:
    start = START_MS + number * SIZE_MS
    return Window("box", metric, start, start + SIZE_MS, mean, mean + 1)


def alert(state: str, number: int, mean: float) -> Alert:
    limit = 80.0 if state == "RAISED" else 60.0
    return Alert(state, "box", "cpu_percent", START_MS + (number + 1) * SIZE_MS, mean, limit)


@pytest.fixture
def machine() -> Machine:
    """Calm, two windows of load, calm again."""
    seen = Machine()
    for number, mean in enumerate((10.0, 95.0, 97.0, 20.0)):
        seen.add(window(number, mean))
        seen.add(window(number, 2_500_000.0, "disk_written_bytes_per_s"))
    seen.alerts += [alert("RAISED", 1, 95.0), alert("CLEARED", 3, 20.0)]
    return seen


def drawn(machine: Machine, columns: int, *, color: bool = False) -> list[str]:
    console = Console(
        width=columns, force_terminal=color, color_system="standard" if color else None, no_color=not color
    )
    with console.capture() as capture:
        console.print(machine_table(machine))
    return capture.get().splitlines()


@pytest.mark.parametrize("columns", [80, 200])
def test_table_shows_newest_windows_bars_and_alerts(machine: Machine, columns: int) -> None:
    lines = drawn(machine, columns)
    assert max(map(len, lines)) <= columns
    assert lines[1].split() == ["CPU", "20.0", "%", "21.0", "%", "▂██▂", "CLEARED"]
    (written,) = [line for line in lines if line.startswith("Disk written")]
    assert written.split() == ["Disk", "written", "2.5", "MB/s", "2.5", "MB/s", "████", "-"]
    assert [line.strip() for line in lines[-2:]] == [
        "11:30:04 RAISED  CPU: mean 95.0 %, above 80.0 %",
        "11:30:08 CLEARED CPU: mean 20.0 %, below 60.0 %",
    ]
    assert len(lines) == 1 + len(METRICS) + 1 + 2


def test_bars_are_red_while_an_alert_stands(machine: Machine) -> None:
    assert [machine.raised("cpu_percent", window(number, 0).end) for number in range(4)] == [False, True, True, False]
    cpu = drawn(machine, 80, color=True)[1]
    assert (
        "\x1b[36m▂\x1b[0m\x1b[31m█\x1b[0m\x1b[31m█\x1b[0m\x1b[36m▂\x1b[0m" in cpu and "\x1b[32mCLEARED\x1b[0m" in cpu
    )
    raised = Machine(dict(machine.windows), machine.alerts[:1])
    assert "\x1b[1;31mRAISED\x1b[0m" in drawn(raised, 80, color=True)[1]


def test_only_the_last_windows_are_kept() -> None:
    machine = Machine()
    for number in range(HISTORY + 5):
        machine.add(window(number, number))
    assert [each.mean for each in machine.windows["cpu_percent"]] == list(range(5, HISTORY + 5))
    assert machine.count == HISTORY + 5


def test_lines_tell_each_window_and_alert_once(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    said = LineBoard()
    so_far = Machine(alerts=machine.alerts)
    for number in range(4):
        for kept in machine.windows.values():
            so_far.add(kept[number])
            said.show(so_far, "calm" if number == 0 else "a load")
    said.finish(so_far)
    assert capsys.readouterr().out.splitlines() == [
        "calm",
        "a load",
        "11:30:02 CPU 10.0 %, Disk written 2.5 MB/s",
        "11:30:04 CPU 95.0 %, Disk written 2.5 MB/s",
        "11:30:04 RAISED  CPU: mean 95.0 %, above 80.0 %",
        "11:30:06 CPU 97.0 %, Disk written 2.5 MB/s",
        "11:30:08 CPU 20.0 %, Disk written 2.5 MB/s",
        "11:30:08 CLEARED CPU: mean 20.0 %, below 60.0 %",
    ]
