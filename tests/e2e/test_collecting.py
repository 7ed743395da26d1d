"""execute_and_collect and JobClient on a real cluster, under `streamctl submit` and under `python job.py`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient
from tests.e2e import platform_command
from tests.e2e.platform_command import Said
from tests.e2e.platform_site import Site

pytestmark = pytest.mark.e2e

SCRIPT = Path(__file__).parent / "jobs" / "collecting.py"


@pytest.fixture
def site(platform: Site) -> Site:
    platform.await_healthy()
    return platform


def started(site: Site, how: str, *arguments: str) -> subprocess.Popen[str]:
    """The script, begun as one of the two ways to run it."""
    variables = platform_command.environment(site.cluster.addresses, site.directory / "state")
    if how == "submit":
        return platform_command.start(("submit", str(SCRIPT), "--", *arguments), site.directory, variables)
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), *arguments],
        cwd=site.directory,
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(site: Site, how: str, *arguments: str) -> Said:
    return platform_command.end(started(site, how, *arguments))


def facts(said: Said) -> dict[str, Any]:
    """All that the script said."""
    found: dict[str, Any] = {}
    for line in said.stdout.splitlines():
        if line.startswith("{"):
            found |= json.loads(line)
    return found


def result_topics(site: Site) -> list[str]:
    names = AdminClient({"bootstrap.servers": site.bootstrap}).list_topics(timeout=10).topics
    return [name for name in names if name.startswith(f"{site.namespace}.r.")]


@pytest.mark.parametrize("how", ["submit", "python"])
def test_results_come_back_once_and_their_topic_goes(site: Site, how: str) -> None:
    said = run(site, how, "all")
    assert said.status == 0, said
    assert facts(said) == {"tenth": True, "results": 50_000, "keys": 100, "counts": [500]}
    site.until(lambda: result_topics(site) == [], "the topic of results is gone")


@pytest.mark.parametrize("how", ["submit", "python"])
def test_a_limit_cancels_an_endless_job(site: Site, how: str) -> None:
    said = run(site, how, "limit")
    assert said.status == 0, said
    assert facts(said) == {"found": [0, 1, 2, 3]}
    site.until(lambda: result_topics(site) == [], "the topic of results is gone")
    site.await_healthy()  # and every slot is free


@pytest.mark.parametrize("how", ["submit", "python"])
def test_ctrl_c_while_collecting_cancels_the_job(site: Site, how: str) -> None:
    process = started(site, how, "endless")
    assert process.stdout is not None
    assert any("first" in line for line in iter(process.stdout.readline, "")), process.communicate()
    process.send_signal(signal.SIGINT)
    said = platform_command.end(process)
    assert said.status == 130, said
    assert "interrupted" in said.stderr and "Traceback" not in said.stderr and "runs on" not in said.stderr
    site.until(lambda: result_topics(site) == [], "the topic of results is gone")
    site.await_healthy()  # and every slot is free


def test_results_are_exact_while_a_worker_is_killed(site: Site, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    process = started(site, "submit", "all", "400000", "--gate", str(gate))
    assert process.stdout is not None
    assert any("tenth" in line for line in iter(process.stdout.readline, "")), process.communicate()
    for pid in site.workers():
        os.kill(pid, signal.SIGKILL)
    gate.touch()
    said = platform_command.end(process)
    assert said.status == 0, said
    assert facts(said) == {"results": 400_000, "keys": 100, "counts": [4_000]}
    job = site.job(site.streamctl("list", "--json").last["jobs"][0]["job_id"])
    assert job is not None and job.name == "collecting"
    assert any(not lane.attempt.endswith(".0") for lane in job.lanes.values()), "none was killed in time"


def test_a_failed_job_ends_the_script_with_the_users_traceback(site: Site) -> None:
    said = run(site, "submit", "raising")
    assert said.status == 1, said
    assert "ValueError: seven" in said.stderr and "in raising" in said.stderr
    assert "[job-failed]" in said.stderr and "streamctl/" not in said.stderr


@pytest.mark.parametrize("how", ["submit", "python"])
def test_a_job_client_tells_follows_and_cancels(site: Site, how: str) -> None:
    said = run(site, how, "client")
    assert said.status == 0, said
    first, last = [json.loads(line) for line in said.stdout.splitlines() if line.startswith("{")]
    assert (first["status"], first["done"]) == ("RUNNING", False)
    assert last == {"status": "CANCELED", "result": "CANCELED", "id": True}
