"""What sources ask of the lane log beside records: which topics there are, and readers with options of the user's."""

from __future__ import annotations

from tests.contract.log_under_test import DEADLINE_S, LogUnderTest, read_some


def test_topics_with_their_partition_counts(log: LogUnderTest) -> None:
    three, one = log.topic(3), log.topic(1)
    topics = log.connection.topics(DEADLINE_S)
    assert (topics[three], topics[one]) == (3, 1)
    assert log.name() not in topics


def test_a_reader_with_options(log: LogUnderTest) -> None:
    topic = log.topic()
    log.append(topic, b"a", b"b")
    reader = log.connection.reader(options={"fetch.wait.max.ms": "5", "fetch.min.bytes": "1", "check.crcs": "true"})
    log.opened.append(reader)
    reader.assign({(topic, 0): 0})
    assert [message.value() for message in read_some(reader, 2)] == [b"a", b"b"]


def test_options_never_undo_what_correctness_rests_on(log: LogUnderTest) -> None:
    topic = log.topic()
    producer = log.producer()
    producer.begin()
    producer.produce(topic, b"aborted", partition=0)
    producer.abort(DEADLINE_S)
    log.commit(producer, topic, b"committed")
    reader = log.connection.reader(options={"isolation.level": "read_uncommitted"})
    log.opened.append(reader)
    reader.assign({(topic, 0): 0})
    assert [message.value() for message in read_some(reader, 1)] == [b"committed"]
