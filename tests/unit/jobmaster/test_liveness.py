"""When a TaskManager counts as lost."""

from __future__ import annotations

from headrace.jobmaster.liveness import LOST_MS, Liveness
from headrace.protocol.control import TaskManagerRecord


class Watch:
    """Reads every 500 ms; ``counter`` is what the TaskManager's record holds, None for no record."""

    def __init__(self) -> None:
        self.now_ms = 1000
        self.liveness = Liveness(self.now_ms)
        self.counter: int | None = 1
        self.instance = "i1"
        self.identity = "redis-1"

    def read(self, times: int = 1, *, gap_ms: int = 500) -> list[str]:
        for _ in range(times):
            self.now_ms += gap_ms
            record = TaskManagerRecord(
                id="tm", instance=self.instance, counter=self.counter or 0, host="h", pid=1, slots=1
            )
            records = {} if self.counter is None else {"tm": record}
            if lost := self.liveness.read(["tm"], records, self.identity, self.now_ms):
                return lost
        return []


def test_lost_after_three_seconds_without_a_beat() -> None:
    watch = Watch()
    assert watch.read(6) == []
    assert watch.read(1) == ["tm"]
    assert watch.now_ms - 1500 == LOST_MS


def test_a_beat_now_and_then_is_enough() -> None:
    watch = Watch()
    for counter in range(2, 20):
        watch.counter = counter
        assert watch.read(5) == []


def test_a_new_instance_is_a_beat_though_its_counter_starts_again() -> None:
    watch = Watch()
    watch.read(5)
    watch.instance, watch.counter = "i2", 1
    assert watch.read(6) == []
    assert watch.read(1) == ["tm"]


def test_a_record_that_never_was_or_is_gone_counts_as_silence() -> None:
    watch = Watch()
    watch.counter = None
    assert watch.read(7) == ["tm"]
    watch = Watch()
    watch.read(1)
    watch.counter = None
    assert watch.read(6) == ["tm"]


def test_a_store_error_starts_the_count_again() -> None:
    watch = Watch()
    watch.read(6)
    watch.liveness.failed(watch.now_ms)
    assert watch.read(5) == []
    assert watch.read(1) == ["tm"]


def test_a_restarted_or_flushed_store_starts_the_count_again() -> None:
    watch = Watch()
    watch.read(6)
    watch.identity = "redis-2"
    assert watch.read(6) == []
    assert watch.read(1) == ["tm"]


def test_a_reader_that_slept_starts_the_count_again() -> None:
    """After SIGCONT the first read finds an old counter everywhere: nobody was asked meanwhile."""
    watch = Watch()
    watch.read(2)
    assert watch.read(1, gap_ms=60_000) == []
    assert watch.read(5) == []
    assert watch.read(1) == ["tm"]


def test_one_that_is_watched_again_is_watched_afresh() -> None:
    watch = Watch()
    assert watch.read(7) == ["tm"]
    assert watch.read(6) == []
    assert watch.read(1) == ["tm"]


def test_a_lost_one_that_beats_again_is_back_and_told_once() -> None:
    watch = Watch()
    assert watch.read(7) == ["tm"]
    record = TaskManagerRecord(id="tm", instance="i1", counter=1, host="h", pid=1, slots=1)
    assert watch.liveness.returned({}) == []
    assert watch.liveness.returned({"tm": record}) == []
    beats = {"tm": record.model_copy(update={"counter": 2})}
    assert watch.liveness.returned(beats) == ["tm"]
    assert watch.liveness.returned(beats) == []
