"""Writing topics of Kafka."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from headrace.common.call_site import wrong
from headrace.common.serialization import SerializationSchema
from headrace.datastream.connectors.base import DeliveryGuarantee, Sink
from headrace.datastream.connectors.kafka_topics import checked_bootstrap, checked_topic
from headrace.datastream.functions import KeySelector
from headrace.datastream.transformation import checked_function
from headrace.graph.job_graph import OperatorKind

__all__ = ["KafkaRecordSerializationSchema", "KafkaRecordSerializationSchemaBuilder", "KafkaSink", "KafkaSinkBuilder"]

Headers = Mapping[str, bytes | None] | Iterable[tuple[str, bytes | None]] | None


class KafkaRecordSerializationSchema:
    """How a value becomes a Kafka record; make one with ``KafkaRecordSerializationSchema.builder()``."""

    def __init__(self, topic: str, params: dict[str, Any], functions: dict[str, Any]) -> None:
        self.topic = topic
        self.params = params
        self.functions = functions

    @staticmethod
    def builder() -> KafkaRecordSerializationSchemaBuilder:
        return KafkaRecordSerializationSchemaBuilder()


class KafkaRecordSerializationSchemaBuilder:
    """Collects topic and schemas; topic and value schema are needed.

    A record without a key schema has no key. Partitions are chosen as Kafka's own clients do: by murmur2 of the
    key, at random without a key.
    """

    def __init__(self) -> None:
        self._topic: str | None = None
        self._value: SerializationSchema | None = None
        self._key: SerializationSchema | None = None
        self._key_selector: Any = None
        self._headers: Any = None
        self._timestamp: Any = None

    def set_topic(self, topic: str) -> KafkaRecordSerializationSchemaBuilder:
        """The topic; it must exist when the job starts."""
        self._topic = checked_topic("set_topic()", topic)
        return self

    def set_value_serialization_schema(
        self, value_serialization_schema: SerializationSchema
    ) -> KafkaRecordSerializationSchemaBuilder:
        """The record's value from the stream's value."""
        self._value = _checked_schema("set_value_serialization_schema", value_serialization_schema)
        return self

    def set_key_serialization_schema(
        self, key_serialization_schema: SerializationSchema
    ) -> KafkaRecordSerializationSchemaBuilder:
        """The record's key from the stream's value, or from what ``set_key_selector`` makes of it."""
        self._key = _checked_schema("set_key_serialization_schema", key_serialization_schema)
        return self

    def set_key_selector(
        self, key_selector: KeySelector | Callable[[Any], Any]
    ) -> KafkaRecordSerializationSchemaBuilder:
        """What of the value the key schema is given; not in PyFlink."""
        checked_function("set_key_selector", key_selector, KeySelector, lambdas=True)
        self._key_selector = key_selector.get_key if isinstance(key_selector, KeySelector) else key_selector
        return self

    def set_header_provider(self, header_provider: Callable[[Any], Headers]) -> KafkaRecordSerializationSchemaBuilder:
        """f(value) gives the record's headers: a dict or pairs of name and bytes, or None."""
        self._headers = _checked_callable("set_header_provider", header_provider)
        return self

    def set_timestamp_provider(
        self, timestamp_provider: Callable[[Any], int | None]
    ) -> KafkaRecordSerializationSchemaBuilder:
        """f(value) gives the record's time in ms, or None for the time of writing; not in PyFlink.

        Brokers expire records by this time, and may refuse one that is far from their clock.
        """
        self._timestamp = _checked_callable("set_timestamp_provider", timestamp_provider)
        return self

    def build(self) -> KafkaRecordSerializationSchema:
        """The schema. Raises UsageError (connector-incomplete) when a needed setting is missing."""
        if self._topic is None:
            raise wrong(
                "a record serializer needs a topic", code="connector-incomplete", hint='call set_topic("...")'
            )
        if self._value is None:
            raise wrong(
                f"the record serializer of topic {self._topic} needs a value schema",
                code="connector-incomplete",
                hint="call set_value_serialization_schema(SimpleStringSchema()), or JsonSerializationSchema()",
            )
        if self._key_selector is not None and self._key is None:
            raise wrong(
                f"the record serializer of topic {self._topic} has a key selector and no key schema",
                code="connector-incomplete",
                hint="call set_key_serialization_schema(SimpleStringSchema())",
            )
        params = {
            "value_format": self._value.wire_format,
            "key_format": None if self._key is None else self._key.wire_format,
        }
        functions: dict[str, Any] = {}
        if (value := self._value.transform()) is not None:
            functions["value"] = value
        if self._key is not None:
            functions["key"] = _key_function(self._key_selector, self._key.transform())
        for role, provider in (("headers", self._headers), ("timestamp", self._timestamp)):
            if provider is not None:
                functions[role] = provider
        return KafkaRecordSerializationSchema(self._topic, params, functions)


