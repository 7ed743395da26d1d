"""Fixtures of the contract tests: each runs against the memory log and against real Kafka."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
from tests.contract.log_under_test import KafkaServer, LogUnderTest, MemoryServer

from headrace.log.lane_kafka import KafkaLaneConnection
from headrace.log.lane_memory import MemoryLaneConnection
from headrace.log.memory import MemoryBroker


@pytest.fixture(scope="module", params=["memory", "kafka"])
def server(request: pytest.FixtureRequest, namespace: str) -> Iterator[LogUnderTest]:
    if request.param == "memory":
        broker = MemoryBroker()
        yield LogUnderTest("memory", MemoryLaneConnection(broker), MemoryServer(broker), namespace)
        return
    bootstrap = request.getfixturevalue("kafka")
    with contextlib.closing(KafkaLaneConnection(bootstrap)) as connection:
        yield LogUnderTest("kafka", connection, KafkaServer(bootstrap), namespace)


@pytest.fixture
def log(server: LogUnderTest) -> Iterator[LogUnderTest]:
    """The log, with whatever the test opened closed after it."""
    yield server
    while server.opened:
        server.opened.pop().close()
