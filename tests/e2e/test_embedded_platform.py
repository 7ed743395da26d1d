"""The embedded cluster with the platform's own processes, through the command line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headrace.embedded.processes import find_all_marked

pytestmark = pytest.mark.e2e


class Command:
    """``streamctl`` with a state directory of its own."""

    def __init__(self, state_dir: Path) -> None:
        self._environment = {**os.environ, "HEADRACE_STATE_DIR": str(state_dir)}

    def run(self, *arguments: str) -> tuple[int, Any]:
        """Exit status and the JSON object."""
        command = [sys.executable, "-c", "from streamctl.app import main; main()", *arguments, "--json"]
        done = subprocess.run(command, env=self._environment, capture_output=True, text=True, timeout=200)
        assert done.stdout, done.stderr
        return done.returncode, json.loads(done.stdout)


@pytest.fixture(scope="module")
def streamctl(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    command = Command(tmp_path_factory.mktemp("state"))
    yield command
    command.run("down")


def test_up_starts_everything_and_status_shows_it(streamctl: Command) -> None:
    status, before = streamctl.run("status")
    assert (status, before["state"]) == (3, "DOWN")
    status, cluster = streamctl.run("up", "--slots", "1", "--rest-port", "0")
    assert (status, cluster["state"]) == (0, "HEALTHY"), cluster
    assert list(cluster["processes"]) == ["supervisor", "kafka", "redis", "dispatcher", "taskmanager"]
    with urllib.request.urlopen(f"{cluster['rest']}/health", timeout=10) as answer:
        assert answer.status == 200
    assert streamctl.run("status")[1]["processes"] == cluster["processes"]


def test_killed_processes_of_the_platform_come_back(streamctl: Command) -> None:
    _, before = streamctl.run("status")
    pids = {name: before["processes"][name]["pid"] for name in ("dispatcher", "taskmanager")}
    for pid in pids.values():
        os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 90
    while True:
        status, after = streamctl.run("status")
        if status == 0 and all(after["processes"][name]["pid"] != pid for name, pid in pids.items()):
            break
        assert time.monotonic() < deadline, after
    assert after["rest"] == before["rest"]
    assert after["processes"]["kafka"] == before["processes"]["kafka"]


def test_down_leaves_no_process_not_even_a_worker(streamctl: Command) -> None:
    _, cluster = streamctl.run("status")
    directory = Path(cluster["directory"])
    assert len(find_all_marked(directory)) >= len(cluster["processes"])
    status, stopped = streamctl.run("down")
    assert (status, stopped["stopped"]) == (0, ["supervisor", "taskmanager", "dispatcher", "kafka", "redis"])
    assert find_all_marked(directory) == []
    status, after = streamctl.run("status")
    assert (status, after["state"]) == (3, "DOWN")
    assert streamctl.run("down") == (0, {"name": "default", "stopped": []})


def test_errors_are_objects_too(streamctl: Command) -> None:
    status, answer = streamctl.run("up", "--name", "Not A Name")
    assert (status, answer["error"]["code"]) == (2, "cluster-name")
