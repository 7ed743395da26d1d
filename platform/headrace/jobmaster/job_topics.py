"""Topics of a job: those it must find, and those it makes for one incarnation.

sources and sinks    belong to others: checked, never created
exchanges            one per edge, a partition for each lane of the target
lane logs            one per vertex, a partition for each lane
results              of a job that collects for its client: one partition; the client deletes it when it has read
                     all, else it goes with the job's other traces
"""

from __future__ import annotations

import asyncio

from headrace.graph.job_graph import JobGraph, Operator, OperatorKind
from headrace.log.control import ControlLog
from headrace.protocol.topics import Topics

#: Records are removed by the lanes that have read them, never by age or size.
CONFIG = {
    "cleanup.policy": "delete",
    "retention.ms": "-1",
    "retention.bytes": "-1",
    "segment.bytes": str(16 * 1024 * 1024),
    "max.message.bytes": str(1024 * 1024),
}
#: Results that nobody fetches within a day are nobody's.
RESULTS_CONFIG = CONFIG | {"retention.ms": str(24 * 60 * 60 * 1000)}


def job_topics(topics: Topics, graph: JobGraph, job_id: str, incarnation: int) -> dict[str, int]:
    """Every topic of an incarnation with its partition count."""
    exchanges = {
        topics.exchange(job_id, incarnation, edge.id): graph.vertex(edge.target).lanes for edge in graph.edges
    }
    logs = {topics.lane_log(job_id, incarnation, vertex.id): vertex.lanes for vertex in graph.vertices}
    return exchanges | logs | dict.fromkeys(_results(topics, graph, job_id, incarnation), 1)


def _results(topics: Topics, graph: JobGraph, job_id: str, incarnation: int) -> list[str]:
    kinds = {operator.kind for vertex in graph.vertices for operator in vertex.operators}
    return [topics.results(job_id, incarnation)] if OperatorKind.COLLECT in kinds else []


async def create_job_topics(log: ControlLog, topics: Topics, graph: JobGraph, job_id: str, incarnation: int) -> None:
    """One request; topics that stand already are fine. Raises UsageError, LogUnavailableError."""
    wanted = job_topics(topics, graph, job_id, incarnation)
    results = _results(topics, graph, job_id, incarnation)
    await log.ensure_topics(wanted, dict.fromkeys(wanted, CONFIG) | dict.fromkeys(results, RESULTS_CONFIG))


async def delete_job_topics(
    log: ControlLog, topics: Topics, graph: JobGraph, job_id: str, incarnation: int, *, keep_results: bool = False
) -> None:
    """Topics that are gone already are fine. Raises LogUnavailableError; repeating is safe.

    ``keep_results``: the client may still be reading what the job collected.
    """
    kept = _results(topics, graph, job_id, incarnation) if keep_results else []
    await log.delete_topics([name for name in job_topics(topics, graph, job_id, incarnation) if name not in kept])


class MissingTopicsError(Exception):
    """Sources or sinks that do not exist; the text names each with the operator that needs it."""


async def source_partitions(log: ControlLog, graph: JobGraph) -> dict[str, dict[str, int]]:
    """Partition counts of every source topic by operator uid, after checking that sources and sinks exist.

    Raises MissingTopicsError, LogUnavailableError.
    """
    operators = [operator for vertex in graph.vertices for operator in vertex.operators]
    reads = {operator.uid: topics_read(operator) for operator in operators if topics_read(operator)}
    needs = [
        (topic, operator, role)
        for operator in operators
        for role, topics in (("source", topics_read(operator)), (_written_by(operator), topics_written(operator)))
        for topic in topics
    ]
    names = sorted({topic for topic, _, _ in needs})
    counts = dict(zip(names, await asyncio.gather(*map(log.partitions, names)), strict=True))
    missing = [f"{topic!r} ({role} {operator.name})" for topic, operator, role in needs if counts[topic] is None]
    if missing:
        raise MissingTopicsError(f"no such Kafka topic: {', '.join(dict.fromkeys(missing))}")
    return {uid: {topic: counts[topic] or 0 for topic in found} for uid, found in reads.items()}


def topics_read(operator: Operator) -> tuple[str, ...]:
    """Topics that a source names; those of a pattern are found by its lanes."""
    if operator.kind is not OperatorKind.KAFKA_SOURCE:
        return ()
    topics = operator.params.get("topics")
    return tuple(str(topic) for topic in topics) if isinstance(topics, list) else ()


def topics_written(operator: Operator) -> tuple[str, ...]:
    """The topic of a sink, and where a source puts what it cannot decode."""
    named = {OperatorKind.KAFKA_SINK: "topic", OperatorKind.KAFKA_SOURCE: "dead_letter_topic"}.get(operator.kind)
    topic = None if named is None else operator.params.get(named)
    return (topic,) if isinstance(topic, str) else ()


def _written_by(operator: Operator) -> str:
    return "sink" if operator.kind is OperatorKind.KAFKA_SINK else "dead letters of"
