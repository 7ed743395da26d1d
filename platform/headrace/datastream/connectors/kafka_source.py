"""Reading topics of Kafka."""

from __future__ import annotations

from typing import Any

from headrace.common.call_site import wrong
from headrace.common.serialization import DeserializationSchema
from headrace.common.typeinfo import TypeInformation
from headrace.datastream.connectors.base import Source
from headrace.datastream.connectors.kafka_offsets import KafkaOffsetsInitializer
from headrace.datastream.connectors.kafka_topics import checked_bootstrap, checked_topic
from headrace.graph.job_graph import OperatorKind

__all__ = ["KafkaSource", "KafkaSourceBuilder"]


class KafkaSource(Source):
    """Records of topics, committed ones only; make one with ``KafkaSource.builder()``.

    Partitions are divided among the source's lanes; each has its own watermark. Positions are kept by the job
    itself. The consumer group's offsets are written too, for lag tools, and never read back by the job.
    """

    kind = OperatorKind.KAFKA_SOURCE

    def __init__(
        self,
        topics: list[str],
        group_id: str,
        starting: KafkaOffsetsInitializer,
        bounded: KafkaOffsetsInitializer | None,
        schema: DeserializationSchema,
        properties: dict[str, str],
    ) -> None:
        self._topics = topics
        self._group_id = group_id
        self._starting = starting
        self._bounded = bounded
        self._schema = schema
        self._properties = properties

    @staticmethod
    def builder() -> KafkaSourceBuilder:
        return KafkaSourceBuilder()

    def describe(self) -> str:
        return ", ".join(self._topics)

    def produced_type(self) -> TypeInformation:
        return self._schema.produced_type()

    def params(self) -> dict[str, Any]:
        return {
            "topics": list(self._topics),
            "group_id": self._group_id,
            "starting": self._starting.params(),
            "bounded": None if self._bounded is None else self._bounded.params(),
            "format": self._schema.format(),
            "properties": dict(self._properties),
        }


class KafkaSourceBuilder:
    """Collects the settings of a KafkaSource; topics and a deserializer are needed."""

    def __init__(self) -> None:
        self._topics: list[str] = []
        self._group_id = ""
        self._starting = KafkaOffsetsInitializer.earliest()
        self._bounded: KafkaOffsetsInitializer | None = None
        self._schema: DeserializationSchema | None = None
        self._properties: dict[str, str] = {}

    def set_bootstrap_servers(self, bootstrap_servers: str) -> KafkaSourceBuilder:
        """The Kafka cluster, if you want to name it: it must be the one that runs the job."""
        self._properties["bootstrap.servers"] = checked_bootstrap(bootstrap_servers)
        return self

    def set_topics(self, *topics: str) -> KafkaSourceBuilder:
        """The topics; they must exist when the job starts."""
        self._topics = [checked_topic("set_topics()", topic) for topic in topics]
        return self

    def set_group_id(self, group_id: str) -> KafkaSourceBuilder:
        """The consumer group for committed starting offsets and lag tools; without it, one made for the job."""
        if not isinstance(group_id, str) or not group_id:
            raise wrong(f"a group id must be a non-empty str, not {group_id!r:.60}")
        self._group_id = group_id
        return self

    def set_starting_offsets(self, starting_offsets_initializer: KafkaOffsetsInitializer) -> KafkaSourceBuilder:
        """Where to start; earliest by default."""
        self._starting = _checked_offsets("set_starting_offsets", starting_offsets_initializer)
        return self

    def set_bounded(self, stopping_offsets_initializer: KafkaOffsetsInitializer) -> KafkaSourceBuilder:
        """Where to end: the positions, resolved once at the first start. Without it the source never ends."""
        bounded = _checked_offsets("set_bounded", stopping_offsets_initializer)
        if bounded.kind not in ("latest", "timestamp", "offsets"):
            raise wrong(f"set_bounded() takes latest(), timestamp() or offsets(), not {bounded.kind}")
        self._bounded = bounded
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

    def build(self) -> KafkaSource:
        """The source. Raises UsageError (connector-incomplete) when a needed setting is missing."""
        if not self._topics:
            raise wrong("a KafkaSource needs topics", code="connector-incomplete", hint='call set_topics("...")')
        if self._schema is None:
            raise wrong(
                f"the KafkaSource of {', '.join(self._topics)} needs a deserializer",
                code="connector-incomplete",
                hint="call set_value_only_deserializer(SimpleStringSchema()), or JsonDeserializationSchema()",
            )
        return KafkaSource(
            self._topics, self._group_id, self._starting, self._bounded, self._schema, self._properties
        )


def _checked_offsets(method: str, offsets: KafkaOffsetsInitializer) -> KafkaOffsetsInitializer:
    if not isinstance(offsets, KafkaOffsetsInitializer):
        raise wrong(
            f"{method}() takes a KafkaOffsetsInitializer, such as KafkaOffsetsInitializer.earliest(), not "
            f"{offsets!r:.60}"
        )
    return offsets
