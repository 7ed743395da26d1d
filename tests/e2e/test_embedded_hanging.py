"""Hanging transactions on a real broker: made, found, ended as decided; a transaction that runs is left alone.

They are made by a batch that carries the id of a producer whose transaction has ended, sent past the broker's
own check, which is switched off for it.
"""

from __future__ import annotations

import struct
import time
import uuid
from collections.abc import Iterator

import pytest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType
from tests.e2e.embedded_client import TIMEOUT_S, committed, create_topic, produce

from headrace.log import kafka_wire, transaction_wire
from headrace.log.hanging_transactions import Verdict, repair_hanging_transactions
from headrace.log.kafka_wire import string, varint
from headrace.log.transaction_wire import DESCRIBE_TRANSACTIONS, WRITE_TXN_MARKERS

pytestmark = pytest.mark.e2e
PRODUCE = (0, 9)
HOUR_MS = 3_600_000


@pytest.fixture(scope="module")
def broker(kafka: str) -> Iterator[str]:
    """A broker that takes transactional batches without asking the coordinator."""
    check(kafka, AlterConfigOpType.SET, "false")
    yield kafka
    check(kafka, AlterConfigOpType.DELETE, None)


def check(bootstrap: str, operation: AlterConfigOpType, value: str | None) -> None:
    entry = ConfigEntry("transaction.partition.verification.enable", value, incremental_operation=operation)
    resource = ConfigResource(ResourceType.BROKER, "1", incremental_configs=[entry])
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.incremental_alter_configs([resource])[resource].result(TIMEOUT_S)


@pytest.fixture
def topic(broker: str) -> str:
    name = f"hanging-{uuid.uuid4().hex[:8]}"
    create_topic(broker, name)
    return name


def ask(bootstrap: str, api: tuple[int, int], body: bytes) -> kafka_wire.Reader:
    host, port = bootstrap.split(":")
    return kafka_wire.ask(host, int(port), api, body, TIMEOUT_S)


def transaction(bootstrap: str, topic: str, value: str, *, commit: bool) -> tuple[int, int]:
    """One whole transaction of a producer named like the topic; its producer id and epoch."""
    producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": topic, "linger.ms": 0})
    producer.init_transactions(TIMEOUT_S)
    producer.begin_transaction()
    producer.produce(topic, value)
    producer.flush(TIMEOUT_S)
    producer.commit_transaction(TIMEOUT_S) if commit else producer.abort_transaction(TIMEOUT_S)
    body = transaction_wire.describe_transactions([topic])
    (description,) = transaction_wire.decode_transactions(ask(bootstrap, DESCRIBE_TRANSACTIONS, body))
    return description.producer_id, description.epoch


def leave_hanging(bootstrap: str, topic: str, value: str, *, producer: tuple[int, int], timestamp_ms: int) -> None:
    """Append a transactional batch that belongs to no transaction any more."""
    producer_id, epoch = producer
    builder = DefaultRecordBatchBuilder(2, 0, 1, producer_id, epoch, 1, 1_000_000)
    builder.append(0, timestamp_ms, None, value.encode(), [])
    records = bytes(builder.build())
    partition = struct.pack(">i", 0) + varint(len(records) + 1) + records + b"\0"
    body = (
        string(topic) + struct.pack(">hi", -1, 10_000) + varint(2) + string(topic) + varint(2) + partition + b"\0\0"
    )
    read = ask(bootstrap, PRODUCE, body)
    read.varint(), read.string(), read.varint(), read.number("i")  # one topic, one partition
    assert read.number("h") == 0


def now_ms() -> int:
    return int(time.time() * 1000)


def test_nothing_hangs_nothing_happens(broker: str, topic: str) -> None:
    transaction(broker, topic, "a", commit=True)
    assert repair_hanging_transactions(broker) == []


@pytest.mark.parametrize(("outcome", "stuck", "freed"), [("COMMIT", ["a"], ["a", "x", "b"]), ("ABORT", [], ["b"])])
def test_a_hanging_transaction_ends_as_it_was_decided(
    broker: str, topic: str, outcome: str, stuck: list[str], freed: list[str]
) -> None:
    producer = transaction(broker, topic, "a", commit=outcome == "COMMIT")
    leave_hanging(broker, topic, "x", producer=producer, timestamp_ms=now_ms() - HOUR_MS)
    produce(broker, topic, ["b"])
    assert committed(broker, topic) == stuck

    looked = repair_hanging_transactions(broker, write=False)
    assert [(each.topic, each.verdict.name, each.written) for each in looked] == [(topic, outcome, False)]
    (found,) = repair_hanging_transactions(broker)
    assert (found.topic, found.start_offset, found.verdict.name, found.written) == (topic, 2, outcome, True)
    assert found.transactional_id == topic
    assert committed(broker, topic) == freed
    assert repair_hanging_transactions(broker) == []


def test_without_a_sure_outcome_nothing_is_written(broker: str, topic: str) -> None:
    producer = transaction(broker, topic, "a", commit=True)
    leave_hanging(broker, topic, "too late", producer=producer, timestamp_ms=now_ms() + HOUR_MS)
    (found,) = repair_hanging_transactions(broker)
    assert (found.verdict, found.written) == (Verdict.UNDECIDED, False)
    assert committed(broker, topic) == ["a"]
    body = transaction_wire.write_marker(*producer, commit=False, split=(topic, 0), coordinator_epoch=0)
    errors = transaction_wire.decode_marker_errors(ask(broker, WRITE_TXN_MARKERS, body))
    assert errors == {(topic, 0): 0}


def test_a_running_transaction_is_left_alone(broker: str, topic: str) -> None:
    producer = Producer({"bootstrap.servers": broker, "transactional.id": topic, "linger.ms": 0})
    producer.init_transactions(TIMEOUT_S)
    producer.begin_transaction()
    producer.produce(topic, "open")
    producer.flush(TIMEOUT_S)
    assert repair_hanging_transactions(broker) == []
    producer.commit_transaction(TIMEOUT_S)
    assert committed(broker, topic) == ["open"]
