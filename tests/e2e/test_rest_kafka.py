"""Look-ups that REST makes in a real Kafka: the last records that count, offsets, groups, and its bounds."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from tests.e2e.dispatchers import QUIET, free_port

from headrace.errors import UnavailableError
from headrace.log.control import ControlRecord, LogUnavailableError
from headrace.rest import kafka_view
from headrace.rest.kafka_view import KafkaView
from streamctl.trial.filling import create_topics

pytestmark = pytest.mark.e2e

RECORDS = 3000


@pytest.fixture(scope="module")
def topic(kafka: str, namespace: str) -> str:
    """One partition: number n in the value, key "a" for every tenth record, else "b"."""
    name = f"{namespace}.last"
    create_topics(kafka, {name: 1})
    write(kafka, name, [(b"b" if n % 10 else b"a", str(n).encode()) for n in range(RECORDS)])
    return name


def write(kafka: str, topic: str, records: list[tuple[bytes, bytes]]) -> None:
    producer = Producer({"bootstrap.servers": kafka, **QUIET})
    for key, value in records:
        producer.produce(topic, value, key, partition=0)
    assert producer.flush(20) == 0


def run(kafka: str, story: Callable[[KafkaView], Awaitable[None]]) -> None:
    async def with_view() -> None:
        view = KafkaView(kafka)
        try:
            await story(view)
        finally:
            view.close()

    asyncio.run(with_view())


def of_a(record: ControlRecord) -> int:
    return int(record.key == "a")


def test_the_newest_in_order(kafka: str, topic: str) -> None:
    async def story(view: KafkaView) -> None:
        for enough, windows in ((1, 200), (20, 200), (21, 1000), (100, 1000)):
            found = await view.last(topic, 0, of_a, enough)
            numbers = [int(record.value or b"") for record in found.records]
            assert numbers == list(range(RECORDS - windows, RECORDS, 10))  # whole windows, so more than asked for
            assert found.complete is False
        everything = await view.last(topic, 0, of_a, RECORDS)
        assert len(everything.records) == RECORDS / 10 and everything.complete
        nothing = await view.last(topic, 0, lambda _: 0, 1)
        assert (nothing.records, nothing.complete) == ([], True)

    run(kafka, story)


def test_a_search_has_an_end(kafka: str, topic: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(view: KafkaView) -> None:
        monkeypatch.setattr(kafka_view, "SEARCH_RECORDS_MAX", 500)
        found = await view.last(topic, 0, lambda record: int(record.value == b"0"), 1)
        assert (found.records, found.complete) == ([], False)
        monkeypatch.undo()
        monkeypatch.setattr(kafka_view, "SEARCH_BYTES_MAX", 40)
        found = await view.last(topic, 0, of_a, 100)
        assert [record.value for record in found.records] == [str(n).encode() for n in range(2900, RECORDS, 10)]
        assert found.complete is False

    run(kafka, story)


def test_records_that_are_gone(kafka: str, namespace: str) -> None:
    name = f"{namespace}.trimmed"
    create_topics(kafka, {name: 1})
    write(kafka, name, [(b"a", str(n).encode()) for n in range(50)])
    admin = AdminClient({"bootstrap.servers": kafka, **QUIET})
    for future in admin.delete_records([TopicPartition(name, 0, 40)]).values():
        future.result(20)

    async def story(view: KafkaView) -> None:
        found = await view.last(name, 0, of_a, 100)
        assert [record.value for record in found.records] == [str(n).encode() for n in range(40, 50)]
        assert found.complete is True

    run(kafka, story)


def test_offsets_and_groups(kafka: str, namespace: str, topic: str) -> None:
    other, group = f"{namespace}.offsets", f"{namespace}.group"
    create_topics(kafka, {other: 3})
    consumer = Consumer({"bootstrap.servers": kafka, "group.id": group, **QUIET})
    consumer.commit(offsets=[TopicPartition(topic, 0, 2990)], asynchronous=False)
    consumer.close()

    async def story(view: KafkaView) -> None:
        missing = f"{namespace}.missing"
        assert await view.partitions([topic, other, missing]) == {topic: 1, other: 3, missing: None}
        splits = [(topic, 0), (other, 2)]
        assert await view.end_offsets([*splits, (missing, 0)]) == {(topic, 0): RECORDS, (other, 2): 0}
        assert await view.end_offsets([]) == {}
        assert await view.committed(group, splits) == {(topic, 0): 2990}
        assert await view.committed(f"{group}-{uuid.uuid4().hex}", splits) == {}

    run(kafka, story)


def test_too_many_look_at_once(kafka: str, topic: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_view, "LOOKS_AT_ONCE_MAX", 2)

    async def story(view: KafkaView) -> None:
        found = await asyncio.gather(*(view.last(topic, 0, of_a, 1) for _ in range(3)), return_exceptions=True)
        busy = [each for each in found if isinstance(each, UnavailableError)]
        assert [error.code for error in busy] == ["rest-busy"]
        assert (await view.last(topic, 0, of_a, 1)).records  # there is room again

    run(kafka, story)


def test_without_kafka(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_view, "CALL_S", 1.0)

    async def story(view: KafkaView) -> None:
        for call in (view.partitions(["t"]), view.end_offsets([("t", 0)]), view.last("t", 0, of_a, 1)):
            with pytest.raises(LogUnavailableError):
                await call

    run(f"127.0.0.1:{free_port()}", story)
