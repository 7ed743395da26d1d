"""How topics look in text. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import RenderableType
from rich.text import Text

from headrace.protocol.topics import Topics
from headrace.rest.models import JobTopic, JobTopics, Role
from streamctl.kafka_topics import Kind, Topic
from streamctl.peek import Peeked, described, shown
from streamctl.render import (
    ID_DIGITS,
    NOTHING,
    count,
    duration,
    facts,
    instant,
    one_line,
    plain_table,
    sections,
    shorten,
)

#: Settings of a topic that a person looks for first; others follow as they are.
_POLICY = ("cleanup.policy", "retention.ms", "retention.bytes")
KEY_COLUMNS = 24
_ROLES = {Role.LANE_LOG: "lane log", Role.DEAD_LETTERS: "dead letters", Role.PATTERN: "pattern"}


def topics_table(found: Sequence[Topic], *, kinds: bool, namespace: str, columns: int) -> RenderableType:
    """One line per topic; ``kinds`` says what each is, and shortens names of jobs' own topics."""
    if not found:
        return Text(
            "No topics." if kinds else "No topics of yours. `streamctl topics --all` shows those of the cluster."
        )
    table = plain_table("TOPIC", *(["KIND"] if kinds else []), ">PARTITIONS", ">REPLICAS", ">RECORDS")
    for topic in found:
        style = "" if topic.kind is Kind.DATA else "dim"
        name = Text(shorten(short_name(topic.name, namespace), columns // 2), style=style)
        kind = [Text(topic.kind.value, style=style)] if kinds else []
        table.add_row(name, *kind, str(len(topic.partitions)), str(topic.replicas), count(topic.records))
    return table


def short_name(name: str, namespace: str) -> str:
    """The name with a job's id cut to the digits that other tables show."""
    parts = name.split(".")
    topics = Topics(namespace)
    if name.startswith((topics.name("x."), topics.name("s."))):
        place = len(namespace.split(".")) + 1
        if len(parts) > place:
            parts[place] = shorten(parts[place], ID_DIGITS)
    return ".".join(parts)


def topic_page(topic: Topic, config: Mapping[str, str], use: JobTopic | None) -> RenderableType:
    """One topic: how it is kept, and its partitions; with a job, how far it has read."""
    head: list[tuple[str, RenderableType]] = [
        ("Topic", Text(topic.name)),
        ("Kind", topic.kind.value),
        ("Partitions", str(len(topic.partitions))),
        ("Replicas", str(topic.replicas)),
        ("Records", f"{topic.records:,} at most"),
        *((name, Text(_setting(name, config[name]))) for name in _POLICY if name in config),
        *((name, Text(value)) for name, value in sorted(config.items()) if name not in _POLICY),
    ]
    if use is not None:
        head.append(("Job's", f"{_ROLES.get(use.role, use.role.value)} of {', '.join(use.of)}"))
    read = {each.partition: each for each in use.partitions or ()} if use is not None else None
    table = plain_table(
        ">PARTITION", ">LEADER", ">FIRST", ">END", ">RECORDS", *([">READ TO", ">LAG"] if read is not None else [])
    )
    for partition in topic.partitions:
        row = [
            str(partition.number),
            NOTHING if partition.leader is None else str(partition.leader),
            f"{partition.first:,}",
            f"{partition.end:,}",
            count(partition.records),
        ]
        if read is not None:
            at = read.get(partition.number)
            row += [NOTHING if at is None or at.read_to is None else f"{at.read_to:,}", count(at.lag if at else None)]
        table.add_row(*row)
    return sections(facts(head), table)


def _setting(name: str, value: str) -> str:
    if name == "retention.ms" and value.lstrip("-").isdigit():
        return "for ever" if int(value) < 0 else f"{value} ({duration(int(value))})"
    return "any" if name == "retention.bytes" and value == "-1" else value


def job_topics_page(found: JobTopics, namespace: str, columns: int) -> RenderableType:
    """Topics of a job with their lag, then the lag of each partition of its sources."""
    if not found.topics:
        return Text("The job has no topics.")
    table = plain_table("TOPIC", "ROLE", ">PARTITIONS", ">RECORDS", ">LAG")
    for each in found.topics:
        table.add_row(
            Text(shorten(short_name(each.name, namespace), columns // 2)),
            _ROLES.get(each.role, each.role.value),
            NOTHING if each.partitions is None else str(len(each.partitions)),
            NOTHING if each.partitions is None else count(sum(p.end_offset for p in each.partitions)),
            count(each.lag),
        )
    parts: list[RenderableType] = [table]
    sources = [each for each in found.topics if each.role is Role.SOURCE and each.partitions]
    if sources:
        lags = plain_table("SOURCE", ">PARTITION", ">READ TO", ">END", ">LAG")
        for each in sources:
            for partition in each.partitions or ():
                lags.add_row(
                    Text(shorten(each.name, columns // 2)),
                    str(partition.partition),
                    NOTHING if partition.read_to is None else f"{partition.read_to:,}",
                    f"{partition.end_offset:,}",
                    Text(count(partition.lag), style="yellow" if partition.lag else ""),
                )
        parts.append(lags)
    missing = [each.name for each in found.topics if each.partitions is None and each.role is not Role.PATTERN]
    if missing:
        parts.append(Text(f"not there: {', '.join(missing)}", style="red"))
    return sections(*parts)


def peek_table(records: Sequence[Peeked], kind: Kind) -> RenderableType:
    """One line per record, cut where the terminal ends. HEADERS is left out where none has any."""
    if not records:
        return Text("No records.")
    headed = any(record.headers for record in records)
    table = plain_table(">PART", ">OFFSET", "TIME (UTC)", "KEY", *([">HEADERS"] if headed else []), "VALUE")
    for record in records:
        headers = [str(len(record.headers)) if record.headers else NOTHING]
        table.add_row(
            str(record.partition),
            f"{record.offset:,}",
            instant(record.timestamp_ms),
            Text(shorten(shown(record.key), KEY_COLUMNS)),
            *(headers if headed else []),
            Text(about) if (about := described(record.value, kind)) else one_line(shown(record.value)),
        )
    return table
