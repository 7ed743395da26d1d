"""How a lane reads the splits of a polled source: whose they are, when, in which order, up to which watermark."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from headrace.datastream.connectors import Batch, PollingSource, SplitReader
from headrace.runtime.lane_log import empty_record
from headrace.runtime.operators.formats import UndecodableRecordError
from headrace.runtime.polling_input import PollingInput
from headrace.runtime.ports import MIN_WATERMARK, UserCodeError
from headrace.runtime.state.tables import Tables

Script = list[Batch | None]


class Scripted(PollingSource):
    """Gives what the test wrote: split to its batches; a list that is used up gives empty batches."""

    def __init__(self, scripts: dict[str, Script], *, discovery_interval_ms: int | None = None) -> None:
        self.scripts = scripts
        self.discovery_interval_ms = discovery_interval_ms
        self.opened: list[tuple[str, Any]] = []
        self.closed: list[str] = []

    def splits(self, lanes: int) -> Iterable[str]:
        return list(self.scripts)

    def open(self, split: str, position: Any) -> SplitReader:
        self.opened.append((split, position))
        return ScriptedReader(self, split)

    def lane_of(self, split: str, lanes: int) -> int:
        return int(split[-1]) % lanes


class ScriptedReader(SplitReader):
    def __init__(self, source: Scripted, split: str) -> None:
        self._source, self._split = source, split
        self._position: Any = None
        self.awake: int | None = None

    def next_batch(self, now_ms: int) -> Batch | None:
        script = self._source.scripts[self._split]
        if not script:
            return Batch((), self._position)
        batch = script.pop(0)
        if batch is not None:
            self._position = batch.position
            self.awake = max((time for time in batch.times or () if time is not None), default=None)
        return batch

    def next_awake(self) -> int | None:
        return self.awake

    def close(self) -> None:
        self._source.closed.append(self._split)


class Chain:
    """Takes batches; a split's watermark is what the test sets."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, Any]] = []
        self.watermarks: dict[str, int] = {}

    def process_source(self, values: Any, times: Any, split: str) -> None:
        self.rows += [(split, value) for value in values]

    def split_watermarks(self) -> dict[str, int]:
        return self.watermarks


class OneLane:
    def __init__(self, source: PollingSource, *, lane: int = 0, lanes: int = 1, idleness_ms: int = 0) -> None:
        self.now_ms = 1_000
        self.tables = Tables()
        self.input = PollingInput(
            source,
            self.tables.table("in/splits"),
            name="in",
            lane=lane,
            lanes=lanes,
            idleness_ms=idleness_ms,
            clock_ms=lambda: self.now_ms,
        )
        self.record = empty_record()
        self.restart()

    def restart(self) -> None:
        self.chain = Chain()
        self.input.attach(self.chain)  # type: ignore[arg-type]
        self.input.restore(self.record)

    def process(self, times: int = 1) -> list[Any]:
        for _ in range(times):
            self.input.process((), self.chain)  # type: ignore[arg-type]
        return [value for _, value in self.chain.rows]

    def commit(self) -> None:
        self.record.c += 1
        self.input.record_into(self.record)
        self.tables.take_changes()
        self.tables.committed()

    def abort(self) -> None:
        self.tables.rollback(keep_in_flight=False)
        self.restart()


def test_a_lane_reads_its_own_splits_only() -> None:
    source = Scripted({"s0": [Batch(["a"], 1), None], "s1": [Batch(["b"], 1), None], "s2": [Batch(["c"], 1), None]})
    assert OneLane(source, lane=0, lanes=2).process(9) == ["a", "c"]
    assert OneLane(source, lane=1, lanes=2).process(9) == ["b"]


def test_splits_take_turns() -> None:
    lane = OneLane(Scripted({"s0": [Batch(["a1"], 1), Batch(["a2"], 2)], "s1": [Batch(["b1"], 1), Batch(["b2"], 2)]}))
    assert lane.process(4) == ["a1", "b1", "a2", "b2"]


def test_a_split_sleeps_until_it_said() -> None:
    lane = OneLane(Scripted({"s0": [Batch(["a"], 1, [1_500]), Batch(["b"], 2, [1_600])]}))
    assert lane.process(3) == ["a"]
    assert lane.input.wait_s() == 0.5
    lane.now_ms = 1_500
    assert lane.process() == ["a", "b"]


def test_committed_positions_are_where_splits_are_opened_again() -> None:
    source = Scripted({"s0": [Batch(["a"], ("x", 1)), Batch(["b"], ("x", 2))]})
    lane = OneLane(source)
    lane.process()
    lane.commit()
    lane.process()
    lane.abort()
    lane.process()
    assert source.opened == [("s0", None), ("s0", ("x", 1))]
    assert source.closed == ["s0"]


