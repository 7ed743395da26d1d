"""A Dispatcher and a TaskManager of a namespace of their own, and a client that speaks nothing but HTTP.

Jobs are programs of tests/e2e/jobs: built here into submissions, sent by POST.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import httpx
from confluent_kafka import Producer
from tests.e2e.dispatchers import QUIET, DispatcherProcess
from tests.waiting import wait_until

from headrace.datastream.execution import executor_installed
from headrace.protocol.submission import Submit
from streamctl.script import run_script
from streamctl.trial.filling import create_topics

JOBS = Path(__file__).parent / "jobs"
READY_S = 60.0


class RestSite:
    """``client`` asks the Dispatcher; it has the token when there is one."""

    def __init__(self, directory: Path, kafka: str, redis: str, namespace: str, token: str = "") -> None:
        self.bootstrap, self.namespace = kafka, namespace
        settings = {"rest_token": token} if token else {}
        self.dispatcher = DispatcherProcess(directory, "dispatcher", kafka, redis, namespace, **settings)
        self.url = f"http://127.0.0.1:{self.dispatcher.port}"
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.client = httpx.Client(base_url=self.url, headers=headers, timeout=20)
        self._directory = directory
        self._environment = {key: value for key, value in os.environ.items() if not key.startswith("HEADRACE_")} | {
            "HEADRACE_BOOTSTRAP": kafka,
            "HEADRACE_REDIS": redis,
            "HEADRACE_NAMESPACE": namespace,
            "HEADRACE_STATE_DIR": str(directory),
            "HEADRACE_CACHE_DIR": str(directory / "cache"),
        }
        self._environment.pop("PYTHONDONTWRITEBYTECODE", None)

    @contextlib.contextmanager
    def taskmanager(self, slots: int) -> Iterator[str]:
        """A TaskManager for the time of the block; its id."""
        id_ = f"tm-{uuid.uuid4().hex[:6]}"
        command = [sys.executable, "-m", "headrace.taskmanager", "--slots", str(slots), "--id", id_]
        with (self._directory / f"{id_}.err").open("wb") as output:
            process = subprocess.Popen(command, env=self._environment, stdout=output, stderr=output)
        try:
            self.until(lambda: self.client.get(f"/api/v1/taskmanagers/{id_}").status_code == 200, "it is registered")
            yield id_
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            finally:
                process.kill()

    def topics(self, **partitions: int) -> dict[str, str]:
        """Fresh topics; their names by the short ones."""
        names = {short: f"{short}-{uuid.uuid4().hex[:8]}" for short in partitions}
        create_topics(self.bootstrap, {names[short]: count for short, count in partitions.items()})
        return names

    def fill(self, topic: str, records: list[dict[str, Any]], partitions: int) -> None:
        producer = Producer({"bootstrap.servers": self.bootstrap, **QUIET})
        for number, record in enumerate(records):
            producer.produce(topic, json.dumps(record).encode(), partition=number % partitions)
        assert producer.flush(20) == 0

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        """One request, again while the answer is 503: a crowded machine can be slower than answers are waited for."""
        deadline = time.monotonic() + READY_S
        while (response := self.client.request(method, path, **more)).status_code == 503:
            assert time.monotonic() < deadline, response.text
        return response

    def get(self, path: str) -> Any:
        response = self.ask("GET", path)
        assert response.status_code == 200, response.text
        return response.json()

    def submit(self, submit: Submit, code: bytes) -> httpx.Response:
        """Upload the code, then send the submission that names it."""
        uploaded = self.ask("PUT", f"/api/v1/artifacts/{hashlib.sha256(code).hexdigest()}", content=code)
        assert uploaded.status_code == 201, uploaded.text
        return self.ask("POST", "/api/v1/jobs", json=submit.model_dump(mode="json") | {"code": uploaded.json()})

    def await_status(self, job_id: str, status: str) -> dict[str, Any]:
        def there() -> bool:
            self.last: dict[str, Any] = self.get(f"/api/v1/jobs/{job_id}")
            return bool(self.last["job"]["status"] == status)

        self.until(there, f"job {job_id} is {status}")
        return self.last

    def until(self, there: Callable[[], object], what: str) -> None:
        try:
            wait_until(there, deadline_s=READY_S, every_s=0.1)
        except TimeoutError:
            raise AssertionError(f"not within {READY_S:g} s: {what}\n{self.story()}") from None

    def story(self) -> str:
        return "\n".join(
            f"--- {path.name}\n{path.read_text(errors='replace')[-3000:]}" for path in self._directory.glob("*.err")
        )

    def close(self) -> None:
        self.client.close()
        if self.dispatcher.process.poll() is None:
            self.dispatcher.stop(signal.SIGKILL)


class _Caught:
    """An executor that keeps what it is given, and a job client of nothing."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap
        self.submissions: list[tuple[Submit, bytes]] = []

    def submit(self, submit: Submit, code: bytes, *, wait: bool, dependencies: bytes = b"") -> Any:
        self.submissions.append((submit, code))
        return self

    def get_job_id(self) -> str:
        return self.submissions[-1][0].job_id

    def get_job_execution_result(self) -> Future[None]:
        """Done: the program is not to wait for a job that is sent only later."""
        result: Future[None] = Future()
        result.set_result(None)
        return result

    def cancel(self) -> Any:
        raise AssertionError("a job that was never sent")


def built(script: str, arguments: list[str], *, parallelism: int, bootstrap: str) -> tuple[Submit, bytes]:
    """The submission that a program of tests/e2e/jobs makes, and its code."""
    executor = _Caught(bootstrap)
    with executor_installed(executor, parallelism=parallelism):
        run_script(JOBS / script, arguments)
    return executor.submissions[0]
