"""Dispatcher processes for tests, and a client that knows nothing but Kafka and JSON."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
import uuid
from pathlib import Path
from typing import Any

import redis
from confluent_kafka import Consumer, Producer, TopicPartition
from tests.waiting import wait_until

START_S = 40.0
QUIET = {"log_level": 0, "error_cb": lambda _error: None}


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class DispatcherProcess:
    """One ``python -m headrace.dispatcher``."""

    def __init__(self, directory: Path, name: str, bootstrap: str, redis_url: str, namespace: str, **settings: str):
        self.port = free_port()
        self.output = directory / f"{name}.err"
        environment = {key: value for key, value in os.environ.items() if not key.startswith("HEADRACE_")} | {
            "HEADRACE_BOOTSTRAP": bootstrap,
            "HEADRACE_REDIS": redis_url,
            "HEADRACE_NAMESPACE": namespace,
            "HEADRACE_REST_PORT": str(self.port),
            "HEADRACE_CONTROL_PARTITIONS": "4",
            **{f"HEADRACE_{key.upper()}": value for key, value in settings.items()},
        }
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "headrace.dispatcher"], env=environment, stdout=output, stderr=output
            )

    def get(self, path: str) -> tuple[int, Any]:
        """Status and body; 0 while nobody listens."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=8) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)
        except OSError:
            return 0, None

    def phases(self) -> list[str]:
        """Of the partitions it owns, sorted."""
        _, body = self.get("/health")
        return sorted(body["partitions"].values()) if body else []

    def wait_acting(self, partitions: int = 4, deadline_s: float = START_S) -> None:
        wait_until(lambda: self.phases() == ["ACTING"] * partitions, deadline_s=deadline_s)

    def said(self) -> list[str]:
        """Lines for a person."""
        lines = self.output.read_text(errors="replace").splitlines()
        return [line.removeprefix("dispatcher: ") for line in lines if line.startswith("dispatcher: ")]

    def stop(self, number: int = signal.SIGTERM, timeout_s: float = 20.0) -> int:
        self.process.send_signal(number)
        if number == signal.SIGKILL:
            self.process.send_signal(signal.SIGCONT)
        return self.process.wait(timeout_s)


class BareClient:
    """Produces JSON to the inbox and reads events, with confluent-kafka alone."""

    def __init__(self, bootstrap: str, namespace: str) -> None:
        self._bootstrap, self._namespace = bootstrap, namespace
        self._producer = Producer({"bootstrap.servers": bootstrap, **QUIET})
        self._readers: dict[str, tuple[Consumer, list[dict[str, Any]]]] = {}

    def send(self, message: dict[str, Any] | bytes) -> None:
        self.send_later(message)
        self.flush()

    def send_later(self, message: dict[str, Any] | bytes) -> None:
        value = message if isinstance(message, bytes) else json.dumps(message).encode()
        self._producer.produce(f"{self._namespace}.jobs", value)

    def flush(self) -> None:
        assert self._producer.flush(20) == 0

    def records(self, topic: str) -> list[dict[str, Any]]:
        """What has been read of a topic until now."""
        if topic not in self._readers:
            self._readers[topic] = self._reader(f"{self._namespace}.{topic}"), []
        consumer, found = self._readers[topic]
        for message in consumer.consume(500, 0.1):
            if message.error() is None and message.value() is not None:
                found.append(json.loads(message.value()))
        return found

    def _reader(self, topic: str) -> Consumer:
        options = QUIET | {"group.id": "nobody", "enable.auto.commit": False, "fetch.wait.max.ms": 50}
        consumer = Consumer({"bootstrap.servers": self._bootstrap, **options})
        partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
        consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
        return consumer

    def event(self, request_id: str, deadline_s: float = 15.0) -> dict[str, Any]:
        """The event that answers a request."""

        def answers() -> list[dict[str, Any]]:
            return [event for event in self.records("job-events") if event["request_id"] == request_id]

        wait_until(answers, deadline_s=deadline_s)
        return answers()[0]

    def close(self) -> None:
        for consumer, _ in self._readers.values():
            consumer.close()


def forget_everything(redis_url: str, namespace: str) -> None:
    """What FLUSHALL does, for one namespace: other tests use the same Redis."""
    with redis.Redis.from_url(redis_url) as client:
        keys = list(client.scan_iter(match=f"{namespace}:*", count=1000))
        if keys:
            client.delete(*keys)


def new_job() -> str:
    return uuid.uuid4().hex
