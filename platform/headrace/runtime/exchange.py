"""Exchanges: rows of one lane packed into one message per target lane and commit, and checked when read.

    EdgeBuffer   collects rows of one output edge by target lane; ``take`` packs them for a commit
    ExchangeReader   checks the order of every message of one input edge and gives its rows back

Columns, not rows: keys, values and event times travel as three blobs, so that packing and unpacking cost
three calls per message. Pure apart from the user's key selector.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import msgspec

from headrace.errors import UsageError
from headrace.graph.job_graph import Edge, Ship
from headrace.graph.keys import KEY_GROUPS, key_group, lane_of_group
from headrace.graph.keys import encode as encode_key
from headrace.protocol.data import PACKED_BYTES_MAX, Packed, decode_packed
from headrace.protocol.data import encode as encode_msgpack
from headrace.runtime.direct import same_start
from headrace.runtime.ports import MIN_WATERMARK
from headrace.runtime.value_columns import decode_values, encode_values

ROWS_PER_PART_MAX = 20_000
#: A watermark that moved this far is told to lanes that got no rows.
WATERMARK_STEP_MS = 1_000
TARGET_CACHE_MAX = 200_000

#: One part of what goes to a lane: rows, codec of the values, keys, values, times.
_Part = tuple[int, str, bytes, bytes, bytes]

_decode_list = msgspec.msgpack.Decoder(list).decode


class RecordTooLargeError(UsageError):
    """One row does not fit a Kafka message. Retrying cannot help."""

    def __init__(self, writer: str, size_bytes: int) -> None:
        super().__init__(
            "record-too-large",
            f"{writer} gave a record of {size_bytes} bytes; with its key it must stay below {PACKED_BYTES_MAX} bytes",
            hint="send a reference to the data on, or cut it into several records",
        )


class ExchangeOrderError(Exception):
    """A packed message was lost, doubled or reordered. The lane must not go on."""


def _fresh_columns(lanes: int) -> list[tuple[list[Any], list[Any], list[Any]]]:
    return [([], [], []) for _ in range(lanes)]


class EdgeBuffer:
    """Rows of one output edge since the last commit, by target lane.

    ``write(value, time_ms)`` is called once per row from generated code: it is a closure made for the edge's
    way of shipping. ``rows`` is not kept per write; ``row_count`` sums the columns.
    """

    def __init__(self, edge: Edge, *, source_lane: int, target_lanes: int, writer: str = "") -> None:
        """``writer``: the name of the operator that writes, for errors."""
        self.edge = edge
        self._writer_name = repr(writer) if writer else f"edge {edge.id}"
        self._source_lane = source_lane
        self.target_lanes = self._lanes = target_lanes
        self._columns = _fresh_columns(target_lanes)
        self._told = [MIN_WATERMARK] * target_lanes
        #: Lanes that hear from this one: a forward edge has one, the others do not wait for its watermarks or end.
        self._hearers = [source_lane] if edge.ship is Ship.FORWARD else list(range(target_lanes))
        self._idle_told = False
        self.write: Callable[[Any, int | None], None] = self._writer()

    def set_key_selector(self, key_of: Callable[[Any], Any]) -> None:
        """The user's key selector of a hash edge, before the first write of an opened chain."""
        self.write = self._hash_writer(key_of)

    def set_partition(self, lane_of: Callable[[Any, int], int]) -> None:
        """The same for a custom edge: lane_of(value, lanes) from the user's partitioner."""
        self.write = self._custom_writer(lane_of)

    def _writer(self) -> Callable[[Any, int | None], None]:
        match self.edge.ship:
            case Ship.HASH | Ship.CUSTOM:
                return self._unkeyed
            case Ship.FORWARD:
                return self._single_writer(self._source_lane)
            case Ship.GLOBAL:
                return self._single_writer(0)
            case Ship.REBALANCE:
                return self._rebalance_writer()
            case Ship.BROADCAST:
                return self._broadcast_writer()

    def _unkeyed(self, value: Any, time_ms: int | None) -> None:
        raise RuntimeError(f"edge {self.edge.id} has no key selector yet")

    def _hash_writer(self, key_of: Callable[[Any], Any]) -> Callable[[Any, int | None], None]:
        columns = self._columns
        lanes = [lane_of_group(group, self._lanes) for group in range(KEY_GROUPS)]
        targets: dict[str, int] = {}  # str keys only: 1, 1.0 and True are equal as dict keys, not as stream keys

        def target_of(key: Any) -> int:
            target = lanes[key_group(encode_key(key))]
            if type(key) is str:
                if len(targets) >= TARGET_CACHE_MAX:
                    targets.clear()
                targets[key] = target
            return target

        def write(value: Any, time_ms: int | None) -> None:
            key = key_of(value)
            target = targets.get(key) if type(key) is str else None
            if target is None:
                target = target_of(key)
            keys, values, times = columns[target]
            keys.append(key)
            values.append(value)
            times.append(time_ms)

        return write

    def _single_writer(self, target: int) -> Callable[[Any, int | None], None]:
        columns = self._columns

        def write(value: Any, time_ms: int | None) -> None:
            _, values, times = columns[target]
            values.append(value)
            times.append(time_ms)

        return write

    def _custom_writer(self, lane_of: Callable[[Any, int], int]) -> Callable[[Any, int | None], None]:
        columns, lanes = self._columns, self._lanes

        def write(value: Any, time_ms: int | None) -> None:
            _, values, times = columns[lane_of(value, lanes)]
            values.append(value)
            times.append(time_ms)

        return write

    def _rebalance_writer(self) -> Callable[[Any, int | None], None]:
        columns, lanes = self._columns, self._lanes
        target = self._source_lane % lanes

        def write(value: Any, time_ms: int | None) -> None:
            nonlocal target
            _, values, times = columns[target]
            values.append(value)
            times.append(time_ms)
            target = (target + 1) % lanes

        return write

    def _broadcast_writer(self) -> Callable[[Any, int | None], None]:
        columns = self._columns

        def write(value: Any, time_ms: int | None) -> None:
            for _, values, times in columns:
                values.append(value)
                times.append(time_ms)

        return write

    def row_count(self) -> int:
        return sum(len(column[1]) for column in self._columns)

    def has_news(self, watermark: int, *, idle: bool) -> bool:
        """Whether some target lane has not been told this watermark or idleness yet."""
        return idle != self._idle_told or any(self._told[target] < watermark for target in self._hearers)

    def reset(self) -> None:
        """Forget rows and what was told: after an abort or restore everything is told again."""
        self._columns[:] = _fresh_columns(self._lanes)
        self._told = [MIN_WATERMARK] * self._lanes
        self._idle_told = False

    def take(
        self, c: int, sent: dict[int, int], watermark: int, *, idle: bool, end: bool, tell_all: bool
    ) -> list[tuple[int, bytes]]:
        """Pack everything for commit ``c``: (target lane, message) in order; ``sent`` is updated.

        A lane without rows gets a header alone when the watermark moved a coarse step, idleness or the end
        must be told, or ``tell_all`` (the input went quiet) and it does not know the watermark yet.
        """
        out: list[tuple[int, bytes]] = []
        columns = list(self._columns)
        self._columns[:] = _fresh_columns(self._lanes)
        news = idle != self._idle_told or end
        for target in self._hearers:
            keys, values, times = columns[target]
            told = self._told[target]
            behind = watermark > told
            if not (values or news or (behind and (tell_all or watermark - told >= WATERMARK_STEP_MS))):
                continue
            parts = self._pack(keys, values, times)
            for part, (rows, codec, key_blob, value_blob, time_blob) in enumerate(parts):
                last = part == len(parts) - 1
                message = Packed(
                    1,
                    self._source_lane,
                    c,
                    sent.get(target, -1),
                    part,
                    len(parts),
                    rows,
                    [(rows, watermark)] if last and watermark != MIN_WATERMARK else [],
                    idle and last,
                    end and last,
                    codec,
                    key_blob,
                    value_blob,
                    time_blob,
                )
                out.append((target, encode_msgpack(message)))
            sent[target] = c
            self._told[target] = max(told, watermark)
        self._idle_told = idle
        return out

    def _pack(self, keys: list[Any], values: list[Any], times: list[Any]) -> list[_Part]:
        if not values:
            return [(0, self.edge.codec, b"", b"", b"")]
        out = []
        for start in range(0, len(values), ROWS_PER_PART_MAX):
            stop = start + ROWS_PER_PART_MAX
            out += self._pack_part(keys[start:stop], values[start:stop], times[start:stop])
        return out

    def _pack_part(self, keys: list[Any], values: list[Any], times: list[Any]) -> list[_Part]:
        codec, value_blob = encode_values(values, self.edge.codec)
        key_blob = _encode_keys(keys) if keys else b""
        time_blob = encode_msgpack(times)
        size = len(value_blob) + len(key_blob) + len(time_blob)
        if size <= PACKED_BYTES_MAX:
            return [(len(values), codec, key_blob, value_blob, time_blob)]
        if len(values) == 1:
            raise RecordTooLargeError(self._writer_name, size)
        half = len(values) // 2
        return self._pack_part(keys[:half], values[:half], times[:half]) + self._pack_part(
            keys[half:], values[half:], times[half:]
        )


