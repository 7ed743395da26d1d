"""TCP ports on the loopback interface: which are free, and who has one that is not."""

from __future__ import annotations

import random
import socket

import psutil

from headrace.errors import HeadraceError

LOOPBACK = "127.0.0.1"
#: Below every system's ephemeral ports: a server that is restarted must not find that some outgoing
#: connection was given its port meanwhile (a client that polls for it can even connect to itself).
CHOSEN_FROM = range(20_000, 30_000)
TRIES = 200


def is_free(port: int) -> bool:
    """Whether a server could listen on the port now; a connection in TIME_WAIT does not hinder it."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def is_open(port: int) -> bool:
    """Whether somebody accepts connections on the port."""
    try:
        socket.create_connection((LOOPBACK, port), 1.0).close()
    except OSError:
        return False
    return True


def choose_port(taken: set[int]) -> int:
    """A free port that is not in ``taken``. Raises HeadraceError ``port-taken`` when none is found."""
    for port in random.sample(CHOSEN_FROM, TRIES):
        if port not in taken and is_free(port):
            return port
    raise HeadraceError("port-taken", f"no free port found in {CHOSEN_FROM.start}-{CHOSEN_FROM.stop - 1}")


def require_free(port: int, purpose: str) -> None:
    """Raise HeadraceError ``port-taken``, naming who listens there where the system tells."""
    if is_free(port):
        return
    raise HeadraceError(
        "port-taken",
        f"port {port} for {purpose} is taken{_holder(port)}",
        hint="end that program, or choose another port: --kafka-port, --redis-port, --rest-port; 0 is any free one",
    )


def _holder(port: int) -> str:
    try:
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
                return f" by process {connection.pid} ({psutil.Process(connection.pid).name()})"
    except (psutil.AccessDenied, psutil.NoSuchProcess):
        pass
    return ""
