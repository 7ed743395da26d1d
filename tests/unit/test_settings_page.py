"""docs/settings.md says what the model says, and every setting and variable is really used.

HEADRACE_UPDATE_GOLDEN=1 writes the page anew.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from headrace.setting_facts import Fact, facts
from headrace.setting_sources import CONFIG_VARIABLE, INTERNAL_VARIABLES, TABLE, variable_of
from headrace.settings import Settings, load_settings
from streamctl.commands.config import option_of

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "settings.md"
SOURCES = sorted(p for root in ("platform", "connectors", "cli") for p in (ROOT / root).rglob("*.py"))
#: The model and what reads it.
ABOUT_SETTINGS = {"settings.py", "setting_sources.py", "setting_facts.py", "config.py"}
#: What a name of a setting may end with when it has a unit.
UNITS = {"seconds": "_s", "milliseconds": "_ms", "bytes": "_bytes", "slots": "slots", "partitions": "_partitions"}

HEAD = """# Settings

One model for every process and for `streamctl`. A value comes from, the strongest first:

1. an option: `--bootstrap`, `--rest-port`, ...; `streamctl dispatcher` and `streamctl taskmanager` take any setting
   as `--set NAME=VALUE`;
2. a variable, `HEADRACE_<NAME>`; an empty one says nothing;
3. a file: `~/.config/headrace/headrace.toml`, then `/etc/headrace/headrace.toml`; or, instead of both, the file that
   `HEADRACE_CONFIG` names (empty: no file);
4. the default.

`streamctl config show` tells each value and where it comes from, `streamctl config explain NAME` all about one.
Neither prints a password. A key that is no setting, a wrong value, or a file that cannot be read is an error that
names file and line; nothing is ignored silently. `streamctl config show` also names `HEADRACE_` variables that are
set and mean nothing.

```toml
# /etc/headrace/headrace.toml
bootstrap = "kafka-1:9092,kafka-2:9092,kafka-3:9092"
redis = "rediss://redis:6379/0"
slots = 8

[kafka] # librdkafka's options, for every client
security.protocol = "SASL_SSL"
sasl.mechanism = "SCRAM-SHA-512"
sasl.username = "headrace"
```

Secrets are better given as variables, for example `HEADRACE_KAFKA__SASL_PASSWORD` and `HEADRACE_REST_TOKEN`, by
whatever keeps secrets where you run: a systemd `EnvironmentFile` that only root may read, a container's secret.

`kafka` is the one setting that is a table. It is merged entry by entry: a file may hold the protocol and a variable
the password. In a variable's name `_` stands for the dot of librdkafka's name; all of them at once are
`HEADRACE_KAFKA`, a JSON object.

`streamctl up` gives the settings that it was started with to the processes of the local cluster, without `kafka`;
its own addresses take the place of the addresses given.
"""
TAIL = """
Headrace sets {internal} for its own processes; they are no settings.
"""


def page() -> str:
    internal = " and ".join(f"`{name}` ({what})" for name, what in INTERNAL_VARIABLES.items())
    return HEAD + "".join(section(each) for each in facts()) + TAIL.format(internal=internal)


def section(about: Fact) -> str:
    rows = {
        "takes": about.type + (f", in {about.unit}" if about.unit and about.unit not in about.type else ""),
        "default": "unset" if about.default is None else f"`{about.default}`",
        "variable": f"`{about.variable}`",
        "option": f"`{option_of(about.name) if about.name != TABLE else '--set kafka.OPTION=VALUE'}`",
    }
    width = max(len(value) for value in rows.values())
    table = "".join(f"| {name:8} | {value:{width}} |\n" for name, value in rows.items())
    blank = f"| {'':8} | {'':{width}} |\n|{'-' * 10}|{'-' * (width + 2)}|\n"
    return f"\n## {about.name}\n\n{about.description}\n\n{blank}{table}"


def test_the_page_says_what_the_model_says() -> None:
    if os.environ.get("HEADRACE_UPDATE_GOLDEN"):
        PAGE.write_text(page(), encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == page()


def test_the_example_of_the_page_is_a_settings_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [example] = re.findall(r"```toml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "example.toml").write_text(example)
    monkeypatch.setenv("HEADRACE_CONFIG", str(tmp_path / "example.toml"))
    settings = load_settings()
    assert settings.kafka["sasl.mechanism"] == "SCRAM-SHA-512" and settings.slots == 8


@pytest.mark.parametrize("about", facts(), ids=lambda about: about.name)
def test_every_setting_is_described_and_its_unit_stands_last(about: Fact) -> None:
    assert re.fullmatch(r"[A-Z].*\.", about.description)
    assert about.name.endswith(UNITS[about.unit]) if about.unit else not about.name.endswith(("_s", "_ms", "_bytes"))


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_used(name: str) -> None:
    used = re.compile(rf"settings\.{name}\b")
    assert [p for p in SOURCES if p.name not in ABOUT_SETTINGS and used.search(p.read_text(encoding="utf-8"))]


def test_every_variable_that_is_named_anywhere_is_one() -> None:
    """In the code, the packaging and the documentation; those of tests and contributors begin otherwise."""
    files = [
        *SOURCES,
        ROOT / "Dockerfile",
        ROOT / "compose.yaml",
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "docs").rglob("*.service"),
        *(ROOT / "README.md",),
    ]
    known = {variable_of(name) for name in Settings.model_fields} | INTERNAL_VARIABLES.keys() | {CONFIG_VARIABLE}
    unknown = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in files
        for name in re.findall(r"\bHEADRACE_[A-Z_]*[A-Z]\b", path.read_text(encoding="utf-8"))
        if name.partition("__")[0] not in known and not name.startswith("HEADRACE_TEST_")
    }
    assert unknown == set()


def test_variables_are_read_by_the_model_and_by_workers_only() -> None:
    """A process that read one on its own would not see files and options."""
    reads = re.compile(r"environ(?:\.get\(|\[)\s*[\"']HEADRACE_|getenv\(\s*[\"']HEADRACE_")
    found = [p.name for p in SOURCES if reads.search(p.read_text(encoding="utf-8"))]
    assert found == ["worker.py"]
