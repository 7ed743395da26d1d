"""The memory log's own side: virtual time, and everything that can be made to go wrong."""

from __future__ import annotations

import threading

import pytest

from headrace.log.lane import Delivery, LogError, PositionLostError, Remedy
from headrace.log.lane_memory import MemoryLaneConnection
from headrace.log.memory import CommitFault, Faults, MemoryBroker, VirtualTime

SPLIT = ("t", 0)


class World:
    """A broker in virtual time with topic t of two partitions."""

    def __init__(self) -> None:
        self.time, self.faults = VirtualTime(), Faults()
        self.broker = MemoryBroker(self.time, self.faults)
        self.broker.create_topics({"t": 2})
        self.connection = MemoryLaneConnection(self.broker)

    def producer(self, name: str = "p", timeout_s: float = 20.0):
        producer = self.connection.producer(name, timeout_s)
        producer.init(5)
        return producer

    def visible(self, committed: bool = True) -> list[bytes | None]:
        return [record.value() for record in self.broker.read_all("t", committed=committed)]


@pytest.fixture
def world() -> World:
    return World()


def begin(producer, *values: bytes, partition: int = 0) -> None:
    producer.begin()
    for value in values:
        producer.produce("t", value, partition=partition)


def fails(remedy: Remedy, call, *args) -> LogError:
    with pytest.raises(LogError) as failure:
        call(*args)
    assert failure.value.remedy is remedy
    return failure.value


class TestCommitFaults:
    def test_retry_is_decided_by_the_repeated_call(self, world: World):
        producer, delivery = world.producer(), Delivery()
        world.faults.next_commits.append(CommitFault.RETRY)
        begin(producer)
        producer.produce("t", b"x", partition=0, delivery=delivery)
        fails(Remedy.RETRY, producer.commit, 5)
        assert (world.visible(), delivery.offset) == ([], -1)
        producer.commit(5)
        assert (world.visible(), delivery.offset) == ([b"x"], 0)
        begin(producer, b"y")
        producer.commit(5)
        assert world.visible() == [b"x", b"y"]

    def test_retry_may_hide_a_commit_that_happened(self, world: World):
        producer = world.producer()
        world.faults.next_commits.append(CommitFault.RETRY_DECIDED)
        begin(producer, b"x")
        fails(Remedy.RETRY, producer.commit, 5)
        assert world.visible() == [b"x"]
        producer.commit(5)
        assert world.visible() == [b"x"]

    @pytest.mark.parametrize("call", ["abort", "begin", "produce"])
    def test_after_retry_only_the_same_call_is_legal(self, world: World, call: str):
        producer = world.producer()
        world.faults.next_commits.append(CommitFault.RETRY)
        begin(producer, b"x")
        fails(Remedy.RETRY, producer.commit, 5)
        wrong = {
            "abort": lambda: producer.abort(5),
            "begin": producer.begin,
            "produce": lambda: producer.produce("t", b""),
        }
        assert fails(Remedy.REBUILD, wrong[call]).name == "_CONFLICT"

    def test_a_lost_answer_leaves_the_outcome_to_the_log(self, world: World):
        for fault, outcome in ((CommitFault.ANSWER_LOST, [b"x"]), (CommitFault.PRODUCER_LOST, [])):
            world.broker.create_topics({"u": 1})
            world.faults.next_commits.append(fault)
            producer = world.producer()
            producer.begin()
            producer.produce("u", b"x", partition=0)
            fails(Remedy.REBUILD, producer.commit, 5)
            fails(Remedy.REBUILD, producer.abort, 5)
            fails(Remedy.REBUILD, producer.begin)
            world.producer()
            assert [r.value() for r in world.broker.read_all("u")] == outcome
            world.broker.delete_topics(["u"])

    def test_an_abortable_commit_can_only_be_aborted(self, world: World):
        producer = world.producer()
        world.faults.next_commits.append(CommitFault.ABORTABLE)
        begin(producer, b"x")
        fails(Remedy.ABORT, producer.commit, 5)
        fails(Remedy.ABORT, producer.commit, 5)
        producer.abort(5)
        begin(producer, b"y")
        producer.commit(5)
        assert world.visible() == [b"y"]

    def test_a_lost_abort_leaves_the_transaction_open(self, world: World):
        producer = world.producer()
        begin(producer, b"x")
        world.faults.next_aborts_lost = 1
        fails(Remedy.REBUILD, producer.abort, 5)
        world.broker.append("t", b"behind", partition=0)
        assert world.visible() == []
        world.producer()
        assert world.visible() == [b"behind"]


