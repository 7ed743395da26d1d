"""Commits of a running job as they become visible, from its lane logs."""

from __future__ import annotations

from dataclasses import dataclass

from confluent_kafka import Consumer, TopicPartition

from headrace import clock
from headrace.protocol.data import decode_lane_log
from headrace.protocol.submission import Submit
from headrace.protocol.topics import Topics, lane_name

TOPICS_S = 30.0


@dataclass(frozen=True)
class Commit:
    """One commit of one lane. ``at_s`` is when it was seen here, on the monotonic clock."""

    lane: str
    c: int
    by: str
    positions: dict[str, int]
    finished: bool
    snapshot_from: int
    at_s: float

    @property
    def pid(self) -> int:
        """The process that committed; ``by`` is "<attempt>:<pid>:<nonce>"."""
        return int(self.by.split(":")[1])


class CommitReader:
    """Reads the lane logs of a job's first incarnation from their beginning, committed records only."""

    def __init__(self, bootstrap: str, namespace: str, submit: Submit) -> None:
        names = Topics(namespace)
        self._vertex = {names.lane_log(submit.job_id, 1, v.id): v for v in submit.graph.vertices}
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": "trial",
                "log_level": 0,
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "isolation.level": "read_committed",
                "fetch.wait.max.ms": 10,
                "reconnect.backoff.max.ms": 500,  # a trial may kill the broker
            }
        )
        self.latest: dict[str, Commit] = {}

    def begin(self) -> None:
        """Call once the job runs: its topics exist then."""
        for topic in self._vertex:
            self._consumer.list_topics(topic, timeout=TOPICS_S)
        self._consumer.assign(
            [TopicPartition(topic, lane, 0) for topic, v in self._vertex.items() for lane in range(v.lanes)]
        )

    def take(self, timeout_s: float) -> list[Commit]:
        """Commits that became visible, waiting at most ``timeout_s`` for the first."""
        messages = self._consumer.consume(1, timeout=timeout_s)
        if messages:
            messages += self._consumer.consume(1000, timeout=0)
        commits = []
        for message in messages:
            value, topic = message.value(), message.topic()
            if message.error() is not None or value is None or topic is None:
                continue
            record = decode_lane_log(value)
            if record.part != 0:
                continue
            lane = lane_name(self._vertex[topic].id, message.partition() or 0)
            commit = Commit(
                lane,
                record.c,
                record.by,
                record.positions,
                record.finished,
                record.snapshot_from,
                clock.monotonic_s(),
            )
            self.latest[lane] = commit
            commits.append(commit)
        return commits

    def committed(self, topic: str) -> int:
        """Records of a source topic that are committed as read."""
        return sum(
            position
            for commit in self.latest.values()
            for split, position in commit.positions.items()
            if split.rpartition("/")[0] == topic
        )

    def lanes_of(self, pid: int) -> set[str]:
        """Lanes whose newest commit is of that process and not their last."""
        return {lane for lane, commit in self.latest.items() if commit.pid == pid and not commit.finished}

    def close(self) -> None:
        self._consumer.close()
