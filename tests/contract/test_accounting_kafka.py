"""The part of the accounting that reads and fills real topics."""

from __future__ import annotations

import contextlib

import pytest
from tests.accounting import Filler, Records, compare, input_records, read_committed, tumbling_counts
from tests.contract.log_under_test import DEADLINE_S, KafkaServer

from headrace.log.lane_kafka import KafkaLaneConnection


def test_what_was_filled_is_read_back_in_order(kafka, namespace):
    topic, records = f"{namespace}-in", Records(keys=20)
    KafkaServer(kafka).create(topic, 3)
    with Filler(kafka, topic, records, count=3000, partitions=3, closing_ms=records.base_ms + 10**6) as filler:
        pass
    assert filler.sent == 3000
    found = input_records(kafka, topic)
    assert [r.n for r in found] == [n for p in range(3) for n in range(p, 3000, 3)]
    assert len(read_committed(kafka, topic)) == 3003
    expected = tumbling_counts((records[n] for n in range(3000)), 100)
    assert compare(expected, tumbling_counts(found, 100).items()).exact
    assert not compare(expected, tumbling_counts(found[1:], 100).items()).exact


def test_a_filler_stops_when_its_block_fails(kafka, namespace):
    topic = f"{namespace}-stop"
    KafkaServer(kafka).create(topic, 1)
    with (
        pytest.raises(ZeroDivisionError),
        Filler(kafka, topic, Records(), count=10**9, partitions=1, rate_per_s=100) as filler,
    ):
        raise ZeroDivisionError
    assert not filler.running
    assert filler.sent < 10**6


def test_an_open_transaction_is_told_not_waited_for(kafka, namespace):
    topic = f"{namespace}-open"
    KafkaServer(kafka).create(topic, 1)
    with contextlib.closing(KafkaLaneConnection(kafka)) as connection:
        producer = connection.producer(topic, 20)
        producer.init(DEADLINE_S)
        producer.begin()
        producer.produce(topic, b"open", partition=0)
        while connection.bounds(topic, 0, DEADLINE_S)[1] == 0:
            pass
        with pytest.raises(AssertionError, match="readable to 0 of 1"):
            read_committed(kafka, topic, timeout_s=1)
        producer.abort(DEADLINE_S)
        assert read_committed(kafka, topic) == []
