"""What people see of streamctl, letter by letter: help, tables, errors.

HEADRACE_UPDATE_GOLDEN=1 writes the files anew; read the difference before committing it.
"""

from __future__ import annotations

import os
import re
from io import StringIO
from pathlib import Path

import pytest
import typer
from rich.console import Console, RenderableType
from typer.testing import CliRunner

from headrace import errors
from headrace.graph.job_graph import JobGraph, Operator, OperatorKind, Vertex
from headrace.protocol.control import Assignment, Failure, JobRecord, LaneMetrics, LaneStatus, TaskManagerRecord
from headrace.protocol.states import JobStatus, LaneState
from streamctl.app import app
from streamctl.commands.doctor import EXIT_SICK
from streamctl.job_tables import job_page, jobs_table
from streamctl.workers import places_of

GOLDEN = Path(__file__).parent / "cli"
COMMANDS = [
    "submit",
    "list",
    "top",
    "show",
    "cancel",
    "logs",
    "topics",
    "up",
    "down",
    "status",
    "dispatcher",
    "taskmanager",
    "health",
    "doctor",
    "completion",
    "version",
    "config",
]
SUBCOMMANDS = ["config show", "config explain"]


def check(name: str, text: str) -> None:
    path = GOLDEN / name
    tidy = "".join(line.rstrip() + "\n" for line in text.splitlines())
    if os.environ.get("HEADRACE_UPDATE_GOLDEN"):
        path.write_text(tidy, encoding="utf-8")
    assert tidy == path.read_text(encoding="utf-8")


def run(*arguments: str, columns: int = 80, **environment: str) -> tuple[int, str]:
    """Exit status, and what stdout and stderr showed."""
    fixed = {"COLUMNS": str(columns), "NO_COLOR": "1", "TERM": "dumb", "HEADRACE_STATE_DIR": "/nonexistent"}
    nothing = {name: None for name in os.environ if name.startswith("HEADRACE_")}
    result = CliRunner().invoke(app, list(arguments), env={**nothing, **fixed, **environment}, prog_name="streamctl")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


@pytest.mark.parametrize("command", COMMANDS + SUBCOMMANDS)
def test_help_of_a_command(command: str) -> None:
    status, text = run(*command.split(), "--help")
    assert status == 0
    check(f"help-{command.replace(' ', '-')}.txt", text)


def test_help() -> None:
    status, text = run("--help")
    assert status == 0
    check("help.txt", text)
    assert [line.split()[0] for line in text.splitlines() if line.startswith("  ") and line[2].islower()] == [
        *COMMANDS
    ]


def test_every_command_has_a_golden_help() -> None:
    every = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    assert set(every) == set(COMMANDS)
    assert {f"config {name}" for name in every["config"].commands} == set(SUBCOMMANDS)


# ---- tables

NOW_MS = 1_700_000_000_000
FLIGHTS = JobRecord(
    job_id="3f2a9c0d1e2b3c4d5e6f708192a3b4c5",
    name="departure delays per carrier and day",
    status=JobStatus.RUNNING,
    reason="waiting for 1 slot: 0 of 3 free since 10:15:20, a TaskManager with a free slot is needed",
    slots_needed=2,
    submitted_ms=NOW_MS - 3_999_000,
    started_ms=NOW_MS - 3_990_000,
    lanes={
        "v1/0": LaneStatus(attempt="0.1", state=LaneState.RUNNING),
        "v1/1": LaneStatus(
            attempt="1.0", state=LaneState.SCHEDULED, reason="waiting for 1 slot: 0 of 3 free since 10:15:20"
        ),
        "v2/0": LaneStatus(attempt="0.1", state=LaneState.RUNNING),
    },
    assignments={
        "v1/0": Assignment(taskmanager="build-host-7f31a", slot=0, attempt=0),
        "v2/0": Assignment(taskmanager="build-host-7f31a", slot=0, attempt=0),
    },
)
TASKMANAGER = TaskManagerRecord(
    id="build-host-7f31a",
    instance="a1",
    counter=9,
    host="build-host",
    pid=4000,
    slots=3,
    occupied={"0": FLIGHTS.job_id, "1": "c" * 32},
    workers={"0": 4711, "1": 4712},
    at_ms=NOW_MS,
    headrace="0.1.0",
    python="3.11.7",
)
WORKERS = places_of(FLIGHTS, [TASKMANAGER])
FAILED = JobRecord(
    job_id="0b" * 16,
    name="counts",
    status=JobStatus.FAILED,
    reason="v1/0: ValueError: bad row",
    slots_needed=1,
    submitted_ms=NOW_MS - 90_000_000,
    started_ms=NOW_MS - 90_000_000,
    ended_ms=NOW_MS - 89_940_000,
    failure=Failure(
        error="ValueError: bad row",
        traceback='Traceback (most recent call last):\n  File "job.py", line 12, in parse\nValueError: bad row\n',
        user=True,
        lane="v1/0",
    ),
)
METRICS = {
    "v1/0": LaneMetrics(
        attempt="0.1", records_in=1_234_567, records_in_per_s=64_123.4, lag=12_345_678, watermark_ms=1_357_034_400_000
    ),
    "v2/0": LaneMetrics(
        attempt="0.1",
        records_in=98_765,
        records_in_per_s=987,
        watermark_ms=2**63 - 1,
        reason="waiting for readers of e2",
    ),
}
GRAPH = JobGraph(
    vertices=tuple(
        Vertex(
            id=f"v{n}",
            name=name,
            operators=(Operator(uid=f"o{n}", kind=OperatorKind.KAFKA_SOURCE, name=name),),
            parallelism=lanes,
            lanes=lanes,
        )
        for n, name, lanes in ((1, "Source: flights -> Timestamps/Watermarks", 2), (2, "Source: airlines", 1))
    )
)


