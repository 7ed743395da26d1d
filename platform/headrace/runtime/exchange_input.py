"""Input of a lane that reads exchanges: its own partition of every input edge."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from headrace.graph.job_graph import Edge
from headrace.log.lane import LaneConnection, Message, Split
from headrace.protocol.data import LaneLogRecord
from headrace.runtime.eventtime.edges import EdgeWatermarks
from headrace.runtime.eventtime.held import in_words
from headrace.runtime.exchange import ExchangeReader
from headrace.runtime.kafka_input import DIRECT_GATHER_MS, GATHER_BYTES
from headrace.runtime.ports import MIN_WATERMARK, Chain
from headrace.runtime.reading import Fetching

MESSAGES_MAX = 64


class ExchangeInput:
    """Reads packed messages in order, checks that none is missing, and keeps watermarks per source lane."""

    def __init__(
        self,
        lane: int,
        edges: Sequence[tuple[Edge, str, Sequence[int]]],
        *,
        direct: bool = False,
        awaited: bool = False,
        hint: str = "",
        messages_max: int = MESSAGES_MAX,
    ) -> None:
        """``edges``: each input edge with its exchange topic and its source lanes.

        ``awaited``: windows of this lane wait for watermarks; ``hint`` is told when none has come.
        """
        self.messages_max = messages_max
        self._awaited = awaited
        self._hint = hint
        # At least once, messages come at their writers' pace and outside of transactions; else with their commits.
        self.fetching = (
            Fetching(committed=False, wait_ms=DIRECT_GATHER_MS, gather_bytes=GATHER_BYTES) if direct else Fetching()
        )
        self._lane = lane
        self._edges = {edge.id: edge for edge, _, _ in edges}
        self._topics = {topic: edge.id for edge, topic, _ in edges}
        self._readers = {edge.id: ExchangeReader(edge.id, topic, direct=direct) for edge, topic, _ in edges}
        self._watermarks = EdgeWatermarks({edge.id: lanes for edge, _, lanes in edges})
        self._positions: dict[str, int] = {}
        self._seen: dict[str, dict[int, int]] = {}

    def _name(self, topic: str) -> str:
        return f"{topic}/{self._lane}"

    def resolve(self, connection: LaneConnection, record: LaneLogRecord, timeout_s: float) -> None:
        for topic in self._topics:
            start, _ = connection.bounds(topic, self._lane, timeout_s)
            record.positions[self._name(topic)] = start

    def restore(self, record: LaneLogRecord) -> None:
        self._positions = dict(record.positions)
        self._seen = {edge_id: dict(record.seen.get(edge_id, {})) for edge_id in self._edges}
        self._watermarks.restore(record.lane_watermarks, record.idle, record.ended)
        for reader in self._readers.values():
            reader.reset()

    def record_into(self, record: LaneLogRecord) -> None:
        record.positions = dict(self._positions)
        record.seen = {edge_id: dict(seen) for edge_id, seen in self._seen.items()}
        record.lane_watermarks, record.idle, record.ended = self._watermarks.snapshot()

    def assignment(self) -> Mapping[Split, int]:
        return {(topic, self._lane): self._positions[self._name(topic)] for topic in self._topics}

    def process(self, messages: Sequence[Message], chain: Chain) -> int:
        total = 0
        for message in messages:
            topic = message.topic()
            edge_id = self._topics[topic]
            offset = message.offset()
            rows = self._readers[edge_id].read(message.value(), offset, self._seen[edge_id])
            self._positions[self._name(topic)] = offset + 1
            if rows is None:
                continue
            if rows.values:
                chain.process_rows(self._edges[edge_id].input, rows.keys, rows.values, rows.times)
                total += len(rows.values)
            header = rows.message
            if header.part == header.parts - 1:
                for _, watermark in header.marks:
                    self._watermarks.advance(edge_id, header.source, watermark)
                self._watermarks.set_idle(edge_id, header.source, header.idle)
                if header.end:
                    self._watermarks.end(edge_id, header.source)
        return total

    def watermark(self, now_s: float) -> int:
        return self._watermarks.minimum()

    def idle(self, now_s: float) -> bool:
        return self._watermarks.all_idle()

    def holding(self, end_offsets: Mapping[Split, int]) -> str:
        if not self._awaited:
            return ""
        edge_id, lane, watermark = self._watermarks.least()
        heard = f"none yet{self._hint}" if watermark == MIN_WATERMARK else f"at {in_words(watermark)}"
        return f"lane {self._edges[edge_id].source}/{lane}: {heard}"

    def ended(self, end_offsets: Mapping[Split, int]) -> bool:
        return self._watermarks.all_ended()

    def took_up_splits(self) -> bool:
        return False

    def lag(self, end_offsets: Mapping[Split, int]) -> int | None:
        return None

    def wait_s(self) -> float:
        return math.inf

    def close(self) -> None: ...
