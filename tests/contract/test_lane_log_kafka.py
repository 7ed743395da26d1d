"""What only the Kafka lane log has: errors of its client, a broker that is away, the terminal."""

from __future__ import annotations

import contextlib
import socket
import time

import pytest
from confluent_kafka import KafkaError, KafkaException
from tests.contract.log_under_test import DEADLINE_S, KafkaServer, LogUnderTest, read_some
from tests.waiting import wait_until

from headrace.log.kafka_errors import kafka_error, remedy
from headrace.log.lane import LogError, Remedy
from headrace.log.lane_kafka import KafkaLaneConnection


@pytest.fixture
def real(kafka, namespace):
    with contextlib.closing(KafkaLaneConnection(kafka)) as connection:
        log = LogUnderTest("kafka", connection, KafkaServer(kafka), f"{namespace}-{time.time_ns()}")
        yield log
        for opened in log.opened:
            opened.close()


@pytest.fixture
def nobody():
    """A connection to a port where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))  # bound and not listening: refuses
        with contextlib.closing(KafkaLaneConnection(f"127.0.0.1:{probe.getsockname()[1]}")) as connection:
            yield connection


@pytest.mark.parametrize(
    ("code", "flags", "expected"),
    [
        (KafkaError._FENCED, {"fatal": True}, Remedy.FENCED),
        (KafkaError._FENCED, {"fatal": True, "txn_requires_abort": True}, Remedy.FENCED),
        (KafkaError.INVALID_TXN_STATE, {"fatal": True}, Remedy.REBUILD),
        (KafkaError._FATAL, {"fatal": True, "retriable": True}, Remedy.REBUILD),
        (KafkaError._INCONSISTENT, {"txn_requires_abort": True}, Remedy.ABORT),
        (KafkaError._TIMED_OUT, {"txn_requires_abort": True, "retriable": True}, Remedy.ABORT),
        (KafkaError._TIMED_OUT, {"retriable": True}, Remedy.RETRY),
        (KafkaError._TRANSPORT, {}, Remedy.REBUILD),
        (KafkaError._STATE, {}, Remedy.REBUILD),
    ],
)
def test_one_remedy_for_each_kind_of_error(code, flags, expected):
    assert remedy(KafkaError(code, "why", **flags)) is expected


def test_an_error_out_of_a_callback_keeps_its_cause():
    fenced = KafkaException(KafkaError(KafkaError._FENCED, "newer instance", fatal=True))
    system = SystemError("<method 'poll'> returned a result with an exception set")
    system.__cause__ = fenced
    assert remedy(kafka_error(system)) is Remedy.FENCED
    assert remedy(kafka_error(fenced)) is Remedy.FENCED
    assert kafka_error(SystemError("something else")).name() == "_FAIL"


def test_fencing_writes_nothing_on_the_terminal(real: LogUnderTest, capfd):
    topic, name = real.topic(), real.name()
    older = real.producer(name)
    real.producer(name)
    older.begin()
    older.produce(topic, b"zombie", partition=0)
    with pytest.raises(LogError):
        older.commit(DEADLINE_S)
    assert capfd.readouterr() == ("", "")


def test_a_position_that_exists_again_when_the_broker_is_asked_is_read_on(real: LogUnderTest):
    """The client gives a position up for good at the first refusal; the reader asks before it believes that."""
    topic = real.topic()
    real.append(topic, b"0")
    reader = real.connection.reader(wait_ms=5)
    real.opened.append(reader)
    bounds, asked = reader._bounds, []

    def late(*split_and_timeout):  # the record arrives between the refusal and the question
        if not asked:
            real.append(topic, b"1", b"2")
        asked.append(split_and_timeout)
        return bounds(*split_and_timeout)

    reader._bounds = late
    reader.assign({(topic, 0): 2})
    assert [m.value() for m in read_some(reader, 1)] == [b"2"]
    assert len(asked) == 1


def test_what_correctness_rests_on_cannot_be_overridden(kafka, namespace):
    topic = f"{namespace}-fixed"
    KafkaServer(kafka).create(topic, 1)
    options = {
        "isolation.level": "read_uncommitted",
        "auto.offset.reset": "earliest",
        "enable.partition.eof": "false",
    }
    with contextlib.closing(KafkaLaneConnection(kafka, {**options, "transactional.id": "x"})) as connection:
        log = LogUnderTest("kafka", connection, KafkaServer(kafka), topic)
        producer = log.producer(timeout_s=60.0)
        log.commit(producer, topic, b"in")
        producer.begin()
        producer.produce(topic, b"out", partition=0)
        # Record, marker, record: an abort before the broker knows of the transaction would be refused.
        wait_until(lambda: connection.bounds(topic, 0, DEADLINE_S)[1] == 3)
        reader = log.reader(topic)
        assert [m.value() for m in read_some(reader, 1)] == [b"in"]
        assert reader.read(10, 0.3) == []
        producer.abort(DEADLINE_S)
        for opened in log.opened:
            opened.close()


def test_an_option_that_does_not_exist_is_named(kafka):
    connection = KafkaLaneConnection(kafka, {"no.such.option": "1"})
    with pytest.raises(KafkaException, match=r"no\.such\.option"):
        connection.reader()


class TestNobodyThere:
    def test_init_says_again_at_its_deadline(self, nobody):
        producer = nobody.producer("nobody", 20.0)
        started = time.monotonic()
        with pytest.raises(LogError) as failure:
            producer.init(1.5)
        assert failure.value.remedy is Remedy.RETRY
        assert 0.5 < time.monotonic() - started < 4
        started = time.monotonic()
        producer.close()
        assert time.monotonic() - started < 1

    def test_questions_say_again_at_their_deadline(self, nobody):
        questions = (
            lambda: nobody.bounds("t", 0, 0.5),
            lambda: nobody.partitions("t", 0.5),
            lambda: nobody.offsets_for_time([("t", 0)], 0, 0.5),
            lambda: nobody.delete_before({("t", 0): 1}, 0.5),
            lambda: nobody.commit_hints("g", {("t", 0): (1, "")}, 0.5),
            lambda: nobody.hints("g", [("t", 0)], 0.5),
        )
        for question in questions:
            started = time.monotonic()
            with pytest.raises(LogError) as failure:
                question()
            assert failure.value.remedy is Remedy.RETRY
            assert time.monotonic() - started < 3

    def test_reading_waits_no_longer_than_told(self, nobody):
        reader = nobody.reader()
        started = time.monotonic()
        reader.assign({("t", 0): 0, ("u", 0): 0})
        assert time.monotonic() - started < 4
        started = time.monotonic()
        assert reader.read(10, 0.2) == []
        assert reader.at_end() == set()
        reader.close()
        assert time.monotonic() - started < 2
