"""The broker is killed under transactions; lanes that follow the remedies go on and lose nothing. By hand:

    ./dev test tests/chaos/test_lane_log_broker_kill.py -s

HEADRACE_CHAOS_KILLS (default 5) kills. Three lanes, each a thread that commits a run of numbers to every data
partition and one record to its own log, as a lane of a job does, and nothing else.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from confluent_kafka.admin import AdminClient, NewTopic
from tests.accounting import gaps, read_committed

from headrace.embedded import EmbeddedCluster
from headrace.log.lane import LogError, Remedy
from headrace.log.lane_kafka import KafkaLaneConnection

LANES, PARTITIONS, ROWS = 3, 4, 5
COMMIT_INTERVAL_S = 0.05
CALL_TIMEOUT_S = 5.0
#: The platform's own deadline for one commit: past it a worker exits.
DEADLINE_S = 25.0
DATA, LOGS = "chaos.data", "chaos.logs"


class Lane(threading.Thread):
    """Commit c writes the numbers c*ROWS .. c*ROWS+ROWS-1 to each data partition, and c to the lane's log."""

    def __init__(self, connection: KafkaLaneConnection, index: int, timeout_s: float = 20.0) -> None:
        super().__init__(name=f"lane-{index}", daemon=True)
        self._connection, self._index, self._timeout_s = connection, index, timeout_s
        self._stopping = threading.Event()
        self.seen: Counter[str] = Counter()  #: errors by call, name and remedy
        self.committed = -1  #: c of the last commit that is known to have happened
        self.longest_s = 0.0
        self.failure: BaseException | None = None

    def stop(self) -> None:
        self._stopping.set()
        self.join(2 * DEADLINE_S)

    def run(self) -> None:
        try:
            self._own()
            while not self._stopping.wait(COMMIT_INTERVAL_S):
                started = time.monotonic()
                self._commit(self.committed + 1)
                self.longest_s = max(self.longest_s, time.monotonic() - started)
        except BaseException as failure:
            self.failure = failure
            raise
        finally:
            self._producer.close()

    def _own(self) -> None:
        """A new producer; the log says what is committed."""
        self._producer = self._connection.producer(f"chaos/{self._index}", self._timeout_s)
        self._producer.init(60)
        first, end = self._connection.bounds(LOGS, self._index, 30)
        split = (LOGS, self._index)
        reader = self._connection.reader(wait_ms=5)
        reader.assign({split: first})
        found: list[int] = []
        deadline = time.monotonic() + DEADLINE_S
        while reader.end_offset_seen(split) < end:
            found += [int(m.value()) for m in reader.read(5000, 0.02)]
            if time.monotonic() > deadline:
                raise AssertionError(f"{self.name}: log readable to {reader.end_offset_seen(split)} of {end}")
        reader.close()
        assert not list(gaps(found)), f"{self.name}: gaps in its log"
        told, self.committed = self.committed, found[-1] if found else -1
        assert self.committed in (told, told + 1), f"{self.name}: told {told}, log says {self.committed}"

    def _commit(self, c: int) -> None:
        """Until commit c has happened."""
        while self.committed < c:
            try:
                self._begin_and_produce(c)
                self._until_decided("commit")
                self.committed = c
            except LogError as failure:
                self._recover(failure)

    def _begin_and_produce(self, c: int) -> None:
        self._producer.begin()
        for row in range(c * ROWS, c * ROWS + ROWS):
            for partition in range(PARTITIONS):
                self._producer.produce(DATA, b"%d %d" % (self._index, row), partition=partition)
        self._producer.produce(LOGS, b"%d" % c, partition=self._index)

    def _until_decided(self, call: str) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while True:
            try:
                return getattr(self._producer, call)(CALL_TIMEOUT_S)
            except LogError as failure:
                self._note(call, failure)
                if failure.remedy is not Remedy.RETRY or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def _recover(self, failure: LogError) -> None:
        if failure.remedy is Remedy.ABORT:
            try:
                return self._until_decided("abort")
            except LogError:
                pass  # rebuild decides
        self._producer.close()
        deadline = time.monotonic() + 60
        while True:
            try:
                return self._own()
            except LogError as again:
                self._note("own", again)
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)

    def _note(self, call: str, failure: LogError) -> None:
        self.seen[f"{call} {failure.name} {failure.remedy.name}"] += 1


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[EmbeddedCluster]:
    with EmbeddedCluster(tmp_path, platform=False) as running:
        yield running


def create_topics(cluster: EmbeddedCluster) -> None:
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap, "log_level": 0, "error_cb": lambda _error: None})
    for future in admin.create_topics([NewTopic(DATA, PARTITIONS, 1), NewTopic(LOGS, LANES, 1)]).values():
        future.result(30)


