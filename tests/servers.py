"""Real Kafka and Redis for the tests: given ones, containers, or the embedded servers, whichever comes first.

HEADRACE_TEST_BOOTSTRAP and HEADRACE_TEST_REDIS   servers that already run
Docker answers                                    containers of Apache Kafka and Redis
else                                              headrace.embedded, in a directory of its own
"""

from __future__ import annotations

import contextlib
import functools
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

KAFKA_IMAGE = "apache/kafka:4.2.2"
REDIS_IMAGE = "redis:8-alpine"
START_TIMEOUT_S = 120.0


class Servers(Enum):
    GIVEN = "HEADRACE_TEST_BOOTSTRAP"
    CONTAINERS = "testcontainers"
    EMBEDDED = "headrace.embedded"


@dataclass(frozen=True)
class Addresses:
    bootstrap: str
    redis: str


@functools.cache
def chosen() -> Servers:
    """Which servers this run uses; decided once, nothing is started."""
    if "HEADRACE_TEST_BOOTSTRAP" in os.environ:
        return Servers.GIVEN
    return Servers.CONTAINERS if _docker_answers() else Servers.EMBEDDED


@contextlib.contextmanager
def running(directory: Path) -> Iterator[Addresses]:
    """The servers, until the block ends. ``directory``: for what the embedded ones write."""
    if chosen() is Servers.GIVEN:
        yield Addresses(os.environ["HEADRACE_TEST_BOOTSTRAP"], os.environ["HEADRACE_TEST_REDIS"])
    elif chosen() is Servers.CONTAINERS:
        with _containers() as addresses:
            yield addresses
    else:
        with _embedded(directory) as addresses:
            yield addresses


def _docker_answers() -> bool:
    import docker
    from docker.errors import DockerException

    try:
        client = docker.from_env(timeout=5)
    except DockerException:
        return False
    with contextlib.closing(client):
        try:
            return bool(client.ping())
        except DockerException:
            return False


@contextlib.contextmanager
def _containers() -> Iterator[Addresses]:
    from testcontainers.core.container import DockerContainer

    port = _free_port()  # Kafka tells its clients where it is: inside and outside the port must be the same
    kafka = DockerContainer(KAFKA_IMAGE).with_bind_ports(port, port)
    host = kafka.get_container_host_ip()
    for name, value in {
        "NODE_ID": 1,
        "PROCESS_ROLES": "broker,controller",
        "LISTENERS": f"PLAINTEXT://:{port},CONTROLLER://:9093",
        "ADVERTISED_LISTENERS": f"PLAINTEXT://{host}:{port}",
        "CONTROLLER_LISTENER_NAMES": "CONTROLLER",
        "CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
        "LISTENER_SECURITY_PROTOCOL_MAP": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "OFFSETS_TOPIC_REPLICATION_FACTOR": 1,
        "OFFSETS_TOPIC_NUM_PARTITIONS": 8,
        "TRANSACTION_STATE_LOG_REPLICATION_FACTOR": 1,
        "TRANSACTION_STATE_LOG_MIN_ISR": 1,
        "TRANSACTION_STATE_LOG_NUM_PARTITIONS": 8,
        "TRANSACTION_ABORT_TIMED_OUT_TRANSACTION_CLEANUP_INTERVAL_MS": 1000,
        "SHARE_COORDINATOR_STATE_TOPIC_REPLICATION_FACTOR": 1,
        "GROUP_INITIAL_REBALANCE_DELAY_MS": 0,
        "AUTO_CREATE_TOPICS_ENABLE": "false",
    }.items():
        kafka.with_env(f"KAFKA_{name}", str(value))
    redis = DockerContainer(REDIS_IMAGE).with_exposed_ports(6379)
    with kafka, redis:
        addresses = Addresses(
            f"{host}:{port}", f"redis://{redis.get_container_host_ip()}:{redis.get_exposed_port(6379)}/0"
        )
        _wait(addresses)
        yield addresses


@contextlib.contextmanager
def _embedded(directory: Path) -> Iterator[Addresses]:
    from headrace.embedded import EmbeddedCluster

    with EmbeddedCluster(directory, platform=False) as cluster:
        yield Addresses(cluster.addresses.bootstrap, cluster.addresses.redis)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(addresses: Addresses) -> None:
    """Until both servers answer a real question."""
    import redis
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    deadline = time.monotonic() + START_TIMEOUT_S
    admin = AdminClient({"bootstrap.servers": addresses.bootstrap, "log_level": 0, "error_cb": lambda _error: None})
    while True:
        try:
            admin.list_topics(timeout=2)
            with redis.Redis.from_url(addresses.redis) as client:
                client.ping()
            return
        except (KafkaException, redis.RedisError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
