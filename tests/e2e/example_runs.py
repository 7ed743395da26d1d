"""Examples run both ways: ``python examples/X.py`` in a process, and ``streamctl submit`` to the platform."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
from tests.accounting import read_committed
from tests.documents import ROOT
from tests.e2e.platform_site import Site

from streamctl.client import JobLogs
from streamctl.kafka import Connection

WAIT_S = 120.0
LINES_S = 30.0
#: What print puts before a line: label, lane, or both.
_BEFORE = re.compile(r"(?:(\w*)(?::?\d+)?> )?(.*)")

Printed = list[tuple[str, Any]]


def example(name: str) -> Path:
    return ROOT / "examples" / name


def environment(site: Site) -> dict[str, str]:
    """Variables of a shell in which ``streamctl up`` started the platform, under the name that it gives it."""
    state = site.directory / "up"
    default = state / "clusters" / "default"
    if not default.exists():
        default.parent.mkdir(parents=True)
        default.symlink_to(site.cluster.directory, target_is_directory=True)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
    return {**kept, "HEADRACE_STATE_DIR": str(state)}


def start_here(name: str, *arguments: str, variables: dict[str, str]) -> subprocess.Popen[str]:
    """``python examples/NAME``, in another folder than that of the example."""
    return subprocess.Popen(
        [sys.executable, example(name), *arguments],
        cwd="/",
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run_both(
    site: Site, name: str, here: tuple[str, ...], there: tuple[str, ...], *, lines: int = 0, parallelism: int = 2
) -> tuple[Printed, Printed]:
    """What the example printed here and there, run to its end both ways at the same time.

    ``here``, ``there``: its arguments. Waits for ``lines`` lines in the platform's logs.
    """
    process = start_here(name, *here, variables=environment(site))
    try:
        printed_there = _run_there(site, name, there, lines, parallelism)
        stdout, stderr = process.communicate(timeout=WAIT_S)
    finally:
        process.kill()
    assert process.returncode == 0, stderr
    return [printed(line) for line in stdout.splitlines()], printed_there


def _run_there(site: Site, name: str, arguments: tuple[str, ...], lines: int, parallelism: int) -> Printed:
    said = site.streamctl("submit", str(example(name)), "-p", str(parallelism), "--wait", "--json", "--", *arguments)
    assert (said.status, said.last["status"]) == (0, "FINISHED"), said
    job_id = said.last["job_id"]
    site.until(lambda: len(logged(site, job_id)) >= lines, f"{lines} lines of {name} are in the logs", LINES_S)
    return [printed(line) for line in logged(site, job_id)]


def logged(site: Site, job_id: str) -> list[str]:
    """What ``streamctl logs`` has of the job's print sinks and functions now."""
    with Connection(site.bootstrap, {}) as connection:
        messages = list(JobLogs(connection, site.namespace, job_id).stored())
    assert not any(message.dropped for message in messages)
    return [line for message in messages if message.stream == "stdout" for line in message.lines]


def printed(line: str) -> tuple[str, Any]:
    """(label, value) of a printed line; a value is read back where it is a Python literal."""
    match = _BEFORE.fullmatch(line)
    assert match is not None
    label, text = match[1] or "", match[2]
    return label, ast.literal_eval(text) if text[:1] in "({[" else text


def topic_rows(site: Site, topic: str) -> list[Any]:
    """The committed JSON records of a topic."""
    return [msgspec.json.decode(message.value()) for message in read_committed(site.bootstrap, topic)]
