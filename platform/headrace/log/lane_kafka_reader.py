"""The reader of a lane on Kafka: assigned partitions, end-of-partition bookkeeping, positions that are lost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from headrace.log.kafka_errors import STEP_S, client_log, kafka_error, log_error
from headrace.log.lane import LogError, PositionLostError, Remedy, Split

#: Errors of a partition that the client cures by itself.
_CURED = {KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._TIMED_OUT, KafkaError._RESOLVE}
#: How long assign waits for a broker to describe a topic.
LOOK_UP_S = 2.0
#: After a wait for the first message: how long a reader gathers those that come with it.
GATHER_S = 0.002

_error_of = Message.error


class KafkaReader:
    """One reader; see LaneReader. Used by one thread at a time."""

    def __init__(self, options: dict[str, Any], bounds: Callable[[str, int, float], tuple[int, int]]) -> None:
        self._client = Consumer(options, logger=client_log)
        self._consume = self._client.consume
        self._bounds = bounds
        self._known: dict[str, set[int]] = {}  #: partitions in the client's metadata, by topic
        self._started: dict[Split, int] = {}  #: the positions given to assign
        self._ends: dict[Split, int] = {}  #: offset of the last end-of-partition event
        self._at_end: set[Split] = set()
        self._moved = False  #: messages came since _at_end was last compared with the positions
        self._failure: Exception | None = None  #: came behind messages that were handed out first

    def assign(self, positions: Mapping[Split, int]) -> None:
        for topic in {topic for topic, partition in positions if partition not in self._known.get(topic, ())}:
            if not self._look_up(topic, {p for t, p in positions if t == topic}):
                break
        self._ends.clear()
        self._at_end.clear()
        self._moved = False
        self._failure = None
        self._started = dict(positions)
        self._client.assign([TopicPartition(*split, offset) for split, offset in positions.items()])

    def read(self, messages_max: int, timeout_s: float) -> list[Message]:
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        try:
            messages = self._consume(messages_max, 0)
            if not messages and timeout_s > 0:
                # consume() waits its whole time for messages_max messages; asking for one returns with the first.
                messages = self._consume(1, timeout_s)
                if messages:
                    messages += self._consume(messages_max - 1, GATHER_S)
        except (KafkaException, SystemError) as raised:
            raise log_error(kafka_error(raised), Remedy.REBUILD) from raised
        if not messages:
            return messages
        self._moved = True
        if any(map(_error_of, messages)):  # 40 ns a message; the only work here that grows with them
            messages = [m for m in messages if (error := m.error()) is None or self._event(error, m)]
            if not messages and self._failure is not None:
                return self.read(0, 0)
        return messages

    def at_end(self) -> set[Split]:
        if self._moved and self._at_end:
            splits = [TopicPartition(topic, partition) for topic, partition in self._at_end]
            for at in self._client.position(splits):
                split = (at.topic, at.partition)
                if at.offset > self._ends[split]:
                    self._at_end.discard(split)
        self._moved = False
        return set(self._at_end)

    def end_offset_seen(self, split: Split) -> int:
        return self._ends.get(split, -1)

    def close(self) -> None:
        self._client.close()

    def _look_up(self, topic: str, partitions: set[int]) -> bool:
        """Fill the metadata cache: without it the first fetch waits for the client's one-second timer.

        False: no broker answers; reading starts when one does. A missing topic raises: the client would wait.
        """
        try:
            found = self._client.list_topics(topic, timeout=LOOK_UP_S).topics[topic]
        except KafkaException:
            return False
        if found.error is not None:
            raise log_error(found.error, Remedy.REBUILD)
        if missing := partitions - set(found.partitions):
            raise LogError("_UNKNOWN_PARTITION", f"{topic} has no partition {min(missing)}", Remedy.REBUILD)
        self._known[topic] = set(found.partitions)
        return True

    def _event(self, error: KafkaError, message: Message) -> bool:
        """Take one event out of a batch; always False, so that it drops out of it."""
        topic, partition, offset = message.topic(), message.partition(), message.offset()
        if topic is None or partition is None or offset is None:
            return False  # about brokers or the unused group: the client goes on trying
        split, code = (topic, partition), error.code()
        if code == KafkaError._PARTITION_EOF:
            self._ends[split] = offset
            self._at_end.add(split)
        elif code == KafkaError._AUTO_OFFSET_RESET:
            self._out_of_range(split, offset)
        elif code not in _CURED:
            self._failure = log_error(error, Remedy.REBUILD)
        return False

    def _out_of_range(self, split: Split, position: int) -> None:
        """The client gave a position up. Ask the broker before calling records lost."""
        try:
            first, end = self._bounds(*split, STEP_S)
        except LogError as failure:
            self._failure = failure
            return
        if not first <= position <= end:
            self._failure = PositionLostError(*split, position)
            return
        # The client has stopped this partition for good and refuses a seek: all are assigned anew where they are.
        positions = self._client.position([TopicPartition(*split) for split in self._started])
        for at in positions:
            if at.offset < 0:  # nothing was read from it yet
                at.offset = self._started[at.topic, at.partition]
        self._client.assign(positions)
