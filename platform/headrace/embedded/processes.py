"""Server processes that outlive their starter: started detached, found again by pid and start time, stopped.

A pid alone can be taken by another process later, so nothing is ever signalled unless the start time fits too.
Every process carries a mark in its environment; ``find_marked`` finds those whose starter died before it could
write their pid down.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import psutil

#: Environment variable: "<cluster directory>|<service>".
MARK = "HEADRACE_EMBEDDED"
#: Start times are computed from the boot time, which moves a little when the clock is set.
START_TIME_TOLERANCE_S = 2.0
KILL_WAIT_S = 10.0

#: Variables that change how the children behave and were not meant for them.
_REMOVED = (
    "PYTHONDONTWRITEBYTECODE",  # without it every worker start would compile everything again
    "JAVA_TOOL_OPTIONS",
    "_JAVA_OPTIONS",
    "JDK_JAVA_OPTIONS",
    "CLASSPATH",
)


@dataclass(frozen=True)
class ProcessId:
    """A process for ever: pid and start time (seconds since the epoch)."""

    pid: int
    started_s: float


def child_environment(extra: dict[str, str] | None = None) -> dict[str, str]:
    """This process's environment without what would disturb a server, plus ``extra``."""
    kept = {key: value for key, value in os.environ.items() if key not in _REMOVED}
    return kept | (extra or {})


def start_detached(
    command: list[str], *, output: Path, directory: Path, mark: str, extra: dict[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own; its output goes to a new file, its parent may die."""
    with output.open("wb") as file:
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
    found = _find(process)
    if found is None:
        return True
    try:
        found.terminate()
        found.wait(wait_s)
        return True
    except psutil.NoSuchProcess:
        return True
    except psutil.TimeoutExpired:
        if _find(process) is None:  # a zombie whose parent does not wait for it
            return True
    try:
        found.kill()
        found.wait(KILL_WAIT_S)
    except (psutil.NoSuchProcess, psutil.TimeoutExpired):
        pass
    return False


def find_marked(mark: str, word: str) -> ProcessId | None:
    """A running process of this user with this mark and ``word`` as a part of its command line.

    The word is needed because a server's own children inherit its environment.
    """
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) != mark or process.status() == psutil.STATUS_ZOMBIE:
                continue
            if any(word in part for part in process.cmdline()):
                return ProcessId(process.pid, process.create_time())
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return None


def log_tail(path: Path, *, lines: int = 20, bytes_max: int = 16_384) -> str:
    """The last lines of a log, joined by " / "; empty when there is no such file."""
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - bytes_max))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    return " / ".join([line.strip() for line in text.splitlines() if line.strip()][-lines:])
