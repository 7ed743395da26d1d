"""What a lane puts out between two commits: rows for exchanges, records for topics meant for others.

Exactly once, they wait here for the next commit and leave in its transaction. At least once, ``send`` lets them
leave at once (``direct``), and the commit only waits for their acknowledgement.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from headrace.log.lane import LaneConnection, Split
from headrace.runtime.backpressure import Backpressure
from headrace.runtime.commit import SinkRecord
from headrace.runtime.direct import DirectOutput
from headrace.runtime.exchange import EdgeBuffer
from headrace.runtime.ports import Chain

Packed = list[tuple[str, int, bytes]]  #: topic, partition, message


class LaneOutputs:
    """All outputs of one lane."""

    def __init__(
        self,
        buffers: Sequence[EdgeBuffer],
        topics: Mapping[str, str],
        sink_records: list[SinkRecord],
        *,
        direct: bool,
    ) -> None:
        """``topics``: edge id to exchange topic. ``sink_records`` is filled by the chain's sinks."""
        self.backpressure = Backpressure(max((b.target_lanes for b in buffers), default=1))
        self.is_direct = direct
        self.rows_sent = 0  #: at least once: rows and records that left
        self._buffers = buffers
        self._topics = topics
        self._sink_records = sink_records
        self._sent: dict[str, dict[int, int]] = {}
        self._direct: DirectOutput | None = None

    def rewind(self, sent: Mapping[str, Mapping[int, int]], connection: LaneConnection) -> None:
        """Forget what waits; ``sent`` is the committed record's."""
        for buffer in self._buffers:
            buffer.reset()
        self._sink_records.clear()
        self._sent = {edge: dict(lanes) for edge, lanes in sent.items()}
        if self.is_direct:
            self._sent = {}
            self.close()
            self._direct = DirectOutput(connection.plain_producer())

    def close(self) -> None:
        if self._direct is not None:
            self._direct.close()

    def waiting(self) -> int:
        """Rows and records that wait."""
        return sum(buffer.row_count() for buffer in self._buffers) + len(self._sink_records)

    def untold(self, chain: Chain, *, idle: bool) -> bool:
        """Whether some reader does not know this lane's watermark or idleness yet."""
        return any(b.has_news(chain.output_watermark(b.edge.operator), idle=idle) for b in self._buffers)

    def packed(self, c: int, chain: Chain, *, idle: bool, end: bool, tell_all: bool) -> Packed:
        """Take the rows of all output edges as messages of commit ``c``."""
        messages: Packed = []
        for buffer in self._buffers:
            topic, watermark = self._topics[buffer.edge.id], chain.output_watermark(buffer.edge.operator)
            sent = self._sent.setdefault(buffer.edge.id, {})
            taken = buffer.take(c, sent, watermark, idle=idle, end=end, tell_all=tell_all)
            messages += [(topic, target, value) for target, value in taken]
        return messages

    def sink_records(self) -> list[SinkRecord]:
        """Take the records for topics meant for others."""
        records = list(self._sink_records)
        self._sink_records.clear()
        return records

    def sent(self) -> dict[str, dict[int, int]]:
        """Edge to target lane to the last c written, for the lane log."""
        return {} if self.is_direct else {edge: dict(lanes) for edge, lanes in self._sent.items()}

    # ---- at least once

    def open_direct(self, commit: int) -> None:
        """The first commit since the rewind stands."""
        if self._direct is not None:
            self._direct.open(commit)

    def send(self, chain: Chain, *, idle: bool, end: bool, tell_all: bool) -> None:
        """Everything that waits leaves now. Raises LogError with ABORT when a record is refused."""
        assert self._direct is not None
        self.rows_sent += self.waiting()
        c = self._direct.next_number()
        messages = self.packed(c, chain, idle=idle, end=end, tell_all=tell_all)
        self._direct.send(messages, self.sink_records())
        self.backpressure.sent(c, sizes(messages))

    def cut(self) -> Callable[[float], None] | None:
        """A wait until all that left up to now is acknowledged; None exactly once. Raises LogError with ABORT."""
        return None if self._direct is None else self._direct.cut()


def sizes(messages: Packed) -> list[tuple[Split, int]]:
    return [((topic, target), len(value)) for topic, target, value in messages]
