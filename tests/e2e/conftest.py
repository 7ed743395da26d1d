"""One whole platform for the tests of faults and submissions, started when the first of them asks."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import pytest
from tests.e2e.platform_site import Site

from headrace.embedded import EmbeddedCluster

SLOTS = 2


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Kafka, Redis, one Dispatcher, one TaskManager of SLOTS slots under their supervisor."""
    with EmbeddedCluster(tmp_path_factory.mktemp("platform"), name="faults", slots=SLOTS) as cluster:
        yield Site(cluster, tmp_path_factory.mktemp("beside"))


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Print a measurement, whatever pytest does with output."""

    def say(text: str) -> None:
        with capsys.disabled():
            print(f"\n    {text}", flush=True)

    return say


@pytest.fixture
def silent_index() -> Iterator[str]:
    """URL of a package index that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
