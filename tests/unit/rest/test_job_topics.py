"""Which topics a job has, in which role, and whose hints tell how far they are read."""

from __future__ import annotations

from typing import Any

from tests.unit.rest import registry
from tests.unit.rest.registry import JOB

from headrace.graph.job_graph import JobGraph
from headrace.protocol.topics import Topics
from headrace.rest.job_topics import uses_of

TOPICS = Topics("t")
OWN_GROUP = f"t.{JOB}.1"


def found(graph: JobGraph) -> list[tuple[Any, ...]]:
    return [(use.role.value, use.name, use.group, use.of) for use in uses_of(TOPICS, registry.job(), graph)]


def with_source(**params: Any) -> JobGraph:
    """The graph with other parameters of its source."""
    graph = registry.SUBMIT.graph.model_dump(mode="json")
    graph["vertices"][0]["operators"][0]["params"] = params
    return JobGraph.model_validate(graph)


def test_every_topic_of_a_job() -> None:
    assert found(registry.SUBMIT.graph) == [
        ("source", "words", "g", ["Source: words"]),
        ("source", "more", "g", ["Source: words"]),
        ("sink", "counts", None, ["Sink: counts"]),
        ("exchange", f"t.x.{JOB}.1.e1", OWN_GROUP, ["e1"]),
        ("lane-log", f"t.s.{JOB}.1.v1", None, ["v1"]),
        ("lane-log", f"t.s.{JOB}.1.v2", None, ["v2"]),
    ]


def test_a_pattern_is_shown_and_not_tried() -> None:
    graph = with_source(topic_pattern="(a+)+b", group_id="g")
    assert found(graph)[0] == ("source-pattern", "(a+)+b", "g", ["Source: words"])


def test_a_source_without_a_group_uses_the_jobs_own() -> None:
    assert found(with_source(topics=["words"]))[0][2] == OWN_GROUP
    assert found(with_source(topics=["words"], group_id="g", commit_offsets=False))[0][2] is None


def test_where_undecodable_records_go() -> None:
    graph = with_source(topics=["words"], group_id="g", dead_letter_topic="aside")
    assert found(graph)[1] == ("dead-letters", "aside", None, ["Source: words"])


def test_nonsense_in_a_graph_is_no_topic() -> None:
    roles = [use[0] for use in found(with_source(topics="words", group_id=5, dead_letter_topic=7))]
    assert roles == ["sink", "exchange", "lane-log", "lane-log"]
