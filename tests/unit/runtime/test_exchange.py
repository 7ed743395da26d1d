"""Exchanges: what is packed comes out equal and in order; what is lost, doubled or reordered fails."""

from __future__ import annotations

from typing import Any

import pytest

from headrace.graph.job_graph import Edge, Ship
from headrace.graph.keys import encode, key_group, lane_of_group
from headrace.protocol.data import PACKED_BYTES_MAX, decode_packed
from headrace.runtime.exchange import EdgeBuffer, ExchangeOrderError, ExchangeReader, RecordTooLargeError
from headrace.runtime.failures import describe
from headrace.runtime.ports import MAX_WATERMARK, MIN_WATERMARK


def hash_buffer(lanes: int = 4, codec: str = "pickle") -> EdgeBuffer:
    edge = Edge(id="e0", source="v0", operator=0, target="v1", ship=Ship.HASH, key="f0", codec=codec)
    buffer = EdgeBuffer(edge, source_lane=1, target_lanes=lanes)
    buffer.set_key_selector(lambda value: value[0])
    return buffer


def plain_buffer(ship: Ship, lanes: int = 3) -> EdgeBuffer:
    edge = Edge(id="e0", source="v0", operator=0, target="v1", ship=ship)
    return EdgeBuffer(edge, source_lane=1, target_lanes=lanes)


def take(
    buffer: EdgeBuffer, c: int, sent: dict[int, int], watermark: int = 0, **flags: bool
) -> list[tuple[int, bytes]]:
    options = {"idle": False, "end": False, "tell_all": False, **flags}
    return buffer.take(c, sent, watermark, **options)


def read_all(messages: list[tuple[int, bytes]], lane: int, seen: dict[int, int]) -> list[tuple[Any, Any, Any]]:
    reader, rows = ExchangeReader("e0", "x"), []
    for offset, (target, data) in enumerate(messages):
        if target == lane:
            part = reader.read(data, offset, seen)
            rows += list(zip(part.keys or [None] * len(part.values), part.values, part.times, strict=True))
    return rows


@pytest.mark.parametrize("codec", ["pickle", "msgpack"])
def test_rows_reach_the_lane_of_their_key_group_in_order(codec: str) -> None:
    buffer = hash_buffer(codec=codec)
    values = [[f"k{n % 7}", n] for n in range(100)]
    for n, value in enumerate(values):
        buffer.write(value, n)
    messages = take(buffer, 0, {})
    for lane in range(4):
        expected = [(v[0], v, n) for n, v in enumerate(values) if lane_of_group(key_group(encode(v[0])), 4) == lane]
        assert read_all(messages, lane, {}) == expected


def test_equal_looking_keys_of_other_types_are_other_keys() -> None:
    buffer = hash_buffer(lanes=64)
    keys = [1, True, 1.0, "1", b"1", None, (1, "a")]
    for key in keys:
        buffer.write([key], None)
    messages = take(buffer, 0, {})
    for key in keys:
        lane = lane_of_group(key_group(encode(key)), 64)
        assert any(type(k) is type(key) and k == key for k, _, _ in read_all(messages, lane, {}))


def test_ways_of_shipping() -> None:
    targets = {}
    for ship in (Ship.FORWARD, Ship.GLOBAL, Ship.REBALANCE, Ship.BROADCAST):
        buffer = plain_buffer(ship)
        for n in range(6):
            buffer.write(n, None)
        messages = take(buffer, 0, {})
        targets[ship] = {lane: [v for _, v, _ in read_all(messages, lane, {})] for lane in range(3)}
    assert targets[Ship.FORWARD] == {0: [], 1: list(range(6)), 2: []}
    assert targets[Ship.GLOBAL] == {0: list(range(6)), 1: [], 2: []}
    assert sorted(sum(targets[Ship.REBALANCE].values(), [])) == list(range(6))
    assert all(len(values) == 2 for values in targets[Ship.REBALANCE].values())
    assert targets[Ship.BROADCAST] == {lane: list(range(6)) for lane in range(3)}


def test_commits_without_rows_are_skipped_and_the_chain_of_c_stays_whole() -> None:
    buffer, sent, seen = plain_buffer(Ship.GLOBAL), {}, {}
    reader = ExchangeReader("e0", "x")
    for c in range(5):
        if c % 2 == 0:
            buffer.write(c, None)
        for _, data in take(buffer, c, sent, watermark=MIN_WATERMARK):
            reader.read(data, c, seen)
    assert seen == {1: 4} and sent == {0: 4}


