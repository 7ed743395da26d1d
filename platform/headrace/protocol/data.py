"""Messages of the data plane: packed exchange messages and lane-log records, msgpack arrays.

Both are arrays by position: fields may be added at the end, never moved. Pure: no I/O.
"""

from __future__ import annotations

import msgspec

#: A packed message is cut here; Kafka refuses more than ``max.message.bytes`` (1 MB on our topics).
PACKED_BYTES_MAX = 900_000


class Packed(msgspec.Struct, array_like=True, gc=False):
    """One message per (target lane, commit), cut into parts: a header, then columns.

    ``previous`` is the number c of the source lane's last committed message to this partition, -1 if none.
    The reader compares it, on part 0, with the last c it saw from that lane: a lost, doubled or reordered
    message fails loudly. ``marks`` are (row, watermark): the watermark holds before that row; a mark at
    ``rows`` follows the last row.
    """

    version: int
    source: int  #: source lane
    c: int
    previous: int
    part: int
    parts: int
    rows: int
    marks: list[tuple[int, int]]
    idle: bool  #: the source lane holds no watermark back until it speaks again
    end: bool  #: the source lane has ended; nothing follows
    codec: str  #: of ``values``: "pickle", "msgpack" or "columns" (headrace.runtime.value_columns)
    keys: bytes  #: msgpack list of str, or pickle list; empty when unkeyed
    values: bytes
    times: bytes  #: msgpack list of event times in ms, or nil where a record has none


class TableChange(msgspec.Struct, array_like=True, gc=False):
    """Changes of one state table in one commit, or one chunk of its snapshot (absolute puts).

    ``puts`` is a pickled list of (namespace, {key: value}); ``deletes`` of (namespace, [key]) with
    None instead of the list when the whole namespace went. Deletes come before puts. ``more``: a single value
    was too large for one change, and ``puts`` goes on in the next change of this table.
    """

    table: str
    puts: bytes
    deletes: bytes
    more: bool = False


class LaneLogRecord(msgspec.Struct, array_like=True, gc=False):
    """What one commit of a lane means. The newest one in the log is the lane's committed state.

    Positions are by input name: "<topic>/<partition>" for Kafka sources and exchanges.
    """

    version: int
    c: int
    by: str  #: which attempt of which process committed: tells "mine went through" from "another's"
    positions: dict[str, int]
    stops: dict[str, int]  #: bounded sources: end position of each split, resolved once
    seen: dict[str, dict[int, int]]  #: edge to source lane to last c read
    sent: dict[str, dict[int, int]]  #: edge to target lane to last c written
    split_watermarks: dict[str, int]
    lane_watermarks: dict[str, dict[int, int]]  #: edge to source lane to its watermark
    ended: dict[str, list[int]]  #: edge to source lanes whose end mark was read
    idle: dict[str, list[int]]
    watermark: int  #: how far timers have fired
    finished: bool
    snapshot_from: int  #: offset from which the log restores the whole state; -1: from its start
    mark: int  #: 0 none, 1 a snapshot begins here, 2 it ends here
    part: int
    parts: int
    changes: list[TableChange]
    chunk: list[TableChange]


encode = msgspec.msgpack.Encoder().encode
decode_packed = msgspec.msgpack.Decoder(Packed).decode
decode_lane_log = msgspec.msgpack.Decoder(LaneLogRecord).decode
