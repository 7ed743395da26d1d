"""Watermarks out of event times, one generator per split (or per ``timestamps`` operator). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headrace.runtime.ports import MIN_WATERMARK


class Generator:
    """Bounded out-of-orderness; monotonous times are the case of no delay.

    ``greatest`` is written by generated code. As in Flink, the watermark says that nothing at or below it is
    still to come, so it stays one millisecond below the greatest time less the delay.
    """

    __slots__ = ("delay_ms", "greatest")

    def __init__(self, delay_ms: int) -> None:
        self.delay_ms = delay_ms
        self.greatest = MIN_WATERMARK

    @property
    def watermark(self) -> int:
        return MIN_WATERMARK if self.greatest == MIN_WATERMARK else self.greatest - self.delay_ms - 1

    def restore(self, watermark: int) -> None:
        self.greatest = MIN_WATERMARK if watermark == MIN_WATERMARK else watermark + self.delay_ms + 1


def make_generator(strategy: Mapping[str, Any]) -> Generator:
    """From the ``watermark`` parameter of an operator."""
    match strategy["kind"]:
        case "monotonous":
            return Generator(0)
        case "bounded_out_of_orderness":
            return Generator(int(strategy["delay_ms"]))
        case kind:
            raise ValueError(f"unknown watermark strategy {kind!r}")
