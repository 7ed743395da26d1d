"""Documentation holds together: links lead somewhere, code compiles, programs run and print what they show."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest
from tests.documents import ROOT, Block, anchors, blocks, links, missing_lines, pages

PAGES = pages()
DOCS = ROOT / "docs"
BLOCKS = [block for page in PAGES for block in blocks(page)]
RUN_S = 60.0


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def of_language(language: str) -> list[object]:
    return [pytest.param(block, id=block.id) for block in BLOCKS if block.language == language]


def programs() -> list[object]:
    """Marked programs with the block that shows what they print, None when none follows."""
    found = []
    for block, after in zip(BLOCKS, [*BLOCKS[1:], None], strict=True):
        if block.mark is not None and block.mark.kind == "program":
            shown = after if after is not None and after.mark is not None and after.mark.kind == "shown" else None
            found.append(pytest.param(block, shown, id=block.id))
    return found


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for link in links(page):
        if re.match(r"[a-z]+:", link.target):
            continue
        path, _, anchor = unquote(link.target).partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists():
            broken.append(f"line {link.line}: {link.target}: no such file")
        elif anchor and target.suffix == ".md" and anchor not in anchors(target):
            broken.append(f"line {link.line}: {link.target}: no such heading")
    assert broken == []


def test_every_page_is_reached_from_the_front_page() -> None:
    reached, todo = set(), [DOCS / "index.md"]
    while todo:
        page = todo.pop()
        if page in reached:
            continue
        reached.add(page)
        targets = [(page.parent / unquote(link.target.partition("#")[0])).resolve() for link in links(page)]
        todo += [target for target in targets if target.suffix == ".md" and target.is_file()]
    assert [name(page) for page in PAGES if page.is_relative_to(DOCS) and page not in reached] == []


def test_the_index_of_decisions_has_every_decision_by_its_title() -> None:
    index = (DOCS / "decisions" / "README.md").read_text(encoding="utf-8")
    listed = {(title, target) for title, target in re.findall(r"\[([^]]+)\]\(([^)]+)\)", index)}
    there = set()
    for page in (DOCS / "decisions").glob("*.md"):
        if page.name != "README.md":
            there.add((page.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# "), page.name))
    assert listed == there


@pytest.mark.parametrize("block", of_language("python"))
def test_python_compiles(block: Block) -> None:
    compile(block.text, block.id, "exec")


@pytest.mark.parametrize("block", of_language("json"))
def test_json_parses(block: Block) -> None:
    json.loads(block.text)


@pytest.mark.parametrize("block", of_language("sh"))
def test_shell_is_shell(block: Block) -> None:
    subprocess.run(["bash", "-n"], input=block.text, text=True, check=True)


@pytest.mark.parametrize(("program", "shown"), programs())
def test_a_program_runs_and_prints_what_is_shown(program: Block, shown: Block | None, tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text(program.text, encoding="utf-8")
    nothing_of_ours = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
    ended = subprocess.run(
        [sys.executable, str(script)],
        cwd=tmp_path,
        env=nothing_of_ours | {"HEADRACE_STATE_DIR": str(tmp_path / "state")},
        capture_output=True,
        text=True,
        timeout=RUN_S,
    )
    assert ended.returncode == 0, ended.stderr
    assert shown is None or not missing_lines(shown, ended.stdout), ended.stdout


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-f", str(ROOT / ".ci" / "mkdocs.yml")]
    built = subprocess.run([*command, "-d", str(tmp_path)], capture_output=True, text=True, timeout=RUN_S)
    assert built.returncode == 0, built.stderr
    assert (tmp_path / "index.html").exists()


@pytest.mark.parametrize(
    ("shown", "printed", "missing"),
    [
        ("one\n...\nfour", "one\ntwo\nthree\nfour\n", []),
        ("one\nfour", "one\ntwo\nfour\n", ["four"]),
        ("one", "one\ntwo\n", ["(nothing more) instead of: two"]),
        ("job ... RUNNING", "job  4711   RUNNING\n", []),
        ("job ... RUNNING", "job 4711 FAILED\n", ["job ... RUNNING"]),
    ],
)
def test_shown_lines_are_compared_in_order(shown: str, printed: str, missing: list[str], tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"<!-- shown -->\n```text\n{shown}\n```\n", encoding="utf-8")
    (block,) = blocks(page)
    assert missing_lines(block, printed) == missing
