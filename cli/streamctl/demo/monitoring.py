"""The demo's second part: examples/monitoring.py live on the demo's cluster, with a CPU load made for it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import msgspec
import psutil

from headrace import clock
from headrace.embedded.cluster import Addresses
from headrace.errors import StillWaitingError
from streamctl.demo.board import Board
from streamctl.demo.machine import Alert, Machine, Window
from streamctl.trial.cluster import example_file
from streamctl.trial.filling import create_topics
from streamctl.trial.job import TrialJob
from streamctl.trial.sink import SinkRows
from streamctl.watch import describe, ended, require_success, runs

WINDOWS, ALERTS = "host-windows", "host-alerts"
START_S = 60.0
END_S = 30.0
DRAW_S = 0.2
#: Runs until its time is over, whatever becomes of the demo; everybody else goes first.
BUSY = "import os,time;os.nice(19);end=time.monotonic()+{seconds}\nwhile time.monotonic()<end:pass"


@dataclass(frozen=True)
class Timetable:
    """How long the machine is watched from the first window on, and when in that time the load begins and ends."""

    watch_s: float = 15.0
    load_from_s: float = 4.0
    load_to_s: float = 9.0
    window_ms: int = 2_000
    interval_ms: int = 250


def watch_machine(addresses: Addresses, board: Board, times: Timetable) -> Machine:
    """Run the job, show what it says, end it. Raises HeadraceError when it does not start or fails."""
    create_topics(addresses.bootstrap, {WINDOWS: 1, ALERTS: 1})
    machine = Machine()
    with ExitStack() as closing:
        trial = TrialJob(addresses, parallelism=1)
        closing.callback(trial.close)
        rows = SinkRows(addresses.bootstrap, (WINDOWS, ALERTS))
        closing.callback(rows.close)
        arguments = ["--window-ms", str(times.window_ms), "--interval-ms", str(times.interval_ms)]
        trial.run(example_file("monitoring.py"), [*arguments, "--windows", WINDOWS, "--alerts", ALERTS])
        _until_first_window(trial, rows, machine, board)
        _watch(trial, rows, machine, board, times)
        board.finish(machine)
        _cancel(trial)
    return machine


def _until_first_window(trial: TrialJob, rows: SinkRows, machine: Machine, board: Board) -> None:
    deadline_s = clock.monotonic_s() + START_S
    while not machine.count:
        lifecycle = trial.take_events(0)
        waiting = "waiting for the first window" if runs(lifecycle) else describe("monitoring", lifecycle)
        board.show(machine, waiting)
        _take(rows, machine, DRAW_S)
        _require_running(trial, deadline_s, "has no window yet")


def _watch(trial: TrialJob, rows: SinkRows, machine: Machine, board: Board, times: Timetable) -> None:
    begin_s = clock.monotonic_s()
    with ExitStack() as load:
        loaded = False
        while (elapsed_s := clock.monotonic_s() - begin_s) < times.watch_s:
            if not loaded and elapsed_s >= times.load_from_s:
                loaded = True
                load.enter_context(_cpu_load(times.load_to_s - times.load_from_s))
            board.show(machine, _doing(machine, elapsed_s, times))
            _take(rows, machine, DRAW_S)
            trial.take_events(0)
            _require_running(trial, begin_s + times.watch_s + START_S, "is watched")


def _doing(machine: Machine, elapsed_s: float, times: Timetable) -> str:
    """What goes on, in one line; it changes when the load begins and ends."""
    if elapsed_s < times.load_from_s:
        return f"{machine.host} live for {times.watch_s:.0f} s, windows of {times.window_ms / 1000:g} s"
    if elapsed_s < times.load_to_s:
        cores = psutil.cpu_count() or 1
        seconds = times.load_to_s - times.load_from_s
        return f"{machine.host}: the demo keeps all {cores} cores busy for {seconds:.0f} s"
    return f"{machine.host}: the demo's CPU load is over"


def _take(rows: SinkRows, machine: Machine, timeout_s: float) -> None:
    for topic, value in rows.take(timeout_s):
        if topic == WINDOWS:
            machine.add(msgspec.json.decode(value, type=Window))
        else:
            machine.alerts.append(msgspec.json.decode(value, type=Alert))


def _require_running(trial: TrialJob, deadline_s: float, what: str) -> None:
    lifecycle = trial.job.lifecycle
    if ended(lifecycle):
        require_success(trial.submitted.job_id, "monitoring", lifecycle)
    if ended(lifecycle) or clock.monotonic_s() > deadline_s:
        raise StillWaitingError("trial-too-slow", f"the job {what}: {describe('monitoring', lifecycle)}")


def _cancel(trial: TrialJob) -> None:
    """Ask for the job's end and wait for it, so that its cluster stops with nothing running."""
    trial.job.cancel().result()
    deadline_s = clock.monotonic_s() + END_S
    while not ended(trial.take_events(DRAW_S)):
        if clock.monotonic_s() > deadline_s:
            raise StillWaitingError("trial-too-slow", f"not ended: {describe('monitoring', trial.job.lifecycle)}")


@contextmanager
def _cpu_load(seconds: float) -> Iterator[None]:
    """All cores busy for so long, or until the block ends."""
    command = [sys.executable, "-S", "-c", BUSY.format(seconds=seconds)]
    processes = [subprocess.Popen(command) for _ in range(psutil.cpu_count() or 1)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()
