"""Records per second as metrics tell them."""

from __future__ import annotations

import pytest

from headrace.runtime.rate import OVER_S, Rate


def test_the_first_call_knows_nothing() -> None:
    assert Rate().per_s(10.0, 500) == 0.0


def test_steady_growth() -> None:
    rate = Rate()
    told = [rate.per_s(tick / 2, 50 * tick) for tick in range(40)]
    assert told[1:] == pytest.approx([100.0] * 39)


def test_a_burst_every_second_shows_as_its_mean() -> None:
    rate = Rate()
    told = [rate.per_s(tick / 2, 9 * (tick // 2)) for tick in range(40)]
    assert told[12:] == pytest.approx([9.0] * 28, rel=0.2)
    assert min(told[12:]) > 0


def test_what_ended_is_forgotten() -> None:
    rate = Rate()
    rate.per_s(0.0, 0)
    rate.per_s(1.0, 1000)
    for tick in range(20):
        last = rate.per_s(1.5 + tick / 2, 1000)
    assert last == 0.0
    assert rate.per_s(1.5 + 10.0 + OVER_S, 1000) == 0.0