class TestMarkers:
    def test_commit_returns_before_its_markers_are_written(self, world: World):
        producer = world.producer()
        world.faults.next_markers.append(500)
        begin(producer, b"x")
        producer.commit(5)
        assert world.visible() == []
        world.time.advance(499)
        world.broker.tick()
        assert world.visible() == []
        world.time.advance(1)
        assert world.visible() == [b"x"]

    def test_the_next_transaction_of_the_id_waits_for_the_markers(self, world: World):
        producer = world.producer()
        world.faults.next_markers.append(3000)
        begin(producer, b"1")
        producer.commit(5)
        begin(producer, b"2")
        assert world.connection.bounds("t", 0, 0) == (0, 1)
        fails(Remedy.RETRY, producer.commit, 1)
        producer.commit(5)
        assert world.visible() == [b"1", b"2"]

    def test_init_waits_for_the_markers_of_the_older_owner(self, world: World):
        producer = world.producer()
        world.faults.next_markers.append(3000)
        begin(producer, b"1")
        producer.commit(5)
        successor = world.connection.producer("p", 20)
        assert fails(Remedy.RETRY, successor.init, 1).name == "CONCURRENT_TRANSACTIONS"
        successor.init(5)
        assert world.visible() == [b"1"]

    def test_a_partition_whose_marker_came_is_readable_before_the_others(self, world: World):
        producer = world.producer()
        world.faults.next_markers += [0, 1000]
        begin(producer, b"first")
        producer.produce("t", b"second", partition=1)
        producer.commit(5)
        assert world.visible() == [b"first"]
        world.time.advance(1000)
        assert world.visible() == [b"first", b"second"]

    def hang(self, world: World):
        """A committed transaction whose marker was skipped, and a new owner of its id."""
        world.faults.next_markers.append(None)
        producer = world.producer()
        begin(producer, b"acknowledged")
        producer.commit(5)
        world.broker.append("t", b"behind", partition=0)
        world.time.advance(3_600_000)
        successor = world.producer()
        assert world.visible() == []
        assert world.broker.hanging() == {SPLIT}
        return successor

    def test_a_skipped_marker_holds_readers_for_ever_and_repair_frees_them(self, world: World):
        self.hang(world)
        world.broker.repair()
        assert world.visible() == [b"acknowledged", b"behind"]
        assert world.broker.hanging() == set()

    def test_the_next_commit_there_heals_a_skipped_marker(self, world: World):
        successor = self.hang(world)
        begin(successor, b"next")
        successor.commit(5)
        assert world.visible() == [b"acknowledged", b"behind", b"next"]
        assert world.broker.hanging() == set()

    def test_the_next_abort_there_loses_what_was_acknowledged(self, world: World):
        successor = self.hang(world)
        begin(successor, b"next")
        successor.abort(5)
        assert world.visible() == [b"behind"]

    def test_a_commit_elsewhere_leaves_it_hanging_and_repairable(self, world: World):
        successor = self.hang(world)
        begin(successor, b"elsewhere", partition=1)
        successor.abort(5)
        assert world.broker.hanging() == {SPLIT}
        world.broker.repair()
        assert world.visible() == [b"acknowledged", b"behind"]


