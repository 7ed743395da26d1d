"""``streamctl health``: whose health it tells, and that trouble is one line and status 3."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from typer.testing import CliRunner

from streamctl.app import app


def run(*arguments: str, **variables: str) -> tuple[int, Any]:
    nothing = {name: None for name in os.environ if name.startswith("HEADRACE_")}
    environment = {**nothing, "HEADRACE_CONFIG": "", **variables}
    result = CliRunner().invoke(app, ["health", *arguments, "--json"], env=environment, prog_name="streamctl")
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, json.loads(result.output)


@pytest.fixture
def dispatcher() -> Iterator[HTTPServer]:
    """Something that answers as a Dispatcher does; ``.status`` is what /health gives."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"kafka": "ok", "redis": "does not answer", "partitions": {}}).encode()
            self.send_response(self.server.status if self.path == "/health" else 404)  # type: ignore[attr-defined]
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Answer)
    server.status = 200  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def closed_port() -> str:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return str(one.getsockname()[1])


@pytest.mark.parametrize("role", [(), ("dispatcher",)])
def test_a_dispatcher_that_listens_here_is_asked(dispatcher: HTTPServer, role: tuple[str, ...]) -> None:
    port = str(dispatcher.server_port)
    for host in ("127.0.0.1", "0.0.0.0"):
        status, told = run(*role, HEADRACE_REST_PORT=port, HEADRACE_REST_HOST=host)
        assert (status, told) == (0, {"role": "dispatcher", "healthy": True, "reason": ""})
    dispatcher.status = 503  # type: ignore[attr-defined]
    status, told = run(*role, "--set", f"rest_port={port}")
    assert status == 3 and told["reason"].endswith("/health answers 503: redis: does not answer")


def test_without_a_dispatcher_it_is_the_taskmanager_that_is_meant() -> None:
    port = closed_port()
    status, told = run(HEADRACE_REST_PORT=port)
    assert (status, told["role"], told["reason"]) == (3, "taskmanager", "Redis is not named (HEADRACE_REDIS)")
    status, told = run(HEADRACE_REST_PORT=port, HEADRACE_REDIS=f"redis://:hush@127.0.0.1:{port}/0")
    assert status == 3 and told["reason"].startswith("Redis does not answer") and "hush" not in told["reason"]
    status, told = run("dispatcher", HEADRACE_REST_PORT=port)
    assert status == 3 and f"http://127.0.0.1:{port}/health does not answer" in told["reason"]
