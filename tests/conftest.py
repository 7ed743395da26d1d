"""Fixtures for all tests: one Kafka and one Redis for the whole run, started when the first test asks."""

from __future__ import annotations

import signal
import uuid
from collections.abc import Iterator

import pytest
from tests import servers


def pytest_configure() -> None:
    """Whoever starts the tests in the background may have told this process to ignore Ctrl-C, and so its children."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_report_header() -> str:
    return f"servers: {servers.chosen().value}"


@pytest.fixture(scope="session")
def addresses(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Addresses]:
    with servers.running(tmp_path_factory.mktemp("servers")) as running:
        yield running


@pytest.fixture(scope="session")
def kafka(addresses: servers.Addresses) -> str:
    """Bootstrap address of a real Kafka."""
    return addresses.bootstrap


@pytest.fixture(scope="session")
def redis(addresses: servers.Addresses) -> str:
    """URL of a real Redis."""
    return addresses.redis


@pytest.fixture(scope="module")
def namespace(request: pytest.FixtureRequest) -> str:
    """Prefix for topics, groups and keys, of this test module in this run only."""
    module = request.module.__name__.rpartition(".")[2].removeprefix("test_").replace("_", "-")
    return f"{module}-{uuid.uuid4().hex[:8]}"


# The same two under the names that say what they hold.
@pytest.fixture(scope="session")
def kafka_bootstrap(kafka: str) -> str:
    return kafka


@pytest.fixture(scope="session")
def redis_url(redis: str) -> str:
    return redis