def drawn(renderable: RenderableType, columns: int) -> str:
    console = Console(width=columns, file=StringIO(), color_system=None)
    console.print(renderable, highlight=False)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("columns", [80, 200])
def test_table_of_jobs(columns: int) -> None:
    check(f"list-{columns}.txt", drawn(jobs_table([FAILED, FLIGHTS], NOW_MS, columns), columns))


@pytest.mark.parametrize("columns", [80, 200])
def test_page_of_a_running_job(columns: int) -> None:
    check(f"show-running-{columns}.txt", drawn(job_page(FLIGHTS, GRAPH, METRICS, NOW_MS, WORKERS), columns))


def test_page_of_a_failed_job() -> None:
    check("show-failed-80.txt", drawn(job_page(FAILED, None, {}, NOW_MS, {}), 80))


def test_table_without_jobs() -> None:
    check("list-empty.txt", drawn(jobs_table([], NOW_MS, 80), 80))


@pytest.mark.parametrize("columns", [80, 120, 200])
def test_no_line_is_wider_than_the_terminal(columns: int) -> None:
    for page in (jobs_table([FAILED, FLIGHTS], NOW_MS, columns), job_page(FLIGHTS, GRAPH, METRICS, NOW_MS, WORKERS)):
        assert max(len(line) for line in drawn(page, columns).splitlines()) <= columns


# ---- errors: what was typed, its exit status, what was said

ERRORS = {
    "no cluster": (3, ["list"], {}),
    "no cluster, JSON": (3, ["list", "--json"], {}),
    "broker away": (3, ["logs", "0" * 32, "--bootstrap", "127.0.0.1:1"], {}),
    "REST away": (3, ["show", "flights", "--bootstrap", "127.0.0.1:1", "--rest", "127.0.0.1:1"], {}),
    "address": (2, ["cancel", "0" * 32, "--bootstrap", "kafka"], {}),
    "scheme of REST": (2, ["list", "--bootstrap", "127.0.0.1:1", "--rest", "ftp://x"], {}),
    "variable": (2, ["list"], {"HEADRACE_REST_PORT": "many"}),
    "script missing": (2, ["submit", "nowhere.py", "--bootstrap", "127.0.0.1:1"], {}),
    "definition": (2, ["submit", "nowhere.py", "-D", "x"], {}),
    "job id": (2, ["submit", "nowhere.py", "--job-id", "12"], {}),
    "unknown option": (2, ["list", "--al"], {}),
    "unknown command": (2, ["lst"], {}),
}


def test_errors_and_exit_statuses() -> None:
    shown = []
    for name, (wanted, arguments, environment) in ERRORS.items():
        status, text = run(*arguments, **environment)
        assert status == wanted, (name, text)
        shown.append(f"# {name}\n$ streamctl {' '.join(arguments)}\n{text}exit status {status}\n")
    check("errors.txt", "\n".join(shown))


def test_the_exit_statuses_of_the_documentation_are_those_of_the_code() -> None:
    page = (Path(__file__).parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| (\d+) +\|", page.partition("## Exit statuses")[2].partition("##")[0], re.MULTILINE)
    assert sorted(map(int, listed)) == sorted(v for name, v in vars(errors).items() if name.startswith("EXIT_"))
    assert str(EXIT_SICK) in listed


@pytest.mark.parametrize("columns", [80, 200])
@pytest.mark.parametrize("line", ["config show", "config explain slots", "health taskmanager", "status"])
def test_texts_of_settings_and_health(line: str, columns: int) -> None:
    settings = {"HEADRACE_CONFIG": "", "HEADRACE_CACHE_DIR": "/var/cache/headrace", "HEADRACE_SLOTS": "6"}
    status, text = run(*line.split(), columns=columns, **settings)
    assert max(len(each) for each in text.splitlines()) <= columns
    check(f"{line.replace(' ', '-')}-{columns}.txt", f"{text}exit status {status}\n")
