"""Where an in-process job's records go between its lanes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from headrace.errors import UnavailableError, UsageError
from headrace.graph.job_graph import JobGraph, Operator, OperatorKind
from headrace.jobmaster.job_topics import (
    create_job_topics,
    delete_job_topics,
    job_topics,
    topics_read,
    topics_written,
)
from headrace.log.control_kafka import ControlKafka
from headrace.log.lane import LaneConnection, LogError
from headrace.log.lane_kafka import KafkaLaneConnection
from headrace.log.lane_memory import MemoryLaneConnection
from headrace.log.memory.broker import MemoryBroker
from headrace.protocol.topics import Topics

TOPIC_TIMEOUT_S = 10.0
KAFKA = frozenset({OperatorKind.KAFKA_SOURCE, OperatorKind.KAFKA_SINK})


def kafka_operators(graph: JobGraph) -> list[Operator]:
    """The operators that need a Kafka cluster."""
    return [operator for vertex in graph.vertices for operator in vertex.operators if operator.kind in KAFKA]


def named_kafka(graph: JobGraph) -> str | None:
    """The Kafka cluster that the program names itself, with ``set_bootstrap_servers``."""
    for operator in kafka_operators(graph):
        properties = operator.params.get("properties")
        if isinstance(properties, dict) and isinstance(named := properties.get("bootstrap.servers"), str):
            return named
    return None


@dataclass(frozen=True)
class JobLog:
    """An open connection, with the job's topics in place."""

    connection: LaneConnection
    source_partitions: dict[str, dict[str, int]]


@contextmanager
def memory_log(topics: Topics, graph: JobGraph, job_id: str) -> Iterator[JobLog]:
    broker = MemoryBroker()
    broker.create_topics(job_topics(topics, graph, job_id, 1))
    yield JobLog(MemoryLaneConnection(broker), {})


@contextmanager
def kafka_log(
    bootstrap: str, kafka: dict[str, str], topics: Topics, graph: JobGraph, job_id: str
) -> Iterator[JobLog]:
    """The job's topics are made first and deleted at the end.

    Raises UsageError ("topic-missing") and UnavailableError ("kafka-unreachable").
    """
    connection = KafkaLaneConnection(bootstrap, kafka)
    partitions = _source_partitions(connection, graph, bootstrap)

    def control(order: Callable[[ControlKafka], Coroutine[Any, Any, None]]) -> None:
        async def run() -> None:
            log = ControlKafka(bootstrap, kafka)
            try:
                await order(log)
            finally:
                await log.close()

        asyncio.run(run())

    control(lambda log: create_job_topics(log, topics, graph, job_id, 1))
    try:
        yield JobLog(connection, partitions)
    finally:
        control(lambda log: delete_job_topics(log, topics, graph, job_id, 1))
        connection.close()


def _source_partitions(connection: LaneConnection, graph: JobGraph, bootstrap: str) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    missing: list[str] = []
    for operator in kafka_operators(graph):
        read, written = topics_read(operator), topics_written(operator)
        counts = {topic: _partitions(connection, topic, bootstrap) for topic in (*read, *written)}
        missing += [topic for topic, count in counts.items() if count is None]
        if operator.kind is OperatorKind.KAFKA_SOURCE:
            found[operator.uid] = {topic: counts[topic] or 0 for topic in read}
    if missing:
        raise UsageError(
            "topic-missing",
            f"no topic {', '.join(sorted(set(missing)))} on Kafka at {bootstrap}",
            hint="create it first; Headrace never creates the topics a program reads or writes",
        )
    return found


def _partitions(connection: LaneConnection, topic: str, bootstrap: str) -> int | None:
    try:
        return connection.partitions(topic, TOPIC_TIMEOUT_S)
    except LogError as error:
        raise UnavailableError(
            "kafka-unreachable", f"Kafka at {bootstrap} does not answer: {error}", hint="is it running?"
        ) from error
