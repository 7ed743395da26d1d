"""What REST answers becomes one line with its code and an exit status."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from typer.testing import CliRunner

from headrace.protocol.control import JobRecord
from headrace.protocol.states import JobStatus
from headrace.rest.access import Access
from headrace.rest.errors import RequestError
from streamctl.app import app
from streamctl.completions import complete_job

JOBS = [
    JobRecord(job_id=f"3f{n}" + "a" * 29, name=name, status=JobStatus.RUNNING).model_dump(mode="json")
    for n, name in ((1, "counts"), (2, "two words"), (3, "counts"))
]
TOKEN = "right-token"


class Handler(BaseHTTPRequestHandler):
    """A Dispatcher's REST with three jobs and a token."""

    def do_GET(self) -> None:
        status, answer = 200, {"jobs": JOBS}
        try:
            Access(token=TOKEN).check(self.path, {name.lower(): value for name, value in self.headers.items()})
        except RequestError as error:
            status = 401
            answer = {"error": {"code": error.code, "message": error.message, "hint": error.hint}}  # type: ignore[dict-item]
        body = json.dumps(answer).encode()
        self.send_response(status)
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


def run(url: str, *arguments: str, token: str = TOKEN) -> tuple[int, str]:
    nothing = {name: None for name in os.environ if name.startswith("HEADRACE_")}
    environment = {**nothing, "HEADRACE_CONFIG": "", "HEADRACE_REST": url, "HEADRACE_REST_TOKEN": token}
    line = [*arguments, "--bootstrap", "127.0.0.1:1"]
    result = CliRunner().invoke(app, line, env=environment, prog_name="streamctl")
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def test_an_unknown_job_is_2_and_where_to_look(url: str) -> None:
    status, said = run(url, "show", "nothing")
    assert status == 2
    assert said == ("error: no job has the id or name 'nothing' [job-unknown]\n  `streamctl list` shows all jobs\n")


def test_an_ambiguous_prefix_is_2_and_names_the_candidates(url: str) -> None:
    status, said = run(url, "show", "3f")
    assert status == 2
    assert "3 jobs fit '3f' [job-ambiguous]" in said
    assert "3f1aaaaaaaaa (RUNNING), 3f2aaaaaaaaa (RUNNING), 3f3aaaaaaaaa (RUNNING)" in said


def test_a_wrong_token_is_2_and_says_how_to_give_the_right_one(url: str) -> None:
    status, said = run(url, "list", token="wrong-token")
    assert status == 2
    assert "[rest-unauthorized]" in said and "token" in said.splitlines()[-1]
    assert "wrong-token" not in said
    assert run(url, "list")[0] == 0


def test_a_shell_is_offered_ids_then_names_without_spaces(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("HEADRACE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HEADRACE_CONFIG", "")
    monkeypatch.setenv("HEADRACE_BOOTSTRAP", "127.0.0.1:1")
    monkeypatch.setenv("HEADRACE_REST", url)
    monkeypatch.setenv("HEADRACE_REST_TOKEN", TOKEN)
    assert [job for job, _ in complete_job("")] == ["3f1aaaaaaaaa", "3f2aaaaaaaaa", "3f3aaaaaaaaa"]
    assert complete_job("3f2") == [("3f2aaaaaaaaa", "two words (RUNNING)")]
    assert complete_job("cou") == [("counts", "RUNNING, 3f1aaaaaaaaa")]
    assert complete_job("two") == []
    monkeypatch.setenv("HEADRACE_REST_TOKEN", "wrong-token")
    assert complete_job("") == []