def _encode_keys(keys: list[Any]) -> bytes:
    """All plain str: msgpack (first byte of an array is never 0x80); anything else: pickle (first byte 0x80)."""
    if set(map(type, keys)) == {str}:
        return encode_msgpack(keys)
    return pickle.dumps(keys, 5)


def _decode_keys(blob: bytes) -> list[Any]:
    return pickle.loads(blob) if blob[:1] == b"\x80" else _decode_list(blob)


class Rows:
    """Rows of one packed message, ready for the chain."""

    __slots__ = ("keys", "message", "times", "values")

    def __init__(self, message: Packed) -> None:
        self.message = message
        self.keys: list[Any] | None = _decode_keys(message.keys) if message.keys else None
        if not message.rows:
            self.values: list[Any] = []
            self.times: list[int | None] = []
            return
        self.values = decode_values(message.codec, message.values)
        self.times = _decode_list(message.times)


class ExchangeReader:
    """Checks one input edge of a lane: every message continues where its source lane's last one ended."""

    def __init__(self, edge_id: str, topic: str, *, direct: bool = False) -> None:
        """``direct``: the source lanes send at least once, numbered as ``headrace.runtime.direct`` says."""
        self._edge_id = edge_id
        self._topic = topic
        self._direct = direct
        self._next_part: dict[int, tuple[int, int]] = {}  # source lane -> (c, part expected next)

    def reset(self) -> None:
        self._next_part.clear()

    def read(self, data: bytes, offset: int, seen: dict[int, int]) -> Rows | None:
        """Decode one message and advance ``seen``; None when it comes from an older start of a direct lane.

        Raises ExchangeOrderError when the message does not continue what was seen from its source lane.
        """
        message = decode_packed(data)
        source = message.source
        last = seen.get(source, -1)
        if self._direct and last >= 0 and not same_start(message.c, last):
            if message.c < last:
                return None
            last = -1  # a later start of the source lane: a new beginning
        if message.part == 0:
            ok = message.previous == last and message.c > last
        else:
            ok = last == message.c and self._next_part.get(source, (message.c, message.part)) == (
                message.c,
                message.part,
            )
        if not ok:
            raise ExchangeOrderError(
                f"{self._topic} offset {offset}: edge {self._edge_id}, source lane {source}: message c={message.c} "
                f"part {message.part} follows {message.previous}, but the last one seen was {last}"
            )
        seen[source] = message.c
        if message.part + 1 < message.parts:
            self._next_part[source] = (message.c, message.part + 1)
        else:
            self._next_part.pop(source, None)
        return Rows(message)
