"""docs/cli-json.md is what the models of --json say. HEADRACE_UPDATE_GOLDEN=1 writes it anew."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import typer
from pydantic import TypeAdapter
from tests.golden.test_cli_text import run

from headrace.embedded.cluster_files import ClusterSpec, ClusterState, Ports, ServiceState, ServiceStatus
from headrace.graph.job_graph import JobGraph
from headrace.rest.models import JobTopics, LogLine
from streamctl.app import app
from streamctl.json_schemas import SCHEMAS, ErrorReport, Report
from streamctl.local_cluster import ClusterHealth, ClusterReport

PAGE = Path(__file__).parents[2] / "docs" / "cli-json.md"
HEAD = """# What `--json` prints

With `--json` a command prints JSON objects on stdout, one a line, and nothing else. Fields may be added; none is
removed or changes its meaning within a major version. Times ending in `_ms` are milliseconds since 1970-01-01 in UTC,
unless the name says that they are a length. A field with a default may be left out.
"""
#: Described elsewhere, too long to repeat.
ELSEWHERE = {"JobGraph": "JobGraph ([the contract](contract/README.md))"}
#: They run until they are stopped, or print a script.
WITHOUT_JSON = {"dispatcher", "taskmanager", "completion"}


def type_of(schema: dict[str, Any]) -> str:
    """A JSON Schema in a few words."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return ELSEWHERE.get(name, name)
    if "anyOf" in schema:
        return " or ".join(type_of(each) for each in schema["anyOf"])
    if "allOf" in schema:
        return type_of(schema["allOf"][0])
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    match schema.get("type"):
        case "array":
            return f"list of {type_of(schema['items'])}"
        case "object" if isinstance(schema.get("additionalProperties"), dict):
            return f"object of {type_of(schema['additionalProperties'])}"
        case None:
            return "any value"
        case name:
            return str(name)


def one_line(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def fields(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return f"One of {type_of(schema)}.\n"
    rows = ["| field | type | means |", "|---|---|---|"]
    for name, field in schema.get("properties", {}).items():
        rows.append(f"| `{name}` | {type_of(field)} | {one_line(field.get('description', ''))} |")
    return "\n".join(rows) + "\n"


def page() -> str:
    parts = [HEAD]
    shared: dict[str, dict[str, Any]] = {}
    for command, model in SCHEMAS.items():
        schema = TypeAdapter(model).json_schema(mode="serialization")
        shared |= {name: each for name, each in schema.get("$defs", {}).items()}
        title = f"`{command} --json`" if "," not in command else command[0].upper() + command[1:]
        said = "" if model.__doc__ in (None, Report.__doc__) else one_line(model.__doc__ or "") + "\n\n"
        parts.append(f"## {title}\n\n{said}{fields(schema)}")
    graph = TypeAdapter(JobGraph).json_schema(mode="serialization").get("$defs", {})
    parts.append("## Objects in them\n")
    for name in sorted(shared.keys() - graph.keys() - {"JobGraph", "JsonValue"}):
        schema = shared[name]
        said = one_line(schema.get("description", ""))
        parts.append(f"### {name}\n\n{said}\n\n{fields(schema)}" if said else f"### {name}\n\n{fields(schema)}")
    return "\n".join(parts)


def test_the_page_says_what_the_models_say() -> None:
    if os.environ.get("HEADRACE_UPDATE_GOLDEN"):
        PAGE.write_text(page(), encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == page()


def commands_with_json() -> set[str]:
    """Every command line that has the option, as SCHEMAS names it."""
    found = set()

    def look(prefix: str, command: Any) -> None:
        for name, each in getattr(command, "commands", {}).items():
            look(f"{prefix}{name} ", each)
        if any("--json" in getattr(option, "opts", ()) for option in command.params):
            found.add(prefix.strip())

    look("", typer.main.get_command(app))
    return found


def test_every_command_with_json_has_its_model() -> None:
    assert commands_with_json() == {name for name in SCHEMAS if not name.startswith(("topics ", "show ", "any"))}
    every = set(typer.main.get_command(app).commands) - {"config"}  # type: ignore[attr-defined]
    assert every - {name.split()[0] for name in commands_with_json()} == WITHOUT_JSON


def test_models_of_the_command_line_know_every_field_they_print() -> None:
    """Else an undocumented field could slip out; REST's own models are kept by its tests."""
    own = [model for model in SCHEMAS.values() if model not in (JobTopics, LogLine)]
    assert ErrorReport in own and all(model.model_config.get("extra") == "forbid" for model in own)


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("version", 0),
        ("config show", 0),
        ("config explain slots", 0),
        ("config explain nothing", 2),
        ("status", 3),
        ("down", 0),
        ("health taskmanager", 3),
        ("list", 3),
    ],
)
def test_what_is_printed_has_its_documented_form(line: str, status: int, tmp_path: Path) -> None:
    found, printed = run(*line.split(), "--json", HEADRACE_STATE_DIR=str(tmp_path))
    assert found == status, printed
    answer = json.loads(printed)
    name = "any, when it fails" if "error" in answer else " ".join(line.split()[: 2 if "config" in line else 1])
    SCHEMAS[name].model_validate(answer)


def test_the_report_of_a_cluster_that_is_up_has_its_documented_form(tmp_path: Path) -> None:
    spec = ClusterSpec(
        name="default",
        directory=tmp_path,
        namespace="headrace",
        platform=True,
        slots=4,
        ports=Ports(kafka=1, controller=2, redis=3, rest=4),
        java=tmp_path,
        java_version="25",
        jars=(),
        redis_server=tmp_path,
        cache_dir=tmp_path,
        aot_cache=None,
    )
    healthy = ServiceStatus(state=ServiceState.HEALTHY, pid=os.getpid(), starts=1)
    state = ClusterState(supervisor=healthy, services={"kafka": healthy}, warnings=("slow disk",))
    report = ClusterReport("default", ClusterHealth.HEALTHY, spec, state, {"supervisor": True, "kafka": True}).json()
    SCHEMAS["status"].model_validate(report)
    SCHEMAS["up"].model_validate({**report, "start_s": 1.5})
