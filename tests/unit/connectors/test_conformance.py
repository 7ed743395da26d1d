"""The conformance suite fails on sources that break the contract, each in the test that is about it."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterable
from typing import Any

import pytest

from headrace.datastream.connectors import Batch, PollingSource, SplitReader
from headrace.testing import connectors
from headrace.testing.connectors import SourceConformance


class Letters(PollingSource):
    """Three splits of 20 records; positions count. The sources below break it."""

    first_after_position = 0
    batch_max = 4

    def splits(self, lanes: int) -> Iterable[str]:
        return ["a", "b", "c"]

    def open(self, split: str, position: Any) -> SplitReader:
        start = 0 if position is None else position + self.first_after_position
        return LettersReader(split, start, self.batch_max)


class LettersReader(SplitReader):
    def __init__(self, split: str, start: int, batch_max: int) -> None:
        self._split, self._next, self._batch_max = split, start, batch_max

    def next_batch(self, now_ms: int) -> Batch | None:
        if self._next >= 20:
            return None
        stop = min(20, self._next + self._batch_max)
        records = [f"{self._split}{number}" for number in range(self._next, stop)]
        self._next = stop
        return Batch(records, self._next)


class Repeats(Letters):
    first_after_position = -1


class Skips(Letters):
    first_after_position = 1


class Restless(Letters):
    def splits(self, lanes: int) -> Iterable[str]:
        return [f"split {random.random()}"]


class Twice(Letters):
    def splits(self, lanes: int) -> Iterable[str]:
        return ["a", "a"]


class Nowhere(Letters):
    def lane_of(self, split: str, lanes: int) -> int:
        return lanes


class Stuck(Letters):
    def __init__(self) -> None:
        self._lock = threading.Lock()


class Huge(Letters):
    batch_max = 20


class Returning(Letters):
    def open(self, split: str, position: Any) -> SplitReader:
        return ReturningReader(split, 0, 4)


class ReturningReader(LettersReader):
    ended = False

    def next_batch(self, now_ms: int) -> Batch | None:
        if self.ended:
            return Batch(["again"], 99)
        batch = super().next_batch(now_ms)
        self.ended = batch is None
        return batch


def suite(kind: type[PollingSource]) -> SourceConformance:
    class Suite(SourceConformance):
        def source(self) -> PollingSource:
            return kind()

    return Suite()


def names_of_tests() -> list[str]:
    return [name for name in dir(SourceConformance) if name.startswith("test_")]


def test_a_right_source_passes() -> None:
    for name in names_of_tests():
        getattr(suite(Letters), name)()


@pytest.mark.parametrize(
    ("kind", "caught_by"),
    [
        (Repeats, "test_reading_goes_on_at_every_position"),
        (Repeats, "test_a_job_has_every_record_once_whatever_fails"),
        (Skips, "test_reading_goes_on_at_every_position"),
        (Skips, "test_a_job_has_every_record_once_whatever_fails"),
        (Restless, "test_splits_are_the_same_for_every_lane"),
        (Twice, "test_splits_are_the_same_for_every_lane"),
        (Nowhere, "test_every_split_has_one_lane"),
        (Stuck, "test_the_source_travels_by_pickle"),
        (Huge, "test_batches_are_small_and_whole"),
        (Returning, "test_an_end_stays_an_end"),
    ],
)
def test_a_broken_source_is_caught(
    kind: type[PollingSource], caught_by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connectors, "BATCH_RECORDS_MAX", 10)
    with pytest.raises((AssertionError, TypeError)):
        getattr(suite(kind), caught_by)()
