"""Watermarks over the source lanes of a lane's input edges."""

from __future__ import annotations

from headrace.runtime.eventtime.edges import EdgeWatermarks
from headrace.runtime.ports import MAX_WATERMARK, MIN_WATERMARK


def two_edges() -> EdgeWatermarks:
    return EdgeWatermarks({"e0": [0, 1], "e1": [0]})


def test_an_unheard_lane_holds_everything_back() -> None:
    w = two_edges()
    w.advance("e0", 0, 10)
    w.advance("e0", 1, 20)
    assert w.minimum() == MIN_WATERMARK
    w.advance("e1", 0, 15)
    assert w.minimum() == 10


def test_a_watermark_never_goes_back() -> None:
    w = EdgeWatermarks({"e0": [0]})
    w.advance("e0", 0, 10)
    w.advance("e0", 0, 5)
    assert w.minimum() == 10


def test_idle_lanes_are_left_out_until_they_speak_again() -> None:
    w = EdgeWatermarks({"e0": [0, 1]})
    w.advance("e0", 0, 10)
    w.set_idle("e0", 1, True)
    assert w.minimum() == 10 and not w.all_idle()
    w.set_idle("e0", 1, False)
    assert w.minimum() == MIN_WATERMARK


def test_all_idle_lets_the_greatest_through_and_says_so() -> None:
    w = EdgeWatermarks({"e0": [0, 1]})
    w.advance("e0", 0, 10)
    w.set_idle("e0", 0, True)
    w.set_idle("e0", 1, True)
    assert w.all_idle() and w.minimum() == 10


def test_ended_lanes_are_left_out_and_the_last_end_is_the_end_of_time() -> None:
    w = EdgeWatermarks({"e0": [0, 1]})
    w.advance("e0", 1, 7)
    w.end("e0", 0)
    assert w.minimum() == 7 and not w.all_ended()
    w.end("e0", 1)
    assert w.minimum() == MAX_WATERMARK and w.all_ended() and not w.all_idle()


def test_restore_gives_back_what_snapshot_took() -> None:
    w = two_edges()
    w.advance("e0", 0, 10)
    w.set_idle("e0", 1, True)
    w.end("e1", 0)
    again = two_edges()
    again.restore(*w.snapshot())
    assert again.snapshot() == w.snapshot()
    assert again.minimum() == w.minimum() == 10
