"""Markdown pages as tests see them: blocks with their marks, links, headings.

A mark is an HTML comment on the line above a block; readers do not see it.

    <!-- file: NAME -->       the block is the content of that file, in the folder where commands run
    <!-- run -->              the block is typed into a shell; every command must succeed
    <!-- run: exit N -->      the last command's exit status must be N
    <!-- run: until shown --> the block is typed again until it prints what the next block shows
    <!-- run: if COMMAND -->  left out, with what it shows, where there is no such command; "if COMMAND, until shown"
    <!-- shown -->            what the run before must have printed, line by line
    <!-- shown: any order --> the same, lines in any order
    <!-- program -->          a whole program; `python program.py` must end with status 0, and print what is shown

In a shown block "..." stands for any text, and a line of "..." alone for any lines; runs of blanks are equal.
A block without a mark is only read: Python must compile, JSON must parse.
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[1]
MARKS = frozenset({"file", "run", "shown", "program"})
_MARK = re.compile(r"<!--\s*(\w+)(?::\s*(.+?))?\s*-->\s*")
_ANYTHING = "..."


@dataclass(frozen=True)
class Mark:
    """What a test is to do with a block."""

    kind: str
    argument: str = ""


@dataclass(frozen=True)
class Block:
    """One fenced block of a page."""

    page: Path
    line: int  #: of the fence, from 1
    language: str
    text: str
    mark: Mark | None

    @property
    def id(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


@dataclass(frozen=True)
class Link:
    """One link or image of a page."""

    line: int
    target: str


def pages() -> list[Path]:
    """Every markdown page of the repository."""
    found = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    return [ROOT / name for name in sorted(set(found)) if (ROOT / name).exists()]


def blocks(page: Path) -> list[Block]:
    """The page's fenced blocks in order."""
    found: list[Block] = []
    mark: Mark | None = None
    for token in _tokens(page):
        line = token.map[0] + 1 if token.map else 0
        if token.type == "html_block":
            mark = _mark_of(token.content, f"{page.name}:{line}")
        elif token.type == "fence":
            found.append(Block(page, line, token.info.strip(), token.content, mark))
            mark = None
        elif mark is not None:
            raise AssertionError(f"{page.name}:{line}: a mark must stand right above a block")
    return found


def links(page: Path) -> list[Link]:
    """The page's links and images, those in code left out."""
    found: list[Link] = []
    for token in _tokens(page):
        line = token.map[0] + 1 if token.map else 0
        for child in token.children or []:
            target = child.attrGet("href") or child.attrGet("src")
            if target:
                found.append(Link(line, str(target)))
    return found


def anchors(page: Path) -> set[str]:
    """Names of the page's headings as links have them."""
    tokens = _tokens(page)
    headings = [
        after.content for token, after in zip(tokens, tokens[1:], strict=False) if token.type == "heading_open"
    ]
    return {re.sub(r"\s+", "-", re.sub(r"[^\w\s-]", "", heading.lower()).strip()) for heading in headings}


def missing_lines(shown: Block, output: str) -> list[str]:
    """Lines of a shown block that the output does not have where it must."""
    lines = [_plain(line) for line in output.splitlines() if line.strip()]
    wanted = [_plain(line) for line in shown.text.splitlines() if line.strip()]
    assert shown.mark is not None
    if shown.mark.argument == "any order":
        return [line for line in wanted if line != _ANYTHING and not any(_fits(line, each) for each in lines)]
    at, anywhere = 0, False
    for line in wanted:
        if line == _ANYTHING:
            anywhere = True
            continue
        places = range(at, len(lines) if anywhere else min(at + 1, len(lines)))
        place = next((n for n in places if _fits(line, lines[n])), None)
        if place is None:
            return [line]
        at, anywhere = place + 1, False
    return [] if anywhere or at == len(lines) else [f"(nothing more) instead of: {lines[at]}"]


def _fits(pattern: str, line: str) -> bool:
    return re.fullmatch(".*".join(map(re.escape, pattern.split(_ANYTHING))), line) is not None


def _plain(line: str) -> str:
    return re.sub(r"\s+", " ", line).strip()


def _tokens(page: Path) -> list:
    return MarkdownIt("commonmark").enable("table").parse(page.read_text(encoding="utf-8"))


def _mark_of(comment: str, where: str) -> Mark | None:
    match = _MARK.fullmatch(comment)
    if match is None:
        return None
    if match[1] not in MARKS:
        raise AssertionError(f"{where}: no such mark: {comment.strip()}")
    return Mark(match[1], match[2] or "")
