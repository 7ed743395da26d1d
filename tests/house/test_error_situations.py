"""The table of situations names tests that exist, and agrees with the pages of its codes."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest
from tests.house.error_situations import SITUATIONS, Situation, table

ROOT = Path(__file__).parents[2]
ERRORS = ROOT / "docs" / "errors"


@cache
def functions(file: str) -> dict[str, str]:
    """Test functions of a file, with their source."""
    text = (ROOT / file).read_text(encoding="utf-8")
    found = [each for each in ast.walk(ast.parse(text)) if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)]
    return {each.name: ast.get_source_segment(text, each) or "" for each in found if each.name.startswith("test_")}


def what(situation: Situation) -> str:
    return situation.what


def test_the_table_is_in_the_index() -> None:
    assert table() in (ERRORS / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("situation", SITUATIONS, ids=what)
def test_its_tests_exist_and_check_something(situation: Situation) -> None:
    for test in situation.tests:
        file, _, name = test.partition("::")
        source = functions(file).get(name)
        assert source is not None, test
        assert "assert" in source or "pytest.raises" in source


@pytest.mark.parametrize("situation", SITUATIONS, ids=what)
def test_its_page_exists_and_names_the_exit_status(situation: Situation) -> None:
    if situation.code is None:
        assert situation.exit_status is None
        return
    page = (ERRORS / f"{situation.code}.md").read_text(encoding="utf-8")
    statuses = re.search(r"[Ee]xit status ([^\n]*)", page)
    assert statuses is not None, situation.code
    assert str(situation.exit_status) in re.findall(r"\d+", statuses[1]), statuses[0]


@pytest.mark.parametrize("situation", [each for each in SITUATIONS if each.exit_status is not None], ids=what)
def test_its_exit_status_is_checked_where_a_command_is_run(situation: Situation) -> None:
    """A test that runs ``streamctl`` compares the status; the rest check the error itself."""
    for test in situation.tests:
        file, _, name = test.partition("::")
        source = functions(file)[name]
        if "streamctl(" in source and "submit" in source:
            assert re.search(rf"(status|returncode)\b[^\n]*\b{situation.exit_status}\b", source), test
