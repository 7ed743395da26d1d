"""Ten thousand broken messages in the inbox: the Dispatcher goes on, and each that it refuses is a dead letter."""

from __future__ import annotations

import json
import random
import signal
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from tests.e2e.dispatchers import QUIET, DispatcherProcess
from tests.unit.dispatcher.submissions import cancel, encoded, submit
from tests.waiting import wait_until

from headrace.dispatcher.messages import Unreadable, read_message
from headrace.ids import new_job_id

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

MESSAGES = 10_000
ANSWERED_S = 180.0
#: What JSON can hold where something else was expected.
STRANGE: tuple[Any, ...] = (
    *(None, True, -1, 0, 1 << 70, 1e308, "", "\x00", "ä" * 300, "../..", [], {}, [[[]]], {"": {"": None}}),
    *("a" * 32, ["x"] * 100, {"type": "submit"}, "9" * 400),
)


def broken(chance: random.Random, number: int, job: str) -> bytes:
    """One message that is wrong in one way or another; now and then still a valid one."""
    whole = cancel(job, f"f{number}") if chance.random() < 0.2 else submit(job, f"f{number}")
    value = encoded(whole)
    match chance.randrange(7):
        case 0:
            return chance.randbytes(chance.randrange(1, 200))
        case 1:
            return value[: chance.randrange(len(value))]
        case 2:
            at = chance.randrange(len(value))
            return value[:at] + chance.randbytes(chance.randrange(1, 4)) + value[at + 1 :]
        case 3:
            depth = chance.randrange(1, 3000)
            return b'{"version":' + b"[" * depth + b"]" * chance.choice((depth, depth - 1)) + b"}"
        case 4:
            return json.dumps([whole] * chance.randrange(3)).encode()
        case _:
            for _ in range(chance.randrange(1, 4)):
                bend(chance, whole)
            return encoded(whole)


def bend(chance: random.Random, message: dict[str, Any]) -> None:
    """Replace, remove or add one thing somewhere in the message."""
    at: Any = message
    while True:
        keys = list(at) if isinstance(at, dict) else list(range(len(at)))
        if not keys:
            return
        key = chance.choice(keys)
        inner = at[key]
        if isinstance(inner, dict | list) and inner and chance.random() < 0.7:
            at = inner
            continue
        match chance.randrange(3):
            case 0:
                at[key] = deepcopy(chance.choice(STRANGE))
            case 1:
                del at[key]
            case _ if isinstance(at, dict):
                at[f"{key}x"] = deepcopy(chance.choice(STRANGE))
            case _:
                at.append(deepcopy(chance.choice(STRANGE)))
        return


@pytest.fixture
def dispatcher(tmp_path: Path, kafka: str, redis: str, namespace: str) -> Iterator[DispatcherProcess]:
    process = DispatcherProcess(tmp_path, namespace, kafka, redis, namespace)
    yield process
    if process.process.poll() is None:
        process.stop(signal.SIGKILL)


def test_ten_thousand_broken_messages(dispatcher: DispatcherProcess, kafka: str, namespace: str) -> None:
    dispatcher.wait_acting()
    chance, job = random.Random(4), new_job_id()
    sent: dict[tuple[int, int], bytes] = {}
    producer = Producer({"bootstrap.servers": kafka, **QUIET})
    messages = [broken(chance, number, job) for number in range(MESSAGES)]
    messages.append(encoded(submit(job, "last")))
    for value in messages:
        producer.produce(
            f"{namespace}.jobs",
            value,
            on_delivery=lambda error, at, value=value: sent.update({(at.partition(), at.offset()): value}),
        )
        producer.poll(0)
    assert producer.flush(60) == 0
    assert len(sent) == len(messages)
    refused = {at for at, value in sent.items() if isinstance(read_message(value), Unreadable)}
    taken = {json.loads(value)["request_id"] for at, value in sent.items() if at not in refused}
    assert len(refused) > 0.9 * MESSAGES

    letters, answers = reader(kafka, f"{namespace}.dead-letters"), reader(kafka, f"{namespace}.job-events")
    dead: dict[tuple[int, int], dict[str, Any]] = {}
    answered: set[str] = set()

    def all_there() -> bool:
        for letter in take(letters):
            dead[letter["partition"], letter["offset"]] = letter
        answered.update(event["request_id"] for event in take(answers) if event["request_id"])
        return dead.keys() >= refused and answered >= taken

    wait_until(all_there, deadline_s=ANSWERED_S)
    letters.close(), answers.close()
    assert dead.keys() == refused
    assert {letter["topic"] for letter in dead.values()} == {f"{namespace}.jobs"}
    assert dispatcher.process.poll() is None
    assert dispatcher.get("/health")[0] == 200
    assert "Traceback" not in dispatcher.output.read_text(errors="replace")


def reader(kafka: str, topic: str) -> Consumer:
    consumer = Consumer({"bootstrap.servers": kafka, **QUIET, "group.id": "nobody", "enable.auto.commit": False})
    partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
    consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
    return consumer


def take(consumer: Consumer) -> list[dict[str, Any]]:
    return [json.loads(m.value()) for m in consumer.consume(1000, 0.1) if m.error() is None and m.value()]
