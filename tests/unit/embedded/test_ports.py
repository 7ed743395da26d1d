from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.embedded.ports import CHOSEN_FROM, choose_port, is_free, is_open, require_free
from headrace.errors import HeadraceError


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which this process listens."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def test_a_listener_is_seen(taken: int) -> None:
    assert is_open(taken) and not is_free(taken)


def test_a_taken_port_is_an_error_that_names_the_holder(taken: int) -> None:
    with pytest.raises(HeadraceError, match=f"port {taken} for Kafka is taken by process {os.getpid()}") as caught:
        require_free(taken, "Kafka")
    assert caught.value.code == "port-taken"


def test_a_closed_port_with_connections_in_time_wait_is_free() -> None:
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as Kafka and Redis do
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        client = socket.create_connection(("127.0.0.1", port))
        accepted, _ = server.accept()
        accepted.close()  # the side that closes first keeps the port in TIME_WAIT
        client.close()
    assert is_free(port) and not is_open(port)


def test_chosen_ports_are_free_different_and_not_ephemeral() -> None:
    ports: set[int] = set()
    for _ in range(50):
        ports.add(choose_port(ports))
    assert len(ports) == 50 and all(port in CHOSEN_FROM and is_free(port) for port in ports)
    ephemeral = Path("/proc/sys/net/ipv4/ip_local_port_range")
    if ephemeral.exists():
        assert CHOSEN_FROM.stop <= int(ephemeral.read_text().split()[0])
