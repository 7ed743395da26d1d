"""Watermarks over edges against a naive model, for random marks, idleness, ends and restores."""

from __future__ import annotations

import random

import pytest

from headrace.runtime.eventtime.edges import EdgeWatermarks
from headrace.runtime.ports import MAX_WATERMARK, MIN_WATERMARK

SOURCES = {"e0": [0, 1, 2], "e1": [0, 1]}
LANES = [(edge, lane) for edge, lanes in SOURCES.items() for lane in lanes]


def least(heard: dict[tuple[str, int], int], idle: set[tuple[str, int]], ended: set[tuple[str, int]]) -> int:
    active = [at for at in LANES if at not in idle and at not in ended]
    if active:
        return min(heard.get(at, MIN_WATERMARK) for at in active)
    quiet = [at for at in LANES if at not in ended]
    return max(heard.get(at, MIN_WATERMARK) for at in quiet) if quiet else MAX_WATERMARK


@pytest.mark.parametrize("seed", range(30))
def test_minimum_is_that_of_the_lanes_that_hold_it(seed: int) -> None:
    rng = random.Random(seed)
    tracked = EdgeWatermarks(SOURCES)
    heard: dict[tuple[str, int], int] = {}
    idle: set[tuple[str, int]] = set()
    ended: set[tuple[str, int]] = set()
    for _ in range(200):
        at = rng.choice(LANES)
        match rng.randrange(12):
            case 0:
                tracked.set_idle(*at, True)
                idle.add(at)
            case 1 | 2:
                tracked.set_idle(*at, False)
                idle.discard(at)
            case 3 if rng.random() < 0.2:
                tracked.end(*at)
                ended.add(at)
            case 4:
                other = EdgeWatermarks(SOURCES)
                other.restore(*tracked.snapshot())
                tracked = other
            case _:
                watermark = rng.randrange(1_000)
                tracked.advance(*at, watermark)
                heard[at] = max(watermark, heard.get(at, MIN_WATERMARK))
        assert tracked.minimum() == least(heard, idle, ended)
        assert tracked.all_ended() == (len(ended) == len(LANES))
        assert tracked.all_idle() == (len(ended) < len(LANES) and all(a in idle or a in ended for a in LANES))
