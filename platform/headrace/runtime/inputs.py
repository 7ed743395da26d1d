"""Where a lane's records come from: one of four kinds, each owning positions and input watermarks.

    KafkaInput       the Kafka splits of a source lane            (kafka_input.py)
    CollectionInput  items that travel with the job               (collection_input.py)
    PollingInput     splits that are polled: files, connectors    (polling_input.py)
    ExchangeInput    this lane's partition of each input edge     (exchange_input.py)

A lane asks the same questions of each; it never looks inside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from headrace.log.lane import LaneConnection, Message, Split
from headrace.protocol.data import LaneLogRecord
from headrace.runtime.ports import Chain
from headrace.runtime.reading import Fetching


class Inputs(Protocol):
    """Working positions of one lane; the committed ones are in the lane log."""

    #: How many messages one read asks for.
    messages_max: int
    #: How the reader is to ask the broker.
    fetching: Fetching

    def resolve(self, connection: LaneConnection, record: LaneLogRecord, timeout_s: float) -> None:
        """A lane that never committed: write start positions (and stops) into its first record."""
        ...

    def restore(self, record: LaneLogRecord) -> None:
        """Working positions and watermarks become the committed ones."""
        ...

    def record_into(self, record: LaneLogRecord) -> None:
        """Write working positions and watermarks into the next commit's record."""
        ...

    def assignment(self) -> Mapping[Split, int]:
        """What the reader is to read, from where."""
        ...

    def took_up_splits(self) -> bool:
        """Splits came after the start and are in ``assignment`` now: the reader is to be assigned anew."""
        ...

    def process(self, messages: Sequence[Message], chain: Chain) -> int:
        """Feed messages to the chain and move the positions; the number of rows."""
        ...

    def watermark(self, now_s: float) -> int:
        """The least watermark of all that is not idle or ended."""
        ...

    def idle(self, now_s: float) -> bool:
        """Nothing is expected from any input for now: downstream must not wait for this lane."""
        ...

    def holding(self, end_offsets: Mapping[Split, int]) -> str:
        """Who holds the watermark back, for a reader: "partition 3 of topic bids". "" when nobody is known to."""
        ...

    def ended(self, end_offsets: Mapping[Split, int]) -> bool:
        """Everything was read. ``end_offsets``: where the reader saw the end of each split."""
        ...

    def lag(self, end_offsets: Mapping[Split, int]) -> int | None:
        """Records (sources) known to wait, None when unknown."""
        ...

    def wait_s(self) -> float:
        """After ``process`` found nothing without a message: how long until it may find something."""
        ...

    def close(self) -> None:
        """The lane ends: let go of what is open."""
        ...