def kill_broker(cluster: EmbeddedCluster) -> int:
    """SIGKILL; returns when the process is gone. Its pid."""
    pid = cluster.pids["kafka"]
    process = psutil.Process(pid)
    os.kill(pid, signal.SIGKILL)
    psutil.wait_procs([process], timeout=10)
    return pid


def wait_until(condition, timeout_s: float, what: str) -> float:
    """How long it took, in seconds."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < timeout_s, f"{what}: not within {timeout_s} s"
        time.sleep(0.05)
    return time.monotonic() - started


def assert_exact(cluster: EmbeddedCluster, lanes: list[Lane]) -> int:
    rows = 0
    logs = {i: [] for i in range(LANES)}
    for message in read_committed(cluster.bootstrap, LOGS, timeout_s=30):
        logs[message.partition()].append(int(message.value()))
    for index, numbers in logs.items():
        assert numbers == list(range(lanes[index].committed + 1)), f"log of lane {index}"
    data: dict[tuple[int, int], list[int]] = {(i, p): [] for i in range(LANES) for p in range(PARTITIONS)}
    for message in read_committed(cluster.bootstrap, DATA, timeout_s=30):
        index, row = map(int, message.value().split())
        data[index, message.partition()].append(row)
    for (index, partition), numbers in data.items():
        assert numbers == list(range((lanes[index].committed + 1) * ROWS)), f"lane {index}, partition {partition}"
        rows += len(numbers)
    return rows


@pytest.mark.chaos
@pytest.mark.timeout(1200)
def test_lanes_ride_out_broker_kills_and_lose_nothing(cluster: EmbeddedCluster):
    create_topics(cluster)
    kills = int(os.environ.get("HEADRACE_CHAOS_KILLS", "5"))
    chance = random.Random(7)
    with contextlib.closing(KafkaLaneConnection(cluster.bootstrap)) as connection:
        lanes = [Lane(connection, index) for index in range(LANES)]
        for lane in lanes:
            lane.start()
        for kill in range(kills):
            # Long enough that the supervisor counts a good run: else it waits longer from kill to kill.
            goal = [lane.committed + chance.randint(110, 160) for lane in lanes]
            wait_until(
                lambda g=goal: all(x.committed >= y or x.failure for x, y in zip(lanes, g, strict=True)), 60, "work"
            )
            before = kill_broker(cluster)
            down_s = wait_until(
                lambda b=before: cluster.pids.get("kafka", b) != b and cluster.state.healthy, 120, "broker"
            )
            counts = [lane.committed for lane in lanes]
            back_s = wait_until(
                lambda c=counts: all(x.committed > y or x.failure for x, y in zip(lanes, c, strict=True)),
                60,
                "first commits",
            )
            assert [lane.failure for lane in lanes] == [None] * LANES
            print(f"kill {kill}: healthy after {down_s:.1f} s, every lane commits {back_s:.2f} s later", flush=True)
        for lane in lanes:
            lane.stop()
        assert [lane.failure for lane in lanes] == [None] * LANES
        rows = assert_exact(cluster, lanes)
        seen = sum((lane.seen for lane in lanes), Counter())
        print(f"{rows} rows exact; longest commit {max(x.longest_s for x in lanes):.1f} s; {dict(seen)}")


@pytest.mark.chaos
@pytest.mark.timeout(600)
def test_a_broker_that_stands_still_past_the_transaction_time_out(cluster: EmbeddedCluster):
    """Transactions are aborted by the broker with no other owner about: lanes rebuild and lose nothing."""
    create_topics(cluster)
    with contextlib.closing(KafkaLaneConnection(cluster.bootstrap)) as connection:
        lanes = [Lane(connection, index, timeout_s=3.0) for index in range(LANES)]
        for lane in lanes:
            lane.start()
        for _ in range(3):
            goal = [lane.committed + 20 for lane in lanes]
            wait_until(
                lambda g=goal: all(x.committed >= y or x.failure for x, y in zip(lanes, g, strict=True)), 60, "work"
            )
            broker = psutil.Process(cluster.pids["kafka"])
            broker.suspend()
            time.sleep(6)  # the fault itself
            with contextlib.suppress(psutil.NoSuchProcess):  # its supervisor may have lost patience
                broker.resume()
        goal = [lane.committed + 20 for lane in lanes]
        wait_until(lambda: all(x.committed >= y or x.failure for x, y in zip(lanes, goal, strict=True)), 90, "work")
        for lane in lanes:
            lane.stop()
        assert [lane.failure for lane in lanes] == [None] * LANES
        rows = assert_exact(cluster, lanes)
        print(f"{rows} rows exact; {dict(sum((lane.seen for lane in lanes), Counter()))}")