def test_a_lost_doubled_or_reordered_message_fails() -> None:
    buffer, sent = plain_buffer(Ship.GLOBAL), {}
    messages = []
    for c in range(3):
        buffer.write(c, None)
        messages += [data for target, data in take(buffer, c, sent) if target == 0]
    for order in ([0, 2], [0, 0], [0, 1, 1], [1], [0, 2, 1]):
        reader, seen = ExchangeReader("e0", "x"), dict[int, int]()
        with pytest.raises(ExchangeOrderError):
            for n in order:
                reader.read(messages[n], n, seen)


def test_large_commits_are_cut_into_parts_and_a_missing_part_fails() -> None:
    buffer = plain_buffer(Ship.GLOBAL)
    for n in range(3):
        buffer.write(bytes([n]) * 600_000, n)
    messages = [m for m in take(buffer, 0, {}, watermark=77) if m[0] == 0]
    assert len(messages) == 3
    assert all(len(data) < PACKED_BYTES_MAX + 1000 for _, data in messages)
    assert [decode_packed(data).marks for _, data in messages] == [[], [], [(1, 77)]]
    assert [t for _, _, t in read_all(messages, 0, {})] == [0, 1, 2]
    with pytest.raises(ExchangeOrderError):
        read_all([messages[0], messages[2]], 0, {})


def test_a_reader_restarted_between_parts_goes_on() -> None:
    buffer = plain_buffer(Ship.GLOBAL)
    for n in range(3):
        buffer.write(bytes([n]) * 600_000, n)
    messages = [m for m in take(buffer, 0, {}) if m[0] == 0]
    seen: dict[int, int] = {}
    first = read_all(messages[:1], 0, seen)
    assert [t for _, _, t in first + read_all(messages[1:], 0, seen)] == [0, 1, 2]


def test_one_record_that_fits_no_message_is_refused_by_name() -> None:
    buffer = plain_buffer(Ship.GLOBAL)
    buffer.write(bytes(PACKED_BYTES_MAX + 1), None)
    with pytest.raises(RecordTooLargeError, match="edge e0"):
        take(buffer, 0, {})


def test_a_record_too_large_is_told_in_one_line_with_its_operator() -> None:
    edge = Edge(id="e0", source="v1", operator=0, target="v2", ship=Ship.GLOBAL)
    buffer = EdgeBuffer(edge, source_lane=0, target_lanes=1, writer="Map: photos")
    buffer.write(bytes(PACKED_BYTES_MAX + 1), None)
    with pytest.raises(RecordTooLargeError) as refused:
        take(buffer, 0, {})
    told = describe(refused.value)
    assert told.error.startswith("record-too-large: 'Map: photos' gave a record of 9000")
    assert (told.code, told.user, told.retryable, told.traceback) == ("record-too-large", True, False, "")


def test_watermarks_are_told_on_a_coarse_step_or_when_all_must_know() -> None:
    buffer, sent = plain_buffer(Ship.GLOBAL), {}
    assert len(take(buffer, 0, sent, watermark=1_000)) == 3  # first word to every lane
    assert take(buffer, 1, sent, watermark=1_500) == []
    assert buffer.has_news(1_500, idle=False)
    assert len(take(buffer, 1, sent, watermark=1_500, tell_all=True)) == 3
    assert not buffer.has_news(1_500, idle=False)
    assert len(take(buffer, 2, sent, watermark=2_500)) == 3
    assert len(take(buffer, 3, sent, watermark=2_500, idle=True)) == 3
    assert take(buffer, 4, sent, watermark=2_500, idle=True) == []
    assert len(take(buffer, 4, sent, watermark=MAX_WATERMARK, end=True)) == 3


def test_after_reset_rows_are_gone_and_watermarks_told_again() -> None:
    buffer, sent = plain_buffer(Ship.GLOBAL), {}
    take(buffer, 0, sent, watermark=5_000)
    buffer.write("x", None)
    buffer.reset()
    assert buffer.row_count() == 0
    messages = take(buffer, 1, sent, watermark=5_000)
    assert [decode_packed(data).marks for _, data in messages] == [[(0, 5_000)]] * 3
