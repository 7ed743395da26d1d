"""``streamctl config`` as people and programs see it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import click
import pytest
import typer
from typer.testing import CliRunner

from headrace.settings import Settings
from streamctl.app import app
from streamctl.commands.config import OPTIONS

#: Options of ``streamctl dispatcher`` and ``streamctl taskmanager`` that are named unlike their setting.
NAMED_OTHERWISE = {"id": "taskmanager_id"}
NO_SETTING = {"help", "set_"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "headrace.toml"
    path.write_text('redis = "redis://:hush@redis:6379/0"\nslots = 2\n[kafka]\nsasl.password = "hush"\n')
    return path


def run(*arguments: str, file: Path, **variables: str) -> tuple[int, str]:
    nothing = {name: None for name in os.environ if name.startswith("HEADRACE_")}
    fixed = {"HEADRACE_CONFIG": str(file), "HEADRACE_STATE_DIR": "/state", "HEADRACE_CACHE_DIR": "/cache"}
    environment = {**nothing, **fixed, "COLUMNS": "80", "NO_COLOR": "1", "TERM": "dumb", **variables}
    result = CliRunner().invoke(app, ["config", *arguments], env=environment, prog_name="streamctl")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def answer(*arguments: str, file: Path, **variables: str) -> Any:
    status, text = run(*arguments, "--json", file=file, **variables)
    assert status == 0, text
    return json.loads(text)


def test_show_tells_every_value_and_where_it_comes_from(file: Path) -> None:
    shown = answer("show", "--set", "namespace=mine", file=file, HEADRACE_SLOTS="3", HEADRACE_SLOTTS="1")
    values = {each.pop("name"): each for each in shown["settings"]}
    assert set(Settings.model_fields) - {"kafka"} <= values.keys()
    assert values["namespace"] == {"value": "mine", "from": "option", "where": "option namespace"}
    assert values["slots"] == {"value": 3, "from": "variable", "where": "HEADRACE_SLOTS"}
    assert values["redis"] == {"value": "redis://:***@redis:6379/0", "from": "file", "where": f"{file}:1"}
    assert values["kafka.sasl.password"] == {"value": "***", "from": "file", "where": f"{file}:4"}
    assert values["rest_port"] == {"value": 8081, "from": "default", "where": "default"}
    assert shown["files"] == [{"path": str(file), "exists": True}]
    assert shown["unknown_variables"] == ["HEADRACE_SLOTTS"]


def test_show_as_a_table_that_fits(file: Path) -> None:
    status, text = run("show", file=file, HEADRACE_SLOTTS="1")
    lines = [line.split() for line in text.splitlines()]
    assert status == 0 and ["state_dir", "HEADRACE_STATE_DIR", "/state"] in lines
    assert ["rest_port", "default", "8081"] in lines and "hush" not in text
    assert "HEADRACE_SLOTTS is set and is no setting; did you mean HEADRACE_SLOTS?" in text
    assert f"file 1  {file}" in text.replace("\n        ", "")
    assert ["slots", "file", "1,", "line", "2", "2"] in lines
    assert max(len(line) for line in text.splitlines()) <= 80


def test_explain_tells_all_about_one_setting(file: Path) -> None:
    told = answer("explain", "HEADRACE_SLOTS", file=file, HEADRACE_SLOTS="3")
    assert "worker processes" in told.pop("description")
    assert told == {
        "name": "slots",
        "type": "whole number, 1 to 256",
        "unit": "slots",
        "default": "4",
        "variable": "HEADRACE_SLOTS",
        "option": "--slots",
        "value": 3,
        "from": "variable",
        "where": "HEADRACE_SLOTS",
        "replaces": [{"value": 2, "from": "file", "where": f"{file}:2"}],
    }
    status, text = run("explain", "slots", file=file, HEADRACE_SLOTS="3")
    assert status == 0 and f"({file}:2)" in text.replace("\n           ", "")


def test_explain_of_a_kafka_option_shows_no_password(file: Path) -> None:
    told = answer("explain", "kafka.sasl.password", file=file)
    assert (told["value"], told["where"], told["option"]) == ("***", f"{file}:4", "--set kafka.sasl.password=VALUE")
    assert answer("explain", "kafka.linger.ms", file=file)["value"] is None


def test_explain_of_nothing_names_what_was_meant(file: Path) -> None:
    status, text = run("explain", "slot", file=file)
    assert status == 2 and "did you mean 'slots'?" in text and "[setting-unknown]" in text


def test_a_wrong_file_is_one_line(file: Path) -> None:
    file.write_text("slotts = 1\n")
    status, text = run("show", file=file)
    assert status == 2 and f"{file}:1: there is no setting 'slotts', did you mean 'slots'?" in text
    assert "Traceback" not in text


def test_every_option_of_a_process_is_a_setting_and_said_to_be_its_option() -> None:
    commands = typer.main.get_command(app)
    assert isinstance(commands, click.Group) or hasattr(commands, "commands")
    found = {}
    for command in ("dispatcher", "taskmanager"):
        for parameter in commands.commands[command].params:
            if parameter.name not in NO_SETTING:
                found[NAMED_OTHERWISE.get(parameter.name, parameter.name)] = parameter.opts[0]
    assert found.keys() <= Settings.model_fields.keys()
    assert OPTIONS == found | {"rest": "--rest"}
