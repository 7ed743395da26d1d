"""With real processes: small Python programs that sleep."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from headrace.embedded.processes import (
    MARK,
    ProcessId,
    child_environment,
    find_all_marked,
    find_marked,
    identify,
    is_alive,
    log_end,
    start_detached,
    stop,
    truncate_output,
)

SLEEP = "import time; print('ready', flush=True); time.sleep(60)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SLEEP
Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a program, wait until it says that it is ready."""
    started = []

    def start(program: str, *arguments: str, mark: str = "") -> subprocess.Popen[bytes]:
        output = tmp_path / f"{len(started)}.out"
        child = start_detached(
            [sys.executable, "-c", program, *arguments], output=output, directory=tmp_path, mark=mark
        )
        started.append(child)
        deadline = time.monotonic() + 20
        while b"ready" not in output.read_bytes():
            assert child.poll() is None and time.monotonic() < deadline
            time.sleep(0.01)
        return child

    yield start
    for child in started:
        child.kill()
        child.wait()


def test_a_process_is_its_pid_and_its_start_time(start: Start) -> None:
    process = identify(start(SLEEP).pid)
    assert is_alive(process)
    assert not is_alive(ProcessId(process.pid, process.started_s - 60))


def test_stop_leaves_a_process_alone_whose_pid_was_taken_over(start: Start) -> None:
    child = start(SLEEP)
    assert stop(ProcessId(child.pid, identify(child.pid).started_s - 60), wait_s=5)
    assert child.poll() is None


def test_stop_asks_first(start: Start) -> None:
    process = identify(start(SLEEP).pid)
    assert stop(process, wait_s=10)
    assert not is_alive(process)


def test_stop_kills_what_does_not_listen(start: Start) -> None:
    process = identify(start(STUBBORN).pid)
    assert not stop(process, wait_s=0.2)
    assert not is_alive(process)


def test_a_zombie_does_not_count_as_alive(start: Start) -> None:
    child = start(SLEEP)
    process = identify(child.pid)
    child.kill()
    deadline = time.monotonic() + 10
    while is_alive(process):  # nobody waits for it, so it stays a zombie
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_process_nobody_wrote_down_is_found_by_its_mark(start: Start, tmp_path: Path) -> None:
    mark = f"{tmp_path}|server"
    program = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {SLEEP!r}]); {SLEEP}"
    child = start(program, "the-server", mark=mark)
    assert find_marked(mark, "the-server") == identify(child.pid)
    assert find_marked(mark, "another-server") is None
    assert find_marked(f"{tmp_path}|other", "the-server") is None
    everything = find_all_marked(tmp_path)
    assert len(everything) == 2 and child.pid in {process.pid for process in everything}
    for process in everything:
        stop(process, wait_s=5)
    assert find_all_marked(tmp_path) == []


def test_a_cluster_is_not_mistaken_for_one_whose_directory_begins_alike(start: Start, tmp_path: Path) -> None:
    start(SLEEP, mark=f"{tmp_path}-2|server")
    assert find_all_marked(tmp_path) == []


def test_children_are_not_disturbed_by_the_callers_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-Xmx1m")
    monkeypatch.setenv("HEADRACE_KAFKA__SECURITY.PROTOCOL", "SASL_SSL")
    monkeypatch.setenv("KEPT", "1")
    environment = child_environment({MARK: "x"})
    assert environment["KEPT"] == "1" and environment[MARK] == "x"
    for name in ("PYTHONDONTWRITEBYTECODE", "JAVA_TOOL_OPTIONS", "HEADRACE_KAFKA__SECURITY.PROTOCOL"):
        assert name not in environment


def test_the_output_of_the_run_before_is_kept(tmp_path: Path) -> None:
    output = tmp_path / "server.out"
    for word in ("first", "second"):
        start_detached([sys.executable, "-c", f"print('{word}')"], output=output, directory=tmp_path, mark="").wait()
    assert output.read_text() == "second\n"
    assert (tmp_path / "server.out.1").read_text() == "first\n"


def test_the_end_of_a_log(tmp_path: Path) -> None:
    path = tmp_path / "log"
    assert log_end(path) == ""
    path.write_text("old\n" * 10)
    start_at = path.stat().st_size
    with path.open("a") as file:
        file.write("one\n\n two\nthree\n")
    assert log_end(path, start_at) == "one / two / three"
    assert log_end(path, start_at, lines=2) == "two / three"
    path.write_text("new\n")  # begun anew, shorter than before
    assert log_end(path, start_at) == "new"


def test_an_output_is_bounded_while_its_process_writes(tmp_path: Path) -> None:
    path = tmp_path / "out"
    with path.open("ab") as writer:
        writer.write(b"x" * 5_000)
        writer.flush()
        truncate_output(path, 5_000)
        assert path.stat().st_size == 5_000
        truncate_output(path, 4_999)
        writer.write(b"after")
    assert path.read_bytes() == b"after"
    assert (tmp_path / "out.1").stat().st_size == 5_000
