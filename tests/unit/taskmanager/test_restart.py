"""Delays before a restart."""

from __future__ import annotations

import pytest

from headrace.protocol.submission import ExponentialDelay, FixedDelay, NoRestart, RestartStrategy
from headrace.taskmanager.restart import death_delay_ms, failure_delay_ms


@pytest.mark.parametrize(
    ("strategy", "delays"),
    [
        (NoRestart(), [None]),
        (FixedDelay(attempts=2, delay_ms=70), [70, 70, None]),
        (FixedDelay(attempts=0), [None]),
        (ExponentialDelay(), [0, 1000, None]),
        (ExponentialDelay(attempts=6, initial_ms=100, multiplier=2, max_ms=300), [0, 100, 200, 300, 300, None]),
        (ExponentialDelay(attempts=1), [None]),
    ],
)
def test_delays_of_a_strategy_one_failure_after_the_other(
    strategy: RestartStrategy, delays: list[int | None]
) -> None:
    assert [failure_delay_ms(strategy, n) for n in range(1, len(delays) + 1)] == delays


def test_a_large_exponent_stays_a_delay() -> None:
    assert failure_delay_ms(ExponentialDelay(attempts=500), 499) == 60_000
    assert death_delay_ms(10_000) == 10_000


def test_deaths_wait_twice_as_long_each_time_after_the_first() -> None:
    assert [death_delay_ms(n) for n in range(1, 8)] == [0, 500, 1000, 2000, 4000, 8000, 10_000]


def test_a_failure_of_any_number_has_a_delay() -> None:
    strategy = ExponentialDelay(attempts=10**9, initial_ms=10**12, multiplier=1000, max_ms=60_000)
    assert failure_delay_ms(strategy, 10**6) == 60_000