def test_a_split_that_ended_is_not_opened_again() -> None:
    source = Scripted({"s0": [Batch(["a"], 1), None], "s1": [Batch(["b"], 1)]})
    lane = OneLane(source)
    lane.process(4)
    lane.commit()
    lane.restart()
    lane.process()
    assert source.opened == [("s0", None), ("s1", None), ("s1", 1)]


def test_an_end_can_come_with_the_last_records() -> None:
    source = Scripted({"s0": [Batch(["a"], 1), Batch(["b"], 2, last=True)]})
    lane = OneLane(source)
    lane.process()
    lane.chain.watermarks = {"s0": 600}
    assert lane.process() == ["a", "b"]
    assert lane.input.ended({})
    assert lane.input.watermark(0.0) == 600
    lane.commit()
    lane.restart()
    assert lane.input.ended({})


def test_the_lane_ends_when_all_its_splits_have() -> None:
    lane = OneLane(Scripted({"s0": [Batch(["a"], 1), None], "s1": [None]}))
    assert not lane.input.ended({})
    lane.process(3)
    assert lane.input.ended({})
    assert lane.input.wait_s() == 0.0


def test_a_lane_without_splits_ends_at_once() -> None:
    assert OneLane(Scripted({"s1": []}), lane=0, lanes=2).input.ended({})


def test_new_splits_are_found_and_a_watching_source_never_ends() -> None:
    source = Scripted({"s0": [Batch(["a"], 1), None]}, discovery_interval_ms=10_000)
    lane = OneLane(source)
    lane.process(2)
    source.scripts["s1"] = [Batch(["b"], 1), None]
    lane.now_ms += 9_999
    assert lane.process() == ["a"]
    lane.now_ms += 1
    assert lane.process(2) == ["a", "b"]
    assert not lane.input.ended({})
    assert lane.input.idle(0.0)


def test_a_split_found_in_an_aborted_commit_is_found_again() -> None:
    source = Scripted({"s0": []}, discovery_interval_ms=1_000)
    lane = OneLane(source)
    lane.commit()
    source.scripts["s1"] = [Batch(["b"], 1)]
    lane.now_ms += 1_000
    lane.process()
    lane.abort()
    lane.process()
    assert source.opened[-2:] == [("s0", None), ("s1", None)]


def test_no_more_splits_are_open_than_the_source_says() -> None:
    source = Scripted({f"s{n}": [Batch([n], 1), None] for n in range(4)})
    source.open_splits_max = 1
    lane = OneLane(source)
    lane.process()
    assert source.opened == [("s0", None)]
    assert lane.process(9) == [0, 1, 2, 3]
    assert source.closed == ["s0", "s1", "s2", "s3"]


def test_a_waiting_split_holds_the_watermark_an_ended_one_does_not() -> None:
    source = Scripted({"s0": [Batch([1], 1), None], "s1": [Batch([2], 1)]})
    source.open_splits_max = 1
    lane = OneLane(source)
    lane.process()
    lane.chain.watermarks = {"s0": 500}
    assert lane.input.watermark(0.0) == MIN_WATERMARK
    lane.process()
    lane.chain.watermarks = {"s0": 500, "s1": 700}
    assert lane.input.watermark(0.0) == 700
    lane.commit()
    assert lane.record.split_watermarks == {"s1": 700}


def test_idle_splits_hold_nothing_back() -> None:
    lane = OneLane(Scripted({"s0": [Batch([1], 1)], "s1": []}), idleness_ms=2_000)
    lane.process()
    lane.chain.watermarks = {"s0": 500}
    assert lane.input.watermark(10.0) == MIN_WATERMARK
    lane.input._idleness.heard("s0")
    assert lane.input.watermark(12.0) == 500
    assert not lane.input.idle(12.0)
    assert lane.input.idle(14.0)


def test_what_a_source_raises_carries_the_operators_name() -> None:
    class Broken(Scripted):
        def open(self, split: str, position: Any) -> SplitReader:
            raise ConnectionError("no such host")

    lane = OneLane(Broken({"s0": []}))
    with pytest.raises(UserCodeError, match="ConnectionError: no such host") as failed:
        lane.process()
    assert failed.value.operator == "in"


def test_a_record_that_cannot_be_read_is_told_as_such() -> None:
    class Unreadable(Scripted):
        def open(self, split: str, position: Any) -> SplitReader:
            raise UndecodableRecordError(split, 7, "not a number")

    with pytest.raises(UndecodableRecordError):
        OneLane(Unreadable({"s0": []})).process()


def test_an_error_of_close_is_no_error_of_the_lane(caplog: pytest.LogCaptureFixture) -> None:
    class Sticky(ScriptedReader):
        def close(self) -> None:
            raise OSError("stuck")

    source = Scripted({"s0": []})
    source.open = lambda split, position: Sticky(source, split)  # type: ignore[method-assign]
    lane = OneLane(source)
    lane.process()
    lane.input.close()
    assert "close() of split s0 of in" in caplog.text
