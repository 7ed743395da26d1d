"""docs/internals/control.md shows the tables that the code runs on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from headrace.jobmaster.status import TRANSITIONS
from headrace.taskmanager.draft import EDGES

PAGE = Path(__file__).parents[3] / "docs" / "internals" / "control.md"


def table(edges: Mapping[str, Iterable[str]]) -> str:
    rows = [f"| {before} | {', '.join(sorted(after))} |" for before, after in edges.items() if after]
    return "\n".join(["| from | to |", "|---|---|", *rows, ""])


def test_the_page_shows_every_edge_of_job_and_lane() -> None:
    text = PAGE.read_text()
    assert table(TRANSITIONS) in text
    assert table(EDGES) in text
