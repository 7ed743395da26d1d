"""``streamctl topics``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from headrace.errors import UsageError
from streamctl.completions import complete_job
from streamctl.options import (
    BootstrapOption,
    JsonOption,
    NamespaceOption,
    RestOption,
    cluster_of,
    connect_to,
    output_of,
)

if TYPE_CHECKING:
    from headrace.rest.models import JobTopic, JobTopics
    from streamctl.cluster import Cluster
    from streamctl.kafka_topics import KafkaTopics, Topic
    from streamctl.output import Output

PEEK_MAX = 10_000


def topics(
    context: typer.Context,
    topic: Annotated[
        str | None, typer.Argument(metavar="TOPIC", help="One topic in detail; else a list.", show_default=False)
    ] = None,
    job: Annotated[
        str | None,
        typer.Option(metavar="JOB", help="The topics of this job, and its lag.", autocompletion=complete_job),
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="Topics of the cluster itself and of jobs too.")] = False,
    peek: Annotated[
        int | None, typer.Option(min=1, max=PEEK_MAX, metavar="N", help="Print the first N records of TOPIC.")
    ] = None,
    partition: Annotated[
        int | None, typer.Option(min=0, metavar="P", help="Of this partition only; with --peek.")
    ] = None,
    from_end: Annotated[bool, typer.Option("--from-end", help="The last records instead; with --peek.")] = False,
    json: JsonOption = False,
    bootstrap: BootstrapOption = None,
    rest: RestOption = None,
    namespace: NamespaceOption = None,
) -> None:
    """List topics, show one, or print records of one.

    RECORDS counts offsets: markers of transactions are among them. --job asks REST, the rest asks Kafka.
    """
    from streamctl.kafka_topics import KafkaTopics

    if topic is None and peek is not None:
        raise UsageError("topics-options", "--peek needs a topic", hint="streamctl topics TOPIC --peek N")
    if peek is None and (partition is not None or from_end):
        raise UsageError("topics-options", "--partition and --from-end go with --peek", hint="add --peek N")
    output = output_of(context)
    cluster = cluster_of(bootstrap, rest, namespace)
    uses = _topics_of(cluster, job) if job is not None else None
    if topic is None and uses is not None:
        _show_job(output, cluster, uses)
        return
    kafka = KafkaTopics(cluster.bootstrap, cluster.kafka, cluster.namespace)
    if topic is None:
        _show_all(output, cluster, kafka, all_)
        return
    found = kafka.one(topic)
    if found is None:
        raise unknown(topic, kafka)
    if peek is None:
        use = next((use for use in uses.topics if use.name == topic), None) if uses is not None else None
        _show_one(output, kafka, found, use)
    else:
        _show_records(output, cluster, found, peek, partition, from_end)


def unknown(topic: str, kafka: KafkaTopics) -> UsageError:
    """No such topic; names that are close."""
    import difflib

    close = difflib.get_close_matches(topic, kafka.names(), n=3)
    return UsageError(
        "topic-unknown",
        f"no topic is named {topic!r}",
        hint=f"did you mean {' or '.join(close)}?" if close else "`streamctl topics --all` lists them",
    )


def _topics_of(cluster: Cluster, job: str) -> JobTopics:
    from headrace.rest.models import JobTopics
    from streamctl import rest

    path = f"/api/v1/jobs/{rest.find_job(cluster, job)}/topics"
    return JobTopics.model_validate(rest.get(cluster.rest, path, cluster.token))


def _show_job(output: Output, cluster: Cluster, uses: JobTopics) -> None:
    from streamctl.output import stdout_console
    from streamctl.topic_tables import job_topics_page

    page = job_topics_page(uses, cluster.namespace, stdout_console().width)
    output.result(uses.model_dump(mode="json"), page)


def _show_all(output: Output, cluster: Cluster, kafka: KafkaTopics, everything: bool) -> None:
    from streamctl.json_schemas import TopicList
    from streamctl.kafka_topics import Kind
    from streamctl.output import stdout_console
    from streamctl.topic_tables import topics_table

    found = kafka.all(lambda _, kind: everything or kind is Kind.DATA)
    table = topics_table(found, kinds=everything, namespace=cluster.namespace, columns=stdout_console().width)
    output.result(TopicList.of(found).model_dump(mode="json"), table)


def _show_one(output: Output, kafka: KafkaTopics, topic: Topic, use: JobTopic | None) -> None:
    from streamctl.json_schemas import TopicDetail
    from streamctl.topic_tables import topic_page

    config = kafka.config(topic.name)
    detail = TopicDetail.of_topic(topic, config, use)
    output.result(detail.model_dump(mode="json"), topic_page(topic, config, use))


def _show_records(
    output: Output, cluster: Cluster, topic: Topic, number: int, partition: int | None, from_end: bool
) -> None:
    from streamctl.output import Format
    from streamctl.peek import peek
    from streamctl.topic_tables import peek_table

    if partition is not None and partition >= len(topic.partitions):
        raise UsageError(
            "topic-partition-unknown",
            f"topic {topic.name} has no partition {partition}",
            hint=f"it has {len(topic.partitions)}, from 0",
        )
    with connect_to(cluster) as connection:
        records = peek(connection, topic, number, partition=partition, from_end=from_end)
    if output.format is Format.JSON:
        for record in records:
            output.result(record.json(topic.kind))
    else:
        output.result({}, peek_table(records, topic.kind))
