"""Transactions that no coordinator owns any more but that are still open in a partition: find and end them.

A broker that dies between a commit and its markers must write the markers when it is back. Kafka 4.3.0 and 4.4.0
can forget to (KAFKA-20734): the commit was answered, the coordinator calls the transaction complete, and readers of
committed records stop before it for ever. The repair writes the missing marker with the outcome that the coordinator
had decided, which stands in ``__transaction_state``. Where that cannot be told with certainty nothing is written:
an abort would lose records that were acknowledged as committed.

Called after every start of a broker, before lanes start, and on demand. Nothing hanging: one request per broker.
Plain-text listeners only.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from headrace.clock import monotonic_s
from headrace.log import transaction_wire as wire
from headrace.log.kafka_options import client_options
from headrace.log.kafka_wire import Reader, ask
from headrace.log.transaction_wire import (
    UNFINISHED,
    PartitionProducer,
    TransactionDescription,
    TransactionRecord,
    TransactionStatus,
)

#: confluent-kafka's ClusterMetadata: brokers by id, topics by name with their partitions' leaders.
ClusterMetadata = Any

STATE_TOPIC = "__transaction_state"
REQUEST_TIMEOUT_S = 10.0
#: A coordinator that is still loading is asked again this often, until the caller's deadline.
RETRY_INTERVAL_S = 0.1
#: COORDINATOR_LOAD_IN_PROGRESS, COORDINATOR_NOT_AVAILABLE, NOT_COORDINATOR
_COORDINATOR_NOT_READY = frozenset({14, 15, 16})
_PREPARED = {TransactionStatus.PrepareCommit: "COMMIT", TransactionStatus.PrepareAbort: "ABORT"}


class Verdict(Enum):
    """What is to be done about an open transaction in a partition."""

    OWNED = "a coordinator still owns it and will end it"
    COMMIT = "its commit was decided, the marker is missing"
    ABORT = "its abort was decided, the marker is missing"
    UNDECIDED = "its outcome cannot be told; left alone"


@dataclass(frozen=True)
class HangingTransaction:
    """A transaction without an owner. ``written`` tells whether its marker was written just now."""

    topic: str
    partition: int
    start_offset: int
    producer_id: int
    transactional_id: str
    verdict: Verdict
    reason: str = ""
    written: bool = False


class RepairIncompleteError(Exception):
    """The brokers did not answer in time. Calling again is safe; markers already written count."""


def repair_hanging_transactions(
    bootstrap: str, *, timeout_s: float = 30.0, write: bool = True
) -> list[HangingTransaction]:
    """Find every hanging transaction and end those whose outcome is known; all that were found.

    Raises RepairIncompleteError when brokers do not answer within ``timeout_s``.
    ``write`` False: only look.
    """
    deadline = monotonic_s() + timeout_s
    try:
        return _repair(bootstrap, deadline, write)
    except (OSError, KafkaException) as error:
        raise RepairIncompleteError(f"{bootstrap}: {error}") from error


def decide(
    producer: PartitionProducer, history: Sequence[TransactionRecord], description: TransactionDescription | None
) -> tuple[Verdict, TransactionRecord | None, str]:
    """Verdict, the record that decided it, and why not when undecided. Pure.

    ``history``: the producer id's records in log order. The transaction open in a partition is the last one
    prepared there, because a later one's marker would have ended it too. Its record must be no older than the
    producer's last batch: a batch that came late, after the end of its transaction, has no outcome.
    """
    split = (producer.topic, producer.partition)
    if (
        description is not None
        and description.error == 0
        and description.producer_id == producer.producer_id
        and description.status in UNFINISHED
        and (split in description.partitions or description.epoch == producer.epoch)
    ):
        return Verdict.OWNED, None, ""
    if not history:
        return Verdict.UNDECIDED, None, f"{STATE_TOPIC} has no record of this producer id"
    prepared = [
        record
        for record in history
        if record.status in _PREPARED
        and split in record.partitions
        and record.epoch in (producer.epoch, producer.epoch + 1)  # a fencing abort raises it by one
        and record.updated_ms >= producer.last_timestamp_ms
    ]
    if not prepared:
        return Verdict.UNDECIDED, None, f"{STATE_TOPIC} has no outcome for its records"
    return Verdict[_PREPARED[prepared[-1].status]], prepared[-1], ""


def _repair(bootstrap: str, deadline: float, write: bool) -> list[HangingTransaction]:
    admin = AdminClient(client_options(bootstrap))
    cluster = admin.list_topics(timeout=_left(deadline))
    suspects = _open_producers(cluster, deadline)
    if not suspects:
        return []
    history = _read_history(bootstrap, cluster, deadline)
    descriptions = _describe(cluster, suspects, history, deadline)
    still_open = set(_open_producers(cluster, deadline))
    found = []
    for producer in suspects:
        if producer not in still_open:  # it ended while we looked
            continue
        records = [record for _, record in history.get(producer.producer_id, [])]
        verdict, record, reason = decide(producer, records, descriptions.get(producer.producer_id))
        if verdict is Verdict.OWNED:
            continue
        hanging = HangingTransaction(
            topic=producer.topic,
            partition=producer.partition,
            start_offset=producer.start_offset,
            producer_id=producer.producer_id,
            transactional_id=records[-1].transactional_id if records else "",
            verdict=verdict,
            reason=reason,
        )
        if record is not None and write:
            hanging = _write_marker(cluster, producer, record, hanging, deadline)
        found.append(hanging)
    return found


def _open_producers(cluster: ClusterMetadata, deadline: float) -> list[PartitionProducer]:
    """Every producer with an open transaction, asked from each partition's leader."""
    by_leader: dict[int, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for name, topic in cluster.topics.items():
        if name == STATE_TOPIC:
            continue
        for index, partition in topic.partitions.items():
            if partition.leader >= 0:
                by_leader[partition.leader][name].append(index)
    found = []
    for leader, partitions in by_leader.items():
        answer = _ask(cluster, leader, wire.DESCRIBE_PRODUCERS, wire.describe_producers(partitions), deadline)
        found += [producer for producer in wire.decode_producers(answer) if producer.start_offset >= 0]
    return found


History = Mapping[int, Sequence[tuple[int, TransactionRecord]]]


def _read_history(bootstrap: str, cluster: ClusterMetadata, deadline: float) -> History:
    """Producer id to (partition of the state topic, record) in log order, from all that is left of the topic."""
    history: dict[int, list[tuple[int, TransactionRecord]]] = defaultdict(list)
    if STATE_TOPIC not in cluster.topics:
        return history
    consumer = Consumer(
        {
            **client_options(bootstrap),
            "group.id": "headrace-repair",  # required by the client, never used
            "isolation.level": "read_uncommitted",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
        }
    )
    try:
        consumer.list_topics(STATE_TOPIC, timeout=_left(deadline))
        unread = set(cluster.topics[STATE_TOPIC].partitions)
        consumer.assign([TopicPartition(STATE_TOPIC, partition, 0) for partition in unread])
        while unread:
            for message in consumer.consume(5_000, min(0.1, _left(deadline))):
                error, partition = message.error(), message.partition()
                if error is not None:
                    if error.code() == KafkaError._PARTITION_EOF:
                        unread.discard(partition)
                    continue
                record = wire.decode_transaction_record(message.key() or b"", message.value(), message.timestamp()[1])
                if record is not None and partition is not None:
                    history[record.producer_id].append((partition, record))
    finally:
        consumer.close()
    return history


def _describe(
    cluster: ClusterMetadata, suspects: Iterable[PartitionProducer], history: History, deadline: float
) -> dict[int, TransactionDescription]:
    """Producer id to what the coordinator of its transactional id says now."""
    ids: dict[int, dict[str, int]] = defaultdict(dict)  # coordinator: transactional id: producer id
    for producer_id in {producer.producer_id for producer in suspects}:
        for partition, record in history.get(producer_id, [])[-1:]:
            coordinator = cluster.topics[STATE_TOPIC].partitions[partition].leader
            ids[coordinator][record.transactional_id] = producer_id
    described = {}
    for coordinator, of_coordinator in ids.items():
        body = wire.describe_transactions(list(of_coordinator))
        for description in _ask_coordinator(cluster, coordinator, body, deadline):
            described[of_coordinator[description.transactional_id]] = description
    return described


def _ask_coordinator(
    cluster: ClusterMetadata, coordinator: int, body: bytes, deadline: float
) -> list[TransactionDescription]:
    while True:
        answer = wire.decode_transactions(_ask(cluster, coordinator, wire.DESCRIBE_TRANSACTIONS, body, deadline))
        if not any(description.error in _COORDINATOR_NOT_READY for description in answer):
            return answer
        time.sleep(min(RETRY_INTERVAL_S, _left(deadline)))


def _write_marker(
    cluster: ClusterMetadata,
    producer: PartitionProducer,
    record: TransactionRecord,
    hanging: HangingTransaction,
    deadline: float,
) -> HangingTransaction:
    """End the transaction as its coordinator should have. A refusal is told in the reason."""
    split = (producer.topic, producer.partition)
    body = wire.write_marker(
        producer.producer_id,
        record.epoch,
        commit=hanging.verdict is Verdict.COMMIT,
        split=split,
        coordinator_epoch=max(producer.coordinator_epoch, 0),
    )
    leader = cluster.topics[producer.topic].partitions[producer.partition].leader
    errors = wire.decode_marker_errors(_ask(cluster, leader, wire.WRITE_TXN_MARKERS, body, deadline))
    error = errors.get(split, -1)
    if error:
        return replace(hanging, reason=f"the broker refused the marker with error {error}")
    return replace(hanging, written=True)


def _ask(cluster: ClusterMetadata, broker: int, api: tuple[int, int], body: bytes, deadline: float) -> Reader:
    """One request to one broker of the cluster."""
    address = cluster.brokers[broker]
    return ask(address.host, address.port, api, body, min(REQUEST_TIMEOUT_S, _left(deadline)))


def _left(deadline: float) -> float:
    left = deadline - monotonic_s()
    if left <= 0:
        raise TimeoutError("no answer in time")
    return left