class TestTime:
    def test_a_transaction_is_aborted_by_the_sweep_after_its_time_out(self, world: World):
        producer = world.producer(timeout_s=10)
        begin(producer, b"slow")
        world.broker.append("t", b"behind", partition=0)
        world.time.advance(10_000)
        world.broker.tick()
        assert world.visible() == []
        world.time.advance(1_001)
        assert world.visible() == [b"behind"]
        assert fails(Remedy.FENCED, producer.commit, 5).name == "_FENCED"

    def test_a_reader_waits_in_virtual_time(self, world: World):
        reader = world.connection.reader()
        reader.assign({SPLIT: 0})
        before = world.time.now_ms()
        assert reader.read(10, 2.0) == []
        assert world.time.now_ms() - before == 2000

    def test_a_reader_in_real_time_wakes_up_for_a_commit(self):
        broker = MemoryBroker()
        broker.create_topics({"t": 1})
        connection = MemoryLaneConnection(broker)
        reader = connection.reader()
        reader.assign({SPLIT: 0})
        found: list[list[bytes | None]] = []
        waiting = threading.Thread(target=lambda: found.append([m.value() for m in reader.read(10, 20)]))
        waiting.start()
        producer = connection.producer("p", 20)
        producer.init(5)
        begin(producer, b"x")
        producer.commit(5)
        waiting.join(10)
        assert found == [[b"x"]]

    def test_away_nothing_answers_and_nothing_is_lost(self, world: World):
        producer = world.producer()
        begin(producer, b"before")
        world.faults.away = True
        producer.produce("t", b"meanwhile", partition=0)
        fails(Remedy.RETRY, producer.commit, 1)
        fails(Remedy.RETRY, world.connection.bounds, "t", 0, 1)
        fails(Remedy.RETRY, world.connection.producer("q", 20).init, 1)
        reader = world.connection.reader()
        reader.assign({SPLIT: 0})
        assert reader.read(10, 1) == []
        assert reader.at_end() == set()
        world.faults.away = False
        producer.commit(5)
        assert [m.value() for m in reader.read(10, 1)] == [b"before", b"meanwhile"]


class TestReaders:
    def test_control_and_aborted_records_take_offsets_and_are_not_read(self, world: World):
        producer = world.producer()
        for value, end in ((b"a", producer.commit), (b"b", producer.abort), (b"c", producer.commit)):
            begin(producer, value)
            end(5)
        reader = world.connection.reader()
        reader.assign({SPLIT: 0})
        assert [(m.value(), m.offset()) for m in reader.read(10, 0)] == [(b"a", 0), (b"c", 4)]
        assert reader.end_offset_seen(SPLIT) == 6
        assert [r.offset() for r in world.broker.read_all("t", committed=False)] == [0, 2, 4]

    def test_records_deleted_under_a_reader_are_lost_to_it(self, world: World):
        for i in range(10):
            world.broker.append("t", b"%d" % i, partition=0)
        reader = world.connection.reader()
        reader.assign({SPLIT: 0})
        assert [m.value() for m in reader.read(3, 0)] == [b"0", b"1", b"2"]
        world.connection.delete_before({SPLIT: 3}, 1)
        assert [m.value() for m in reader.read(3, 0)] == [b"3", b"4", b"5"]
        world.connection.delete_before({SPLIT: 7}, 1)
        with pytest.raises(PositionLostError) as lost:
            reader.read(3, 0)
        assert lost.value.position == 6

    def test_a_busy_split_does_not_starve_a_quiet_one(self, world: World):
        for i in range(100):
            world.broker.append("t", b"%d" % i, partition=0)
        world.broker.append("t", b"quiet", partition=1)
        reader = world.connection.reader()
        reader.assign({("t", 0): 0, ("t", 1): 0})
        assert b"quiet" in [m.value() for _ in range(2) for m in reader.read(10, 0)]
        assert len(reader.read(1000, 0)) + 20 >= 100

    def test_a_topic_deleted_under_reader_and_producer(self, world: World):
        producer = world.producer()
        begin(producer, b"x")
        reader = world.connection.reader()
        reader.assign({SPLIT: 0})
        world.broker.delete_topics(["t"])
        assert fails(Remedy.REBUILD, reader.read, 1, 0).name == "UNKNOWN_TOPIC_OR_PART"
        producer.commit(5)  # its markers have nowhere to go
        world.producer()
        assert world.broker.topics() == {}


def test_two_inits_at_once_leave_one_owner():
    broker = MemoryBroker()
    broker.create_topics({"t": 1})
    connection = MemoryLaneConnection(broker)
    outcomes: list[str] = []
    start = threading.Barrier(8)

    def own(number: int) -> None:
        producer = connection.producer("p", 20)
        start.wait()
        producer.init(5)
        start.wait()
        begin(producer, b"%d" % number)
        try:
            producer.commit(5)
        except LogError as failure:
            outcomes.append(failure.remedy.name)
        else:
            outcomes.append("committed")

    threads = [threading.Thread(target=own, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(outcomes) == ["FENCED"] * 7 + ["committed"]
    assert len(broker.read_all("t")) == 1
