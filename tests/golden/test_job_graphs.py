"""What programs become: their JobGraphs, kept in job_graphs/.

A change of these files changes the uids, vertices or edges of running jobs' programs: look twice. To write them
anew: HEADRACE_UPDATE_GOLDEN=1 pytest tests/golden/test_job_graphs.py
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from headrace.datastream import StreamExecutionEnvironment
from headrace.graph.chaining import job_graph
from headrace.graph.job_graph import JobGraph

from .programs import PROGRAMS

FOLDER = Path(__file__).with_name("job_graphs")


def graph_of(name: str) -> JobGraph:
    env = StreamExecutionEnvironment()
    PROGRAMS[name](env)
    return job_graph(env.program().graph)


@pytest.mark.parametrize("name", PROGRAMS)
def test_program_has_its_job_graph(name: str) -> None:
    graph = graph_of(name)
    file = FOLDER / f"{name}.json"
    if os.environ.get("HEADRACE_UPDATE_GOLDEN"):
        body = graph.model_dump(mode="json", exclude_defaults=True)
        file.write_text(json.dumps(body, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    assert graph == JobGraph.model_validate_json(file.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", PROGRAMS)
def test_same_program_gives_the_same_job_graph(name: str) -> None:
    assert graph_of(name) == graph_of(name)


def test_every_golden_file_has_its_program() -> None:
    assert {file.stem for file in FOLDER.glob("*.json")} == set(PROGRAMS)
