"""Reading topics of Kafka."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from headrace.common.call_site import wrong
from headrace.common.serialization import DeserializationSchema
from headrace.common.typeinfo import TypeInformation
from headrace.datastream.connectors.base import Source
from headrace.datastream.connectors.kafka_offsets import KafkaOffsetsInitializer, KafkaTopicPartition
from headrace.datastream.connectors.kafka_properties import SourceProperties
from headrace.datastream.connectors.kafka_topics import checked_bootstrap, checked_pattern, checked_topic
from headrace.graph.job_graph import OperatorKind

__all__ = ["KafkaSource", "KafkaSourceBuilder"]


@dataclass(frozen=True)
class _Subscription:
    """What is read: topics, topics whose names fit a pattern, or partitions."""

    topics: tuple[str, ...]
    pattern: str | None = None
    partitions: tuple[KafkaTopicPartition, ...] = ()

    def __str__(self) -> str:
        return f"topics like {self.pattern}" if self.pattern is not None else ", ".join(self.topics)

    def params(self) -> dict[str, Any]:
        params: dict[str, Any] = {"topics": list(self.topics)}
        if self.pattern is not None:
            params["topic_pattern"] = self.pattern
        if self.partitions:
            params["partitions"] = [f"{each.topic}/{each.partition}" for each in self.partitions]
        return params


class KafkaSource(Source):
    """Records of topics, committed ones only; make one with ``KafkaSource.builder()``.

    Partitions are divided among the source's lanes; each has its own watermark. Positions are kept by the job
    itself. The consumer group's offsets are written too, for lag tools, and never read back by the job.
    """

    kind = OperatorKind.KAFKA_SOURCE

    def __init__(self, subscription: _Subscription, schema: DeserializationSchema, params: dict[str, Any]) -> None:
        self._subscription = subscription
        self._schema = schema
        self._params = params

    @staticmethod
    def builder() -> KafkaSourceBuilder:
        return KafkaSourceBuilder()

    def describe(self) -> str:
        return str(self._subscription)

    def produced_type(self) -> TypeInformation:
        return self._schema.produced_type()

    def params(self) -> dict[str, Any]:
        return {**self._subscription.params(), **self._params}


class KafkaSourceBuilder:
    """Collects the settings of a KafkaSource; topics (or a pattern, or partitions) and a deserializer are needed."""

    def __init__(self) -> None:
        self._subscription: _Subscription | None = None
        self._bootstrap = ""
        self._group_id = ""
        self._starting = KafkaOffsetsInitializer.earliest()
        self._bounded: KafkaOffsetsInitializer | None = None
        self._schema: DeserializationSchema | None = None
        self._properties = SourceProperties()
        self._dead_letter_topic: str | None = None

    def set_bootstrap_servers(self, bootstrap_servers: str) -> KafkaSourceBuilder:
        """The Kafka cluster, if you want to name it: it must be the one that runs the job."""
        self._bootstrap = checked_bootstrap(bootstrap_servers)
        return self

    def set_topics(self, *topics: str) -> KafkaSourceBuilder:
        """The topics; they must exist when the job starts. Partitions that are added later are read too."""
        self._subscribe(_Subscription(tuple(checked_topic("set_topics()", topic) for topic in topics)))
        return self

    def set_topic_pattern(self, topic_pattern: str) -> KafkaSourceBuilder:
        """All topics whose whole name fits the regular expression (Python's), also those made later.

        Topics of Kafka and of Headrace itself are left out. One at least must exist when the job starts.
        """
        self._subscribe(_Subscription((), checked_pattern(topic_pattern)))
        return self

    def set_partitions(self, partitions: Iterable[KafkaTopicPartition]) -> KafkaSourceBuilder:
        """These partitions and no others."""
        given = sorted(set(partitions), key=lambda each: (each.topic, each.partition))
        for each in given:
            checked_topic("set_partitions()", each.topic)
        topics = tuple(dict.fromkeys(each.topic for each in given))
        self._subscribe(_Subscription(topics, partitions=tuple(given)))
        return self

    def _subscribe(self, subscription: _Subscription) -> None:
        if self._subscription is not None:
            raise wrong(
                f"this KafkaSource reads {self._subscription} already",
                hint="call one of set_topics(), set_topic_pattern() and set_partitions(), once",
            )
        if subscription.topics or subscription.pattern is not None:
            self._subscription = subscription

    def set_group_id(self, group_id: str) -> KafkaSourceBuilder:
        """The consumer group for committed starting offsets and lag tools; without it, one made for the job."""
        if not isinstance(group_id, str) or not group_id:
            raise wrong(f"a group id must be a non-empty str, not {group_id!r:.60}")
        self._group_id = group_id
        return self

    def set_starting_offsets(self, starting_offsets_initializer: KafkaOffsetsInitializer) -> KafkaSourceBuilder:
        """Where to start; earliest by default. Partitions that are found later are read from their beginning."""
        self._starting = _checked_offsets("set_starting_offsets", starting_offsets_initializer)
        return self

    def set_bounded(self, stopping_offsets_initializer: KafkaOffsetsInitializer) -> KafkaSourceBuilder:
        """Where to end: the positions, resolved once at the first start. Without it the source never ends."""
        bounded = _checked_offsets("set_bounded", stopping_offsets_initializer)
        if bounded.kind == "earliest":
            raise wrong("set_bounded() takes latest(), committed_offsets(), timestamp() or offsets(), not earliest()")
        self._bounded = bounded
        return self

    def set_unbounded(self, stopping_offsets_initializer: KafkaOffsetsInitializer) -> KafkaSourceBuilder:
        """As ``set_bounded``: the engine has one way to run jobs with an end and jobs without."""
        return self.set_bounded(stopping_offsets_initializer)

    def set_property(self, key: str, value: str) -> KafkaSourceBuilder:
        """A property of Kafka's consumer, such as fetch.max.bytes, and partition.discovery.interval.ms (300000).

        What correctness rests on, and how to connect, cannot be set: the error says what to do instead.
        """
        if key == "bootstrap.servers":
            return self.set_bootstrap_servers(value)
        if key == "group.id":
            return self.set_group_id(value)
        self._properties.put(key, value)
        return self

    def set_properties(self, props: Mapping[str, str]) -> KafkaSourceBuilder:
        """Several properties."""
        for key, value in props.items():
            self.set_property(key, value)
        return self

    def set_value_only_deserializer(self, deserialization_schema: DeserializationSchema) -> KafkaSourceBuilder:
        """How a record's value becomes a Python value: SimpleStringSchema(), JsonDeserializationSchema(), ..."""
        if not isinstance(deserialization_schema, DeserializationSchema):
            hint = "call .build() on the builder" if hasattr(deserialization_schema, "build") else ""
            raise wrong(
                "set_value_only_deserializer() takes one of the deserialization schemas, such as "
                f"SimpleStringSchema(), not {deserialization_schema!r:.80}",
                hint=hint,
            )
        self._schema = deserialization_schema
        return self

    def set_dead_letter_topic(self, topic: str) -> KafkaSourceBuilder:
        """Where records go that cannot be decoded, instead of failing the job; the topic must exist. Not in PyFlink.

        Key, value and headers as they were, with headers ``headrace.error.*`` that say where it was and why; written
        in the lane's transaction.
        """
        self._dead_letter_topic = checked_topic("set_dead_letter_topic()", topic)
        return self

    def build(self) -> KafkaSource:
        """The source. Raises UsageError (connector-incomplete) when a needed setting is missing."""
        if self._subscription is None:
            raise wrong("a KafkaSource needs topics", code="connector-incomplete", hint='call set_topics("...")')
        if self._schema is None:
            raise wrong(
                f"the KafkaSource of {self._subscription} needs a deserializer",
                code="connector-incomplete",
                hint="call set_value_only_deserializer(SimpleStringSchema()), or JsonDeserializationSchema()",
            )
        return KafkaSource(self._subscription, self._schema, self._params(self._schema))

    def _params(self, schema: DeserializationSchema) -> dict[str, Any]:
        properties = dict(self._properties.reader)
        if self._bootstrap:
            properties["bootstrap.servers"] = self._bootstrap
        params: dict[str, Any] = {
            "group_id": self._group_id,
            "starting": self._starting.params(),
            "bounded": None if self._bounded is None else self._bounded.params(),
            "format": schema.format(),
            "properties": properties,
        }
        if self._properties.discovery_interval_ms is not None:
            params["discovery_interval_ms"] = max(0, self._properties.discovery_interval_ms)
        if not self._properties.commit_offsets:
            params["commit_offsets"] = False
        if self._dead_letter_topic is not None:
            if params["format"].pop("tolerant", False):
                raise wrong(
                    f"the KafkaSource of {self._subscription} has a dead letter topic, and a deserializer that "
                    "leaves out what it cannot read",
                    hint="leave ignore_parse_errors out",
                )
            params["dead_letter_topic"] = self._dead_letter_topic
        return params


def _checked_offsets(method: str, offsets: KafkaOffsetsInitializer) -> KafkaOffsetsInitializer:
    if not isinstance(offsets, KafkaOffsetsInitializer):
        raise wrong(
            f"{method}() takes a KafkaOffsetsInitializer, such as KafkaOffsetsInitializer.earliest(), not "
            f"{offsets!r:.60}"
        )
    return offsets
