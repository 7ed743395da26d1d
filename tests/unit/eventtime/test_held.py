"""When a lane says that its event time stands still, and who holds it."""

from __future__ import annotations

from headrace.runtime.eventtime.edges import EdgeWatermarks
from headrace.runtime.eventtime.held import HELD_S, HeldWatermark, in_words


def test_a_watermark_that_never_began_is_told_after_a_while() -> None:
    held = HeldWatermark(lambda: "partition 3 of topic bids", 100.0)
    assert held.reason(100.0 + HELD_S - 0.1) == ""
    assert held.reason(100.0 + HELD_S) == "watermark held by partition 3 of topic bids"


def test_one_that_moves_is_not_held() -> None:
    held = HeldWatermark(lambda: "x", 0.0)
    for second in range(100):
        held.rows_came(float(second))
        held.moved(float(second))
        assert held.reason(float(second)) == ""


def test_no_rows_no_complaint() -> None:
    """Once it has moved, a quiet input is just quiet."""
    held = HeldWatermark(lambda: "x", 0.0)
    held.rows_came(1.0)
    held.moved(1.0)
    assert held.reason(500.0) == ""
    held.rows_came(501.0)
    assert held.reason(502.0) == "watermark held by x"
    assert held.reason(501.0 + 2 * HELD_S) == ""
    held.rows_came(530.0)
    assert held.reason(531.0) == "watermark held by x"
    held.moved(532.5)
    assert held.reason(532.6) == ""


def test_who_holds_it_is_asked_once_a_second() -> None:
    asked: list[int] = []
    held = HeldWatermark(lambda: str(asked.append(1) or len(asked)), 0.0)
    said = {held.reason(HELD_S + tenth / 10) for tenth in range(30)}
    assert said == {"watermark held by 1", "watermark held by 2", "watermark held by 3"}


def test_nobody_known_nothing_said() -> None:
    assert HeldWatermark(lambda: "", 0.0).reason(1000.0) == ""


def test_the_least_lane_of_all_that_count() -> None:
    edges = EdgeWatermarks({"e0": [0, 1], "e1": [0]})
    edges.advance("e0", 0, 50)
    edges.advance("e1", 0, 40)
    assert edges.least()[:2] == ("e0", 1)
    edges.advance("e0", 1, 60)
    assert edges.least() == ("e1", 0, 40)
    edges.end("e1", 0)
    assert edges.least() == ("e0", 0, 50)
    edges.set_idle("e0", 0, True)
    assert edges.least() == ("e0", 1, 60)


def test_event_time_in_words() -> None:
    assert in_words(1_357_034_400_000) == "2013-01-01 10:00:00 UTC"
    assert in_words(10**18) == str(10**18)
