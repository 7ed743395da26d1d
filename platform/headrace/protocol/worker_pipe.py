"""Messages between a TaskManager and its slot workers: msgpack, each behind a 4-byte big-endian length.

Down the worker's stdin: StartLane, StopLane, ResumeLane, Exit. Up a pipe whose descriptor is the worker's only
argument: Heartbeat, LaneMoved, LaneFenced, LaneLog, Metrics. A closed pipe ends the worker.

Pure: no I/O; ``Decoder`` is fed bytes and gives messages.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import msgspec


class LaneTask(msgspec.Struct, frozen=True):
    """All that a worker needs to run one lane. ``graph`` is JobGraph JSON; ``code`` a local file or "".

    ``paths`` go on sys.path, first; ``packages`` are the versions that the functions were made with.
    """

    job: str
    name: str
    incarnation: int
    lane: str
    attempt: str
    graph: bytes
    code: str
    delivery: str
    config: dict[str, str]
    source_partitions: dict[str, dict[str, int]]
    paths: list[str] = []
    packages: dict[str, str] = {}


class StartLane(msgspec.Struct, tag="start", frozen=True):
    task: LaneTask


class StopLane(msgspec.Struct, tag="stop", frozen=True):
    """End the lane after its current commit; answered by LaneMoved(CANCELED)."""

    lane: str
    attempt: str


class ResumeLane(msgspec.Struct, tag="resume", frozen=True):
    """Answer to LaneFenced after the plans were read to their end: the lane is still yours, rebuild."""

    lane: str
    attempt: str


class Exit(msgspec.Struct, tag="exit", frozen=True):
    """End the process after the current commits."""


class Heartbeat(msgspec.Struct, tag="heartbeat", frozen=True):
    """Once a second from the worker's main thread: the process is alive and its interpreter not stuck."""

    pid: int


class LaneMoved(msgspec.Struct, tag="moved", frozen=True):
    """The lane entered a state: INITIALIZING, RUNNING, FINISHED, CANCELED or FAILED."""

    lane: str
    attempt: str
    state: str
    reason: str = ""
    error: str = ""
    traceback: str = ""
    user: bool = False
    retryable: bool = True
    committed: bool = False  #: FAILED: whether this attempt had committed since its start
    code: str = ""  #: FAILED: of an error that docs/errors explains


class LaneFenced(msgspec.Struct, tag="fenced", frozen=True):
    """Another process initialised this lane's id. The lane waits for ResumeLane or StopLane."""

    lane: str
    attempt: str


class Metrics(msgspec.Struct, tag="metrics", frozen=True):
    """Twice a second: lane name to LaneMetrics as JSON bytes, and the worker's own CPU seconds."""

    lanes: dict[str, bytes]
    cpu_s: float


Down = StartLane | StopLane | ResumeLane | Exit
Up = Heartbeat | LaneMoved | LaneFenced | Metrics

MESSAGE_BYTES_MAX = 8_000_000
_encode = msgspec.msgpack.Encoder().encode


def frame(message: Down | Up) -> bytes:
    """One message with its length in front."""
    body = _encode(message)
    return struct.pack(">I", len(body)) + body


class Decoder:
    """Collects bytes of one direction; ``feed`` yields every whole message."""

    def __init__(self, type_: object) -> None:
        self._decode = msgspec.msgpack.Decoder(type_).decode
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[object]:
        self._buffer += data
        while len(self._buffer) >= 4:
            (length,) = struct.unpack_from(">I", self._buffer)
            if length > MESSAGE_BYTES_MAX:
                raise ValueError(f"message of {length} bytes on a worker pipe")
            if len(self._buffer) < 4 + length:
                return
            body = bytes(self._buffer[4 : 4 + length])
            del self._buffer[: 4 + length]
            yield self._decode(body)
