"""What topics there are, how much is in them, how they are kept. Reads only; each call is bounded by CALL_S."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar

from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.admin._listoffsets import OffsetSpec

from headrace.log.kafka_options import client_options
from headrace.protocol.topics import PARTITIONED, SINGLE, Topics
from streamctl.kafka import knock, unreachable, words

CALL_S = 10.0
K = TypeVar("K")
T = TypeVar("T")


class Kind(StrEnum):
    """What a topic is in a Headrace cluster."""

    DATA = "data"  #: the user's own
    CONTROL = "control"  #: of the control plane
    EXCHANGE = "exchange"  #: between two vertices of a job
    LANE_LOG = "lane log"  #: state and positions of a job's lanes
    KAFKA = "kafka"  #: Kafka's own


@dataclass(frozen=True)
class Partition:
    """Offsets of one partition. ``leader`` None: it has none now."""

    number: int
    leader: int | None
    first: int
    end: int

    @property
    def records(self) -> int:
        """At most this many: markers of transactions count, and records that compaction took."""
        return self.end - self.first


@dataclass(frozen=True)
class Topic:
    name: str
    kind: Kind
    replicas: int
    partitions: list[Partition] = field(default_factory=list)

    @property
    def records(self) -> int:
        return sum(partition.records for partition in self.partitions)


def kind_of(name: str, topics: Topics) -> Kind:
    """Told by the name alone."""
    if name.startswith("__"):
        return Kind.KAFKA
    if name in {topics.name(short) for short in (*PARTITIONED, *SINGLE)}:
        return Kind.CONTROL
    if name.startswith(topics.name("x.")):
        return Kind.EXCHANGE
    return Kind.LANE_LOG if name.startswith(topics.name("s.")) else Kind.DATA


class KafkaTopics:
    """Look-ups over one administrative connection."""

    def __init__(self, bootstrap: str, options: Mapping[str, str], namespace: str) -> None:
        """Raises UnavailableError ("kafka-unreachable") when nothing accepts a connection there."""
        self._bootstrap = bootstrap
        self._topics = Topics(namespace)
        knock(bootstrap)
        self._admin = AdminClient(client_options(bootstrap, options))

    def all(self, wanted: Callable[[str, Kind], bool]) -> list[Topic]:
        """Topics by name, of those that ``wanted`` takes. Raises UnavailableError."""
        metadata = self._metadata()
        found = {
            name: topic
            for name, topic in metadata.topics.items()
            if topic.error is None and wanted(name, kind_of(name, self._topics))
        }
        return self._measured(found)

    def one(self, name: str) -> Topic | None:
        """None when there is no such topic. Raises UnavailableError."""
        found = self._metadata().topics.get(name)
        return None if found is None or found.error is not None else self._measured({name: found})[0]

    def kinds(self) -> dict[str, tuple[Kind, int]]:
        """Every topic's kind and number of partitions. Raises UnavailableError."""
        return {
            name: (kind_of(name, self._topics), len(topic.partitions))
            for name, topic in sorted(self._metadata().topics.items())
            if topic.error is None
        }

    def names(self) -> list[str]:
        """Raises UnavailableError."""
        return sorted(self._metadata().topics)

    def config(self, name: str) -> dict[str, str]:
        """The topic's settings that it does not have from Kafka's defaults, and how it is cleaned up."""
        return self.configs([name])[name]

    def configs(self, names: Iterable[str]) -> dict[str, dict[str, str]]:
        """The same of several topics that exist."""
        if not (names := list(names)):
            return {}
        resources = [ConfigResource(ConfigResource.Type.TOPIC, name) for name in names]
        answers = self._ask(lambda: self._admin.describe_configs(resources, request_timeout=CALL_S))
        return {
            resource.name: {
                key: str(entry.value)
                for key, entry in sorted(entries.items())
                if key in ("cleanup.policy", "retention.ms") or not entry.is_default and not entry.is_sensitive
            }
            for resource, entries in answers.items()
            if entries is not None
        }

    def brokers(self) -> dict[int, str]:
        """Broker id to HOST:PORT."""
        return {number: f"{broker.host}:{broker.port}" for number, broker in self._metadata().brokers.items()}

    def _metadata(self) -> Any:
        try:
            return self._admin.list_topics(timeout=CALL_S)
        except KafkaException as error:
            raise unreachable(self._bootstrap, words(error)) from None

    def _measured(self, found: Mapping[str, Any]) -> list[Topic]:
        splits = [(name, number) for name, topic in found.items() for number in topic.partitions]
        first = self._offsets(splits, OffsetSpec.earliest())  # type: ignore[no-untyped-call]
        end = self._offsets(splits, OffsetSpec.latest())  # type: ignore[no-untyped-call]
        return [
            Topic(
                name,
                kind_of(name, self._topics),
                max((len(partition.replicas) for partition in topic.partitions.values()), default=0),
                [
                    Partition(
                        number,
                        partition.leader if partition.leader >= 0 else None,
                        first.get((name, number), 0),
                        end.get((name, number), 0),
                    )
                    for number, partition in sorted(topic.partitions.items())
                ],
            )
            for name, topic in sorted(found.items())
        ]

    def _offsets(self, splits: list[tuple[str, int]], spec: Any) -> dict[tuple[str, int], int]:
        if not splits:
            return {}
        asked = {TopicPartition(*split): spec for split in splits}
        answers = self._ask(
            lambda: self._admin.list_offsets(
                asked, isolation_level=IsolationLevel.READ_UNCOMMITTED, request_timeout=CALL_S
            )
        )
        return {(at.topic, at.partition): answer.offset for at, answer in answers.items() if answer is not None}

    def _ask(self, call: Callable[[], Mapping[K, Future[T]]]) -> dict[K, T | None]:
        """Answers by key, None for a topic or partition that went away meanwhile."""
        answers: dict[K, T | None] = {}
        try:
            for key, future in call().items():
                answers[key] = _answer(future)
        except KafkaException as error:
            raise unreachable(self._bootstrap, words(error)) from None
        return answers


def _answer(future: Future[T]) -> T | None:
    try:
        return future.result(CALL_S + 1)
    except KafkaException as error:
        if error.args[0].code() in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.LEADER_NOT_AVAILABLE):
            return None
        raise
