"""The programs of docs/connectors.md and of connector READMEs run as they stand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from headrace.datastream.execution import executor_installed
from headrace.testing.stepped import SteppedCluster

ROOT = Path(__file__).parents[3]
PAGES = [ROOT / "docs" / "connectors.md", *sorted((ROOT / "connectors").rglob("README.md"))]
BLOCKS = [
    pytest.param(block, id=f"{page.parent.name}/{page.name}-{number}")
    for page in PAGES
    for number, block in enumerate(re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL))
]


@pytest.mark.parametrize("program", BLOCKS)
def test_a_program_of_the_documentation_runs(program: str) -> None:
    cluster = SteppedCluster()
    with executor_installed(cluster):
        exec(compile(program, "<documentation>", "exec"), {"__name__": "documentation"})
    if cluster.jobs:
        (job,) = cluster.jobs
        job.run(lambda: job.finished() or len(cluster.printed) >= 10)
        assert cluster.printed
