"""The topics of a job: what it reads and writes, how much is in them, and how far the job has read.

Lag is by hints: offsets that lanes commit once a second for tools like this one, never for their own use.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from headrace.graph.job_graph import JobGraph, Operator, OperatorKind
from headrace.jobmaster.job_topics import topics_read, topics_written
from headrace.protocol.control import JobRecord
from headrace.protocol.topics import Topics
from headrace.rest.kafka_view import Split
from headrace.rest.models import JobTopic, JobTopics, Role, TopicPartitionView
from headrace.rest.services import Services


@dataclass
class _Use:
    """One topic in one role. ``group`` carries the hints of its readers."""

    name: str
    role: Role
    group: str | None = None
    of: list[str] = field(default_factory=list)


async def topics_of(services: Services, record: JobRecord, graph: JobGraph | None) -> JobTopics:
    """Raises LogUnavailableError, UnavailableError ("rest-busy")."""
    uses = [] if graph is None else uses_of(services.topics, record, graph)
    if not uses:
        return JobTopics(job_id=record.job_id, topics=[])
    counts = await services.kafka.partitions(use.name for use in uses if use.role is not Role.PATTERN)
    splits = {use.name: [(use.name, p) for p in range(counts.get(use.name) or 0)] for use in uses}
    ends = await services.kafka.end_offsets(split for each in splits.values() for split in each)
    groups = sorted({use.group for use in uses if use.group and splits[use.name]})
    hints = await asyncio.gather(
        *(
            services.kafka.committed(group, [s for use in uses if use.group == group for s in splits[use.name]])
            for group in groups
        )
    )
    read_to = dict(zip(groups, hints, strict=True))
    return JobTopics(
        job_id=record.job_id,
        topics=[_shown(use, counts.get(use.name), ends, read_to.get(use.group or "", {})) for use in uses],
    )


def uses_of(topics: Topics, record: JobRecord, graph: JobGraph) -> list[_Use]:
    """Every topic of the job: sources and sinks first, then those of its own in the graph's order."""
    found: dict[tuple[str, Role, str | None], _Use] = {}
    for operator in (operator for vertex in graph.vertices for operator in vertex.operators):
        for use in _of_operator(operator, topics.hint_group(record.job_id, record.incarnation)):
            found.setdefault((use.name, use.role, use.group), use).of.append(operator.name)
    job, incarnation = record.job_id, record.incarnation
    group = topics.hint_group(job, incarnation)
    exchanges = [
        _Use(topics.exchange(job, incarnation, edge.id), Role.EXCHANGE, group, [edge.id]) for edge in graph.edges
    ]
    logs = [_Use(topics.lane_log(job, incarnation, v.id), Role.LANE_LOG, None, [v.id]) for v in graph.vertices]
    return [*found.values(), *exchanges, *logs]


def _of_operator(operator: Operator, own_group: str) -> Iterator[_Use]:
    group = str(operator.params.get("group_id") or own_group) if operator.params.get("commit_offsets", True) else None
    is_source = operator.kind is OperatorKind.KAFKA_SOURCE
    if is_source and (pattern := operator.params.get("topic_pattern")):
        yield _Use(str(pattern), Role.PATTERN, group)  # never tried on names here: it is the user's, and may not end
    for name in topics_read(operator):
        yield _Use(name, Role.SOURCE, group)
    for name in topics_written(operator):
        yield _Use(name, Role.DEAD_LETTERS if is_source else Role.SINK)


def _shown(use: _Use, count: int | None, ends: Mapping[Split, int], read_to: Mapping[Split, int]) -> JobTopic:
    if count is None:
        return JobTopic(name=use.name, role=use.role, of=use.of, group=use.group, lag=None, partitions=None)
    partitions = [
        TopicPartitionView(
            partition=p,
            end_offset=end,
            read_to=hint,
            lag=None if hint is None else max(0, end - hint),
        )
        for p in range(count)
        if (end := ends.get((use.name, p))) is not None
        for hint in [read_to.get((use.name, p))]
    ]
    lags = [each.lag for each in partitions if each.lag is not None]
    return JobTopic(
        name=use.name,
        role=use.role,
        of=use.of,
        group=use.group,
        lag=sum(lags) if lags else None,
        partitions=partitions,
    )
