"""What an at-least-once lane sends, on Kafka and on the memory log: a cut waits for what was sent before it, only."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing

import pytest
from tests.contract.log_under_test import DEADLINE_S, LogUnderTest

from headrace.log.lane import LogError, PlainProducer, Remedy


@pytest.fixture
def producer(log: LogUnderTest) -> Iterator[PlainProducer]:
    with closing(log.connection.plain_producer()) as producer:
        yield producer


def test_what_was_sent_before_a_cut_is_in_the_log_after_it(log: LogUnderTest, producer: PlainProducer) -> None:
    topic = log.topic(2)
    sent = [b"%d" % n for n in range(500)]
    for n, value in enumerate(sent):
        producer.produce(topic, value, partition=n % 2)
    producer.cut()(DEADLINE_S)
    assert log.visible(topic, 0) == sent[0::2]
    assert log.visible(topic, 1) == sent[1::2]


def test_a_cut_does_not_wait_for_a_producer_that_goes_on(log: LogUnderTest, producer: PlainProducer) -> None:
    topic, stop, begun = log.topic(), threading.Event(), threading.Event()
    producer.produce(topic, b"before", partition=0)
    acknowledged = producer.cut()

    def go_on() -> None:
        while not stop.is_set():
            producer.produce(topic, b"after", partition=0)
            begun.set()

    steady = threading.Thread(target=go_on)
    steady.start()
    try:
        assert begun.wait(DEADLINE_S)
        acknowledged(DEADLINE_S)
        acknowledged(DEADLINE_S)  # again: at once
        assert steady.is_alive()
    finally:
        stop.set()
        steady.join()
    producer.cut()(DEADLINE_S)
    assert log.visible(topic)[0] == b"before"


def test_a_cut_of_nothing_returns(producer: PlainProducer) -> None:
    producer.cut()(DEADLINE_S)


def test_a_record_that_is_refused_shows_at_the_latest_in_the_cut(log: LogUnderTest, producer: PlainProducer) -> None:
    topic = log.topic()
    with pytest.raises(LogError) as failure:
        producer.produce(topic, b"x" * 2_000_000, partition=0)
        producer.cut()(DEADLINE_S)
    assert failure.value.remedy is Remedy.ABORT
    assert failure.value.name == "MSG_SIZE_TOO_LARGE"


def test_a_failure_after_a_cut_is_not_forgotten_by_the_next(log: LogUnderTest, producer: PlainProducer) -> None:
    topic = log.topic()
    producer.cut()(DEADLINE_S)
    with pytest.raises(LogError) as failure:
        producer.produce(topic, b"nowhere", partition=7)
        producer.cut()(DEADLINE_S)
    assert failure.value.remedy is Remedy.ABORT
