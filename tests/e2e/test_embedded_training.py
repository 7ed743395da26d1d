"""The work of the training run, on a broker that is not trained; the run itself takes 17 s of CPU."""

from __future__ import annotations

import uuid

import pytest
from confluent_kafka import Consumer, TopicPartition

from headrace.embedded.aot_training import exercise

pytestmark = [pytest.mark.e2e, pytest.mark.chaos]  # for time


def test_the_exercise_goes_through_topics_transactions_groups_and_trimming(kafka: str) -> None:
    topic = f"exercise-{uuid.uuid4().hex[:8]}"
    exercise(kafka, topic, 60.0)
    reader = Consumer({"bootstrap.servers": kafka, "group.id": topic, "isolation.level": "read_committed"})
    try:
        first, end = reader.get_watermark_offsets(TopicPartition(topic, 0), timeout=30)
        assert (first, end) == (10, 50 * 25 + 50)  # a quarter of each transaction, and its marker
        (committed,) = reader.committed([TopicPartition(topic, 0)], timeout=30)
        assert end - 27 <= committed.offset <= end  # behind it at most the last transaction, aborted, and a marker
    finally:
        reader.close()
