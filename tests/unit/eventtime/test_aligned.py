"""Tumbling windows against their definition, times before 1970 and offsets included."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.runtime.eventtime.aligned import Tumbling
from headrace.runtime.ports import MAX_WATERMARK, MIN_WATERMARK

sizes = st.integers(1, 10**9)
times = st.integers(-(10**15), 10**15)


@settings(deadline=None, derandomize=True)
@given(size=sizes, share=st.floats(-0.999, 0.999), time=times)
def test_a_moment_is_in_the_one_window_that_starts_on_the_grid(size: int, share: float, time: int) -> None:
    offset = int(size * share)
    start = Tumbling(size, offset).start(time)
    assert start <= time < start + size
    assert (start - offset) % size == 0


def test_windows_of_known_moments() -> None:
    day, hour = 86_400_000, 3_600_000
    assert Tumbling(5).start(-1) == -5
    assert Tumbling(5).start(-5) == -5
    assert Tumbling(5).start(0) == 0
    assert Tumbling(5).start(4) == 0
    assert Tumbling(5, 2).start(1) == -3
    # Days of UTC+8: 1970-01-02 00:00 there is 1970-01-01 16:00 in UTC.
    assert Tumbling(day, -8 * hour).start(20 * hour) == 16 * hour


def test_a_window_fires_at_its_last_moment_and_is_gone_after_its_lateness() -> None:
    windows = Tumbling(10, lateness_ms=5)
    assert windows.last_moment(0) == 9
    assert not windows.gone(0, 13)
    assert windows.gone(0, 14)
    assert not Tumbling(10).gone(0, 8)
    assert Tumbling(10).gone(0, 9)


def test_nothing_is_gone_before_the_first_watermark_and_all_at_the_end() -> None:
    windows = Tumbling(10, lateness_ms=5)
    assert not windows.gone(-(10**15), MIN_WATERMARK)
    assert windows.gone(10**15, MAX_WATERMARK)
