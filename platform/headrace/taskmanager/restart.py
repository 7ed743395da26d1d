"""How long to wait before a lane, or a slot worker, is started again.

User code fails by the plan's strategy, counted per lane since its last commit. A process that dies is nobody's
verdict on the job: it is started again for ever, the first time at once.

Pure: no I/O.
"""

from __future__ import annotations

from headrace.protocol.submission import ExponentialDelay, FixedDelay, NoRestart, RestartStrategy

DEATH_DELAY_MS = 500
#: From here on any multiplier above 1 has reached its maximum, or is as good as 1; floats must not overflow.
EXPONENT_MAX = 90
DEATH_DELAY_MS_MAX = 10_000


def failure_delay_ms(strategy: RestartStrategy, failures: int) -> int | None:
    """Delay after the ``failures``-th failure in a row with no commit between; None: the job must fail."""
    match strategy:
        case NoRestart():
            return None
        case FixedDelay():
            return strategy.delay_ms if failures <= strategy.attempts else None
        case ExponentialDelay():
            if failures >= strategy.attempts:
                return None
            if failures == 1:
                return 0
            delay_ms: float = strategy.initial_ms * strategy.multiplier ** min(failures - 2, EXPONENT_MAX)
            return min(strategy.max_ms, round(delay_ms))


def death_delay_ms(deaths: int) -> int:
    """Delay after the ``deaths``-th death in a row of a slot's worker that had achieved nothing."""
    if deaths <= 1:
        return 0
    return min(DEATH_DELAY_MS_MAX, DEATH_DELAY_MS << min(deaths - 2, 10))
