"""Server processes that outlive their starter: started detached, found again by pid and start time, stopped.

A pid alone can be taken by another process later, so nothing is ever signalled unless the start time fits too.
Every process carries a mark in its environment; ``find_marked`` finds those whose starter died before it could
write their pid down.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from headrace.clock import monotonic_s

#: Environment variable: "<cluster directory>|<service>".
MARK = "HEADRACE_EMBEDDED"
#: Start times are computed from the boot time, which moves a little when the clock is set.
START_TIME_TOLERANCE_S = 2.0
KILL_WAIT_S = 10.0
POLL_INTERVAL_S = 0.02

#: Variables that change how the children behave and were not meant for them.
_REMOVED = (
    "PYTHONDONTWRITEBYTECODE",  # without it every worker start would compile everything again
    "JAVA_TOOL_OPTIONS",
    "_JAVA_OPTIONS",
    "JDK_JAVA_OPTIONS",
    "CLASSPATH",
)
#: Options for the clients of another Kafka (TLS, SASL): the embedded one is plain text on this machine.
_REMOVED_PREFIX = "HEADRACE_KAFKA"


@dataclass(frozen=True)
class ProcessId:
    """A process for ever: pid and start time (seconds since the epoch)."""

    pid: int
    started_s: float


def child_environment(extra: dict[str, str] | None = None) -> dict[str, str]:
    """This process's environment without what would disturb a server, plus ``extra``."""
    kept = {
        key: value for key, value in os.environ.items() if key not in _REMOVED and not key.startswith(_REMOVED_PREFIX)
    }
    return kept | (extra or {})


def start_detached(
    command: list[str], *, output: Path, directory: Path, mark: str, extra: dict[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own, so that its parent may die.

    Its output is appended to a new file; the one before it is kept as ``.1``.
    """
    if output.exists():
        os.replace(output, output.with_name(f"{output.name}.1"))
    with output.open("ab") as file:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            cwd=directory,
            env=child_environment({**(extra or {}), MARK: mark}),
            start_new_session=True,
        )


def identify(pid: int) -> ProcessId:
    """Raises ProcessLookupError when there is no such process."""
    try:
        return ProcessId(pid, psutil.Process(pid).create_time())
    except psutil.NoSuchProcess as error:
        raise ProcessLookupError(pid) from error


def is_alive(process: ProcessId) -> bool:
    """Whether exactly this process still runs; a zombie does not."""
    return _find(process) is not None


def _find(process: ProcessId) -> psutil.Process | None:
    try:
        found = psutil.Process(process.pid)
        if abs(found.create_time() - process.started_s) > START_TIME_TOLERANCE_S:
            return None
        return None if found.status() == psutil.STATUS_ZOMBIE else found
    except psutil.NoSuchProcess:
        return None


def stop(process: ProcessId, *, wait_s: float) -> bool:
    """SIGTERM, wait, then SIGKILL. True when it ended by itself in time, or was not running."""
    if _signal(process, signal.SIGTERM) and not _ends(process, wait_s):
        _signal(process, signal.SIGKILL)
        _ends(process, KILL_WAIT_S)
        return False
    return True


def _signal(process: ProcessId, number: signal.Signals) -> bool:
    """Send a signal to exactly this process; False when it has gone."""
    found = _find(process)
    if found is None:
        return False
    try:
        found.send_signal(number)
    except psutil.NoSuchProcess:
        return False
    return True


def _ends(process: ProcessId, wait_s: float) -> bool:
    """Whether it ends within ``wait_s``. A zombie has ended, even if its parent takes its time to notice."""
    deadline = monotonic_s() + wait_s
    while is_alive(process):
        if monotonic_s() > deadline:
            return False
        time.sleep(POLL_INTERVAL_S)
    return True


def find_marked(mark: str, word: str) -> ProcessId | None:
    """The oldest running process of this user with this mark and ``word`` as a part of its command line.

    The word is needed because a server's own children inherit its environment; the oldest, because a server
    that forks (Redis, to rewrite its file) looks twice the same.
    """
    found = _marked(lambda text: text == mark, word)
    return min(found, key=lambda process: process.started_s, default=None)


def find_all_marked(directory: Path) -> list[ProcessId]:
    """Every running process of a cluster, children of its servers included."""
    return _marked(lambda text: text.startswith(f"{directory}|"))


def _marked(fits: Callable[[str], bool], word: str = "") -> list[ProcessId]:
    found = []
    for process in psutil.process_iter():
        try:
            if (
                fits(process.environ().get(MARK, ""))
                and any(word in part for part in process.cmdline())
                and process.status() != psutil.STATUS_ZOMBIE
            ):
                found.append(ProcessId(process.pid, process.create_time()))
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def log_end(path: Path, start: int = 0, *, lines: int = 5, bytes_max: int = 16_384) -> str:
    """The last lines of a log behind byte ``start``, joined by " / "; empty when there are none.

    A file that is shorter than ``start`` was begun anew and is read from its beginning.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(start if start <= size else 0, size - bytes_max))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    return " / ".join([line.strip() for line in text.splitlines() if line.strip()][-lines:])


def file_size(path: Path) -> int:
    """Bytes of a file, 0 when there is none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def truncate_output(path: Path, bytes_max: int) -> None:
    """Keep a process's output bounded: beyond ``bytes_max`` it is copied to ``.1`` and emptied in place.

    Works because the output is opened for appending; lines printed during the copy may be lost.
    """
    if file_size(path) <= bytes_max:
        return
    shutil.copyfile(path, path.with_name(f"{path.name}.1"))
    os.truncate(path, 0)