class KafkaSink(Sink):
    """Records to a topic of the Kafka cluster that runs the job; make one with ``KafkaSink.builder()``.

    They are written in the lane's transaction: readers of committed records see each exactly once, readers of
    uncommitted ones may see records of aborted transactions too.
    """

    kind = OperatorKind.KAFKA_SINK

    def __init__(self, serializer: KafkaRecordSerializationSchema, properties: dict[str, str]) -> None:
        self._serializer = serializer
        self._properties = properties

    @staticmethod
    def builder() -> KafkaSinkBuilder:
        return KafkaSinkBuilder()

    def describe(self) -> str:
        return self._serializer.topic

    def params(self) -> dict[str, Any]:
        return {
            "topic": self._serializer.topic,
            "partitioner": "murmur2_random",
            **self._serializer.params,
            "properties": dict(self._properties),
        }

    def functions(self) -> dict[str, Any]:
        return dict(self._serializer.functions)


class KafkaSinkBuilder:
    """Collects the settings of a KafkaSink; a record serializer is needed."""

    def __init__(self) -> None:
        self._serializer: KafkaRecordSerializationSchema | None = None
        self._properties: dict[str, str] = {}

    def set_bootstrap_servers(self, bootstrap_servers: str) -> KafkaSinkBuilder:
        """The Kafka cluster, if you want to name it: it must be the one that runs the job."""
        self._properties["bootstrap.servers"] = checked_bootstrap(bootstrap_servers)
        return self

    def set_record_serializer(self, record_serializer: KafkaRecordSerializationSchema) -> KafkaSinkBuilder:
        if not isinstance(record_serializer, KafkaRecordSerializationSchema):
            hint = "call .build() on the builder" if hasattr(record_serializer, "build") else ""
            raise wrong(
                f"set_record_serializer() takes a KafkaRecordSerializationSchema, not {record_serializer!r:.80}",
                hint=hint,
            )
        self._serializer = record_serializer
        return self

    def set_delivery_guarantee(self, delivery_guarantee: DeliveryGuarantee) -> KafkaSinkBuilder:
        """The least the sink must promise. It always promises EXACTLY_ONCE."""
        if not isinstance(delivery_guarantee, DeliveryGuarantee):
            raise wrong(f"set_delivery_guarantee() takes a DeliveryGuarantee, not {delivery_guarantee!r:.60}")
        return self

    def build(self) -> KafkaSink:
        """The sink. Raises UsageError (connector-incomplete) when the record serializer is missing."""
        if self._serializer is None:
            raise wrong(
                "a KafkaSink needs a record serializer",
                code="connector-incomplete",
                hint="call set_record_serializer(KafkaRecordSerializationSchema.builder()....build())",
            )
        return KafkaSink(self._serializer, self._properties)


class _Composed:
    """``outer`` of what ``inner`` gives."""

    def __init__(self, outer: Callable[[Any], Any], inner: Callable[[Any], Any]) -> None:
        self.outer = outer
        self.inner = inner

    def __call__(self, value: Any) -> Any:
        return self.outer(self.inner(value))


def _whole(value: Any) -> Any:
    return value


def _key_function(
    selector: Callable[[Any], Any] | None, transform: Callable[[Any], Any] | None
) -> Callable[[Any], Any]:
    if selector is None:
        return transform or _whole
    return selector if transform is None else _Composed(transform, selector)


def _checked_schema(method: str, schema: SerializationSchema) -> SerializationSchema:
    if not isinstance(schema, SerializationSchema):
        hint = "call .build() on the builder" if hasattr(schema, "build") else ""
        raise wrong(
            f"{method}() takes a serialization schema, such as SimpleStringSchema(), not {schema!r:.80}", hint=hint
        )
    return schema


def _checked_callable(method: str, function: Any) -> Any:
    if not callable(function):
        raise wrong(f"{method}() takes a callable, not {function!r:.80}", code="function-invalid")
    return function
