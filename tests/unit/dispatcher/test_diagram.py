"""The diagram in the documentation is the table in the code."""

from __future__ import annotations

from pathlib import Path

from headrace.dispatcher.core import EDGES, Phase

PAGE = Path(__file__).parents[3] / "docs" / "internals" / "dispatcher.md"


def test_the_diagram_shows_the_edges():
    edges = [
        f"    {source.name} --> {target.name}: {event.__name__}"
        for event, edge in EDGES.items()
        for source, target in edge.items()
    ]
    assert "\n".join(["stateDiagram-v2", f"    [*] --> {Phase.ABSENT.name}", *edges]) in PAGE.read_text()
