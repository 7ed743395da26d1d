"""Look-ups through REST carry the token of the settings, and only when there is one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from streamctl.cluster import Cluster
from streamctl.rest import jobs


class Heard(HTTPServer):
    authorization: list[str | None]


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Heard)
        self.server.authorization.append(self.headers.get("Authorization"))
        body = b'{"jobs": []}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None: ...


@pytest.fixture
def server() -> Iterator[Heard]:
    server = Heard(("127.0.0.1", 0), Handler)
    server.authorization = []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(("token", "header"), [(None, None), ("s3cret-token", "Bearer s3cret-token")])
def test_the_token_travels_when_there_is_one(server: Heard, token: str | None, header: str | None) -> None:
    cluster = Cluster("headrace", "127.0.0.1:1", f"http://127.0.0.1:{server.server_port}", token=token)
    assert jobs(cluster) == []
    assert server.authorization == [header]
    assert "s3cret" not in repr(cluster)
