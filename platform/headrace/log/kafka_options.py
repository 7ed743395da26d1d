"""librdkafka options that every client of the control plane shares."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from confluent_kafka import KafkaError

#: librdkafka repeats "connection refused" for every broker and client; callers report what it means for them.
logging.getLogger("headrace.librdkafka").setLevel(logging.CRITICAL)

#: The broker went away; it may come back.
DISCONNECTED = frozenset(
    {KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._TIMED_OUT, KafkaError._RESOLVE}
)


def client_options(bootstrap: str, extra: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Options of any client: quick reconnects, quiet; ``extra`` (TLS, SASL) is passed through."""
    return {
        "reconnect.backoff.ms": 50,
        "reconnect.backoff.max.ms": 500,
        "topic.metadata.refresh.sparse": True,
        **(extra or {}),
        "bootstrap.servers": bootstrap,
        "error_cb": _quiet,
        "logger": logging.getLogger("headrace.librdkafka"),
    }


def reader_options(options: Mapping[str, Any], *, wait_ms: int) -> dict[str, Any]:
    """Options of an assigned reader; ``wait_ms`` is how long the broker may hold an empty fetch."""
    return {
        **options,
        "group.id": "headrace-control",  # required by the constructor, never joined
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "earliest",  # a position below the log's start
        "enable.partition.eof": True,
        "fetch.wait.max.ms": wait_ms,
        "fetch.error.backoff.ms": 100,
        "isolation.level": "read_uncommitted",
        "allow.auto.create.topics": False,
    }


def _quiet(error: KafkaError) -> None:
    logging.getLogger("headrace.librdkafka").debug("%s", error)
