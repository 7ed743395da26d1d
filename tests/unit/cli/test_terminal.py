"""streamctl on a terminal: top lives until q or Ctrl-C and leaves it as it was; colours unless NO_COLOR is set."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from headrace.protocol.control import JobRecord, TaskManagerRecord
from headrace.protocol.states import JobStatus

WAIT_S = 60.0
JOB = JobRecord(job_id="a" * 32, name="counts", status=JobStatus.FINISHED)
TASKMANAGER = TaskManagerRecord(id="tm-1", instance="i", counter=1, host="here", pid=1, slots=2)
ANSWERS = {
    "/api/v1/jobs": {"jobs": [JOB.model_dump(mode="json")]},
    "/api/v1/taskmanagers": {"taskmanagers": [TASKMANAGER.model_dump(mode="json")]},
}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps(ANSWERS[self.path]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None: ...


@pytest.fixture
def url() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


class Screen:
    """One command on a terminal of its own."""

    def __init__(self, url: str, *arguments: str, **environment: str) -> None:
        self.terminal, theirs = pty.openpty()
        self.before = termios.tcgetattr(self.terminal)
        plain = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
        plain.pop("NO_COLOR", None)
        given = {"HEADRACE_REST": url, "HEADRACE_BOOTSTRAP": "127.0.0.1:1", "HEADRACE_CONFIG": "", "TERM": "xterm"}
        self.process = subprocess.Popen(
            [sys.executable, "-c", "from streamctl.app import main; main()", *arguments],
            env={**plain, **given, **environment},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self.said = b""

    def until(self, text: str) -> None:
        deadline = time.monotonic() + WAIT_S
        while text.encode() not in self.said:
            assert time.monotonic() < deadline and self._read(), self.said

    def end(self) -> int:
        """Its exit status, after all that it said was read."""
        while self._read():
            pass
        return self.process.wait(WAIT_S)

    def _read(self) -> bool:
        ready, _, _ = select.select([self.terminal], [], [], WAIT_S)
        try:
            data = os.read(self.terminal, 65_536) if ready else b""
        except OSError:  # Linux says so when the other side is closed
            return False
        self.said += data
        return bool(data)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.terminal)


@pytest.mark.parametrize("how", ["q", "ctrl-c"])
def test_top_lives_until_it_is_ended_and_leaves_the_terminal_as_it_was(url: str, how: str) -> None:
    screen = Screen(url, "top", "--interval", "0.5")
    try:
        screen.until("q quits")
        assert b"\x1b[?1049h" in screen.said  # a screen of its own
        if how == "q":
            os.write(screen.terminal, b"q")
        else:
            os.kill(screen.process.pid, signal.SIGINT)
        assert screen.end() == 0
        assert b"\x1b[?1049l" in screen.said and b"Traceback" not in screen.said
        assert termios.tcgetattr(screen.terminal)[3] == screen.before[3]
    finally:
        screen.close()


COLOUR = rb"\x1b\[(?:\d+;)*3[0-7]m"
BOLD = rb"\x1b\[1m"


@pytest.mark.parametrize(("environment", "wanted"), [({}, True), ({"NO_COLOR": "1"}, False)])
@pytest.mark.parametrize(
    ("arguments", "style"), [(("list",), COLOUR), (("--help",), BOLD), (("show", "nothing"), COLOUR)]
)
def test_colours_unless_no_color_is_set(
    url: str, environment: dict[str, str], wanted: bool, arguments: tuple[str, ...], style: bytes
) -> None:
    screen = Screen(url, *arguments, **environment)
    try:
        screen.end()
        assert bool(re.search(style, screen.said)) is wanted, screen.said
    finally:
        screen.close()
