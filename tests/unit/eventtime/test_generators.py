"""Watermarks out of event times."""

from __future__ import annotations

import pytest

from headrace.runtime.eventtime.generators import make_generator
from headrace.runtime.ports import MIN_WATERMARK


def test_no_watermark_before_the_first_event() -> None:
    generator = make_generator({"kind": "bounded_out_of_orderness", "delay_ms": 5})
    assert generator.watermark == MIN_WATERMARK


def test_the_watermark_stays_below_the_greatest_time_less_the_delay() -> None:
    generator = make_generator({"kind": "bounded_out_of_orderness", "delay_ms": 5})
    generator.greatest = 100
    assert generator.watermark == 94


def test_monotonous_times_have_no_delay() -> None:
    generator = make_generator({"kind": "monotonous", "delay_ms": 0})
    generator.greatest = 100
    assert generator.watermark == 99


@pytest.mark.parametrize("watermark", [MIN_WATERMARK, -7, 0, 94])
def test_a_restored_generator_has_the_watermark_it_had(watermark: int) -> None:
    generator = make_generator({"kind": "bounded_out_of_orderness", "delay_ms": 5})
    generator.restore(watermark)
    assert generator.watermark == watermark


def test_an_unknown_strategy_is_named() -> None:
    with pytest.raises(ValueError, match="punctuated"):
        make_generator({"kind": "punctuated"})
