"""Rules of the house that no linter knows."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE_ROOTS = ("platform", "connectors", "cli")
SOURCES = sorted(p for root in SOURCE_ROOTS for p in (ROOT / root).rglob("*.py"))
LINES_MAX = 600


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_source_roots_hold_packages_only() -> None:
    """A module directly in ``platform/`` would shadow the standard library's."""
    assert [relative(p) for root in SOURCE_ROOTS for p in (ROOT / root).glob("*.py")] == []


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_a_file_is_one_idea_of_bounded_length(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= LINES_MAX


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_every_module_says_what_it_is_for(path: Path) -> None:
    text = path.read_text()
    assert not text.strip() or ast.get_docstring(ast.parse(text))


def test_no_dumping_grounds() -> None:
    banned = {"utils", "util", "helpers", "misc", "base", "tools"}
    pyflinks = {"platform/headrace/datastream/connectors/base.py"}  # programs import from modules of these names
    assert [relative(p) for p in SOURCES if p.stem in banned and relative(p) not in pyflinks] == []


def test_time_and_randomness_are_read_in_few_places() -> None:
    """Pure cores are given time and ids."""
    pure = [p for p in SOURCES if p.name == "core.py" or "eventtime" in p.parts or "graph" in p.parts]
    calls = re.compile(r"\b(time\.(time|monotonic|sleep)|random\.|uuid4|os\.environ)")
    assert [relative(p) for p in pure if calls.search(p.read_text())] == []


def test_nothing_committed_names_a_machine_or_a_registry() -> None:
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    banned = re.compile(
        r"/work/|/root/|/tmp/w/|pypi\.org|files\.pythonhosted|repo1?\.maven|(?<!emit-)index-url|artifactory"
    )
    found = []
    for name in files:
        path = ROOT / name
        if path == Path(__file__) or not path.is_file() or path.suffix == ".lock":
            continue
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            if banned.search(line):
                found.append(f"{name}:{number}: {line.strip()[:100]}")
    assert found == []


def test_every_error_code_has_a_page() -> None:
    """Codes are the first argument of our error classes; docs/errors/<code>.md explains each."""
    pattern = re.compile(
        r"(?:UsageError|UnavailableError|StillWaitingError|JobFailedError|HeadraceError)\(\s*\"([a-z0-9-]+)\""
    )
    codes = {code for p in SOURCES for code in pattern.findall(p.read_text())}
    pages = {p.stem for p in (ROOT / "docs" / "errors").glob("*.md")}
    assert sorted(codes - pages) == []
