"""Options that a program's Configuration may hold and that are read before submission; Flink's names.

    parallelism.default                  parallelism of operators without their own (1)
    pipeline.name                        the job's name
    pipeline.lanes                       lanes of operators without their own parallelism (that parallelism);
                                         a job can later be spread over as many slots as it has lanes
    pipeline.operator-chaining.enabled   whether operators share vertices (true)
    restart-strategy.type                exponential-delay (default), fixed-delay, none
    restart-strategy.fixed-delay.        attempts (3), delay (1 s)
    restart-strategy.exponential-delay.  attempts-before-fail (3), initial-backoff (1 s), max-backoff (1 min),
                                         backoff-multiplier (1.5)

    execution.delivery                   exactly-once (default), or at-least-once: outputs leave at once instead
                                         of with the next commit, and may come again after a failure
    execution.runtime-mode               streaming (default); batch: keyed reductions give the last value of each key,
                                         at the end of input; automatic: batch when all sources are bounded
    execution.commit-interval-ms         how often a lane commits (100; 1000 at least once)

    python.files                         what goes along with the job: .py files, folders, .zip, .whl and .egg files,
                                         with commas between
    python.requirements                  requirements.txt of the job, or "requirements.txt#folder" with a folder of
                                         wheels to install them from

The last two name places of the machine that submits; what is there travels, the options do not. All options that are
not listed here travel with the job as they are, unless they are almost one of these: a slip of the pen is refused.
Attempts count failures of a lane without a commit between. A duration is a number with a unit (ms, s, min, h, d), or
a bare number of milliseconds.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from headrace.common.call_site import wrong
from headrace.common.configuration import Configuration
from headrace.datastream.execution_mode import RuntimeExecutionMode

if TYPE_CHECKING:
    from headrace.protocol.submission import RestartStrategy

PARALLELISM = "parallelism.default"
NAME = "pipeline.name"
LANES = "pipeline.lanes"
CHAINING = "pipeline.operator-chaining.enabled"
RESTART = "restart-strategy.type"
COMMIT_INTERVAL = "execution.commit-interval-ms"
DELIVERY = "execution.delivery"
RUNTIME_MODE = "execution.runtime-mode"
FILES = "python.files"
REQUIREMENTS = "python.requirements"

_UNITS_MS = {"ms": 1, "s": 1_000, "sec": 1_000, "min": 60_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATION = re.compile(r"([0-9]+) *([a-z]*)")

T = TypeVar("T")


_KNOWN = (
    *(PARALLELISM, NAME, LANES, CHAINING, RESTART, COMMIT_INTERVAL, DELIVERY, RUNTIME_MODE, FILES, REQUIREMENTS),
    *(f"restart-strategy.fixed-delay.{name}" for name in ("attempts", "delay")),
    *(
        f"restart-strategy.exponential-delay.{name}"
        for name in ("attempts-before-fail", "initial-backoff", "max-backoff", "backoff-multiplier")
    ),
)
#: Likeness from which an unknown option is taken for a known one misspelt.
_ALIKE = 0.9


def _spelled(key: str) -> None:
    if key in _KNOWN:
        return
    if close := difflib.get_close_matches(key.lower(), _KNOWN, n=1, cutoff=_ALIKE):
        raise wrong(f"{key} is no option; did you mean {close[0]}?", code="option-invalid")


def number(options: Configuration, key: str) -> int | None:
    """An option that is a whole number, None when it is not set."""
    return _read(options, key, int, "a whole number")


def checked(options: Configuration) -> None:
    """Raises UsageError (option-invalid) naming the first option that has a value it cannot have."""
    for key in options.to_dict():
        _spelled(key)
    number(options, PARALLELISM)
    number(options, LANES)
    switch(options, CHAINING, True)
    restart_strategy(options)
    delivery(options)
    _read(options, COMMIT_INTERVAL, _interval, "a whole number of milliseconds from 1 to 60000")


def delivery(options: Configuration) -> str:
    """The delivery guarantee that the options ask for."""
    value = _read(options, DELIVERY, _delivery, "exactly-once or at-least-once")
    return "exactly-once" if value is None else value


def runtime_mode(options: Configuration) -> RuntimeExecutionMode:
    """The mode that the options name; STREAMING when they name none."""
    value = _read(options, RUNTIME_MODE, _runtime_mode, "streaming, batch or automatic")
    return RuntimeExecutionMode.STREAMING if value is None else value


def _runtime_mode(text: str) -> RuntimeExecutionMode:
    return RuntimeExecutionMode(text.lower())


def switch(options: Configuration, key: str, default: bool) -> bool:
    """An option that is true or false."""
    value = _read(options, key, _switch, "true or false")
    return default if value is None else value


def restart_strategy(options: Configuration) -> RestartStrategy:
    """The restart strategy that the options describe. Raises UsageError (option-invalid) naming the option."""
    # Here: slot workers import this module, start often, and have no use for the submission's models.
    from headrace.protocol.submission import ExponentialDelay, FixedDelay, NoRestart

    kind = options.get_string(RESTART, "exponential-delay")
    prefix = f"restart-strategy.{kind}."
    match kind:
        case "none" | "off" | "disable":
            return NoRestart()
        case "fixed-delay" | "fixeddelay":
            fixed = FixedDelay()
            return FixedDelay(
                attempts=_count(options, prefix + "attempts", fixed.attempts),
                delay_ms=_duration(options, prefix + "delay", fixed.delay_ms),
            )
        case "exponential-delay" | "exponentialdelay":
            growing = ExponentialDelay()
            multiplier = _read(options, prefix + "backoff-multiplier", _multiplier, "a number from 1")
            return ExponentialDelay(
                attempts=_count(options, prefix + "attempts-before-fail", growing.attempts),
                initial_ms=_duration(options, prefix + "initial-backoff", growing.initial_ms),
                max_ms=_duration(options, prefix + "max-backoff", growing.max_ms),
                multiplier=growing.multiplier if multiplier is None else multiplier,
            )
    raise wrong(f"{RESTART} is {kind!r}; it can be exponential-delay, fixed-delay or none", code="option-invalid")


def _read(options: Configuration, key: str, read: Callable[[str], T], expected: str) -> T | None:
    text = options.get_string(key)
    if text is None:
        return None
    try:
        return read(text)
    except ValueError:
        raise wrong(f"{key} is {text!r}; it must be {expected}", code="option-invalid") from None


def _count(options: Configuration, key: str, default: int) -> int:
    value = _read(options, key, _natural, "a whole number from 0")
    return default if value is None else value


def _duration(options: Configuration, key: str, default: int) -> int:
    value = _read(options, key, _milliseconds, "a duration such as 500 ms, 10 s or 1 min")
    return default if value is None else value


def _natural(text: str) -> int:
    value = int(text)
    if value < 0:
        raise ValueError
    return value


def _interval(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 60_000:
        raise ValueError
    return value


def _delivery(text: str) -> str:
    value = text.lower().replace("_", "-")
    if value not in ("exactly-once", "at-least-once"):
        raise ValueError
    return value


def _multiplier(text: str) -> float:
    value = float(text)
    if not 1 <= value < float("inf"):
        raise ValueError
    return value


def _switch(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError
    return text.lower() == "true"


def _milliseconds(text: str) -> int:
    match = _DURATION.fullmatch(text.strip().lower())
    if match is None or (match[2] or "ms") not in _UNITS_MS:
        raise ValueError
    return int(match[1]) * _UNITS_MS[match[2] or "ms"]
