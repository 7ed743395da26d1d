"""Bytes ahead of a reader: counted up by the lane, down by the reader's reports, from two threads."""

from __future__ import annotations

import threading

from headrace.runtime.backpressure import Backpressure

SPLIT = ("x", 0)


def test_a_lane_is_held_until_its_reader_reports() -> None:
    pressure = Backpressure(1)
    pressure.sent(3, [(SPLIT, pressure.bytes_max + 1)])
    assert pressure.held_by() == SPLIT
    pressure.read_up_to(SPLIT, 2)
    assert pressure.held_by() == SPLIT
    pressure.read_up_to(SPLIT, 3)
    assert pressure.held_by() is None


def test_two_threads_lose_no_count() -> None:
    pressure = Backpressure(1)
    commits = 20_000

    def report() -> None:
        for c in range(commits):
            pressure.read_up_to(SPLIT, c)

    reader = threading.Thread(target=report)
    reader.start()
    for c in range(commits):
        pressure.sent(c, [(SPLIT, 100)])
    reader.join()
    pressure.read_up_to(SPLIT, commits)
    pressure.sent(commits, [(SPLIT, pressure.bytes_max)])
    assert pressure.held_by() is None  # not one byte of the earlier commits is left
