"""One look at a server: does it answer what its clients will ask? Each look takes a few seconds at most.

A probe returns "" when the server is ready, else what is missing in plain words. It never raises for a server
that is not there yet.
"""

from __future__ import annotations

import http.client
import json
import struct
import urllib.error
import urllib.request
from collections.abc import Callable

from headrace.embedded.ports import LOOPBACK, is_open
from headrace.log.kafka_wire import WireError, ask, string, varint

Probe = Callable[[], str]

REQUEST_TIMEOUT_S = 2.0
#: Consumer group and transactional id that the probe asks for: with the first ask the broker makes the
#: topics behind its coordinators, which would else cost the first job seconds.
WARM_UP = "headrace-ready"
GROUP, TRANSACTION = 0, 1
FIND_COORDINATOR = (10, 4)
LIST_GROUPS = (16, 3)
INIT_PRODUCER_ID = (22, 4)
KAFKA_TIMEOUT_S = 5.0
WARM_UP_TRANSACTION_TIMEOUT_MS = 10_000


def kafka_probe(port: int) -> Probe:
    """The port is open and both coordinators answer: every group is loaded, a producer gets its id.

    In Kafka's own wire format: a client library's objects, made and dropped while a broker comes up, were seen to
    crash the process.
    """

    def probe() -> str:
        if not is_open(port):
            return "its port is not open yet"
        try:
            found = [_find_coordinator(port, GROUP), _find_coordinator(port, TRANSACTION)]  # both are made at once
            ready = not any(found) and _list_groups(port) == 0 and _init_producer_id(port) == 0
        except (OSError, WireError) as error:
            return f"it does not answer yet: {error}"
        return "" if ready else "its coordinators are not ready yet"

    return probe


def _find_coordinator(port: int, kind: int) -> int:
    """Error code, here and below; 0 is success. Makes the coordinator's topic if there is none."""
    read = ask(
        LOOPBACK,
        port,
        FIND_COORDINATOR,
        struct.pack(">b", kind) + varint(2) + string(WARM_UP) + b"\0",
        KAFKA_TIMEOUT_S,
    )
    read.number("i")  # throttle time
    read.varint()  # one answer
    read.string(), read.number("i"), read.string(), read.number("i")  # key, node, host, port
    return read.number("h")


def _list_groups(port: int) -> int:
    """Refused while any part of the group coordinator still loads."""
    read = ask(LOOPBACK, port, LIST_GROUPS, b"\0", KAFKA_TIMEOUT_S)
    read.number("i")  # throttle time
    return read.number("h")


def _init_producer_id(port: int) -> int:
    body = string(WARM_UP) + struct.pack(">iqh", WARM_UP_TRANSACTION_TIMEOUT_MS, -1, -1) + b"\0"
    read = ask(LOOPBACK, port, INIT_PRODUCER_ID, body, KAFKA_TIMEOUT_S)
    read.number("i")  # throttle time
    return read.number("h")


def redis_probe(url: str) -> Probe:
    """PING is answered; a server that still loads its file refuses."""
    import redis

    def probe() -> str:
        try:
            with redis.Redis.from_url(url, socket_timeout=REQUEST_TIMEOUT_S) as client:
                client.ping()
        except redis.RedisError as error:
            return f"it does not answer yet: {error}"
        return ""

    return probe


def dispatcher_probe(rest: str) -> Probe:
    """/health answers 200."""

    def probe() -> str:
        try:
            with urllib.request.urlopen(f"{rest}/health", timeout=REQUEST_TIMEOUT_S) as answer:
                return "" if answer.status == 200 else f"/health answers {answer.status}"
        except urllib.error.HTTPError as error:
            return f"/health answers {error.code}"
        except (OSError, http.client.HTTPException):
            return "/health does not answer yet"

    return probe


def taskmanager_probe(redis_url: str, namespace: str, pid: int) -> Probe:
    """A liveness record of the process with this pid stands in Redis."""
    import redis

    from headrace.protocol.redis_keys import RedisKeys

    keys = RedisKeys(namespace)

    def probe() -> str:
        try:
            with redis.Redis.from_url(redis_url, socket_timeout=REQUEST_TIMEOUT_S, decode_responses=True) as client:
                ids = client.smembers(keys.taskmanagers)
                records = client.mget([keys.taskmanager(each) for each in ids]) if ids else []
        except redis.RedisError as error:
            return f"Redis does not answer: {error}"
        if any(json.loads(record).get("pid") == pid for record in records if record):
            return ""
        return "it has not registered yet"

    return probe
