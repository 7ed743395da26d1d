"""Lane-log records are cut so that every part fits a Kafka message."""

from __future__ import annotations

from headrace.protocol.data import TableChange, decode_lane_log
from headrace.runtime.lane_log import empty_record, encode_record

MESSAGE_BYTES_MAX = 1_000_000


def test_positions_of_many_splits_are_counted_in_the_first_part() -> None:
    record = empty_record()
    names = [f"company.department.team.application.topic-{n:04}/0" for n in range(800)]
    record.positions = dict.fromkeys(names, 10**12)
    record.stops = dict.fromkeys(names, 10**12)
    record.split_watermarks = dict.fromkeys(names, 10**12)
    record.changes = [TableChange("t", b"x" * 800_000, b""), TableChange("u", b"x" * 99_000, b"")]
    parts = encode_record(record)
    assert max(map(len, parts)) < MESSAGE_BYTES_MAX
    decoded = [decode_lane_log(part) for part in parts]
    assert [part.part for part in decoded] == list(range(len(parts)))
    assert decoded[0].positions == record.positions
    assert [change.table for part in decoded for change in part.changes] == ["t", "u"]
