"""The strategies that ``AsyncRetryStrategy.fixed_delay`` and its like make."""

from __future__ import annotations

from typing import Any

from headrace.common.call_site import wrong
from headrace.datastream.async_retry import (
    AsyncRetryPredicate,
    AsyncRetryStrategy,
    ExceptionPredicate,
    ResultPredicate,
)

__all__ = ["ExponentialBackoffDelayRetryStrategy", "FixedDelayRetryStrategy", "NoRetryStrategy", "RetryPredicate"]


class RetryPredicate(AsyncRetryPredicate):
    """The two predicates as given."""

    def __init__(
        self, result_predicate: ResultPredicate | None, exception_predicate: ExceptionPredicate | None
    ) -> None:
        for name, predicate in (("result_predicate", result_predicate), ("exception_predicate", exception_predicate)):
            if predicate is not None and not callable(predicate):
                raise wrong(f"{name} takes a function, not {predicate!r:.60}")
        self._result_predicate = result_predicate
        self._exception_predicate = exception_predicate

    def result_predicate(self) -> ResultPredicate | None:
        return self._result_predicate

    def exception_predicate(self) -> ExceptionPredicate | None:
        return self._exception_predicate


class NoRetryStrategy(AsyncRetryStrategy):
    """One call and no more."""

    def can_retry(self, current_attempts: int) -> bool:
        return False

    def get_backoff_time_millis(self, current_attempts: int) -> int:
        return -1

    def get_retry_predicate(self) -> AsyncRetryPredicate:
        return RetryPredicate(None, None)


class FixedDelayRetryStrategy(AsyncRetryStrategy):
    """Up to ``max_attempts`` calls more, ``backoff_time_millis`` between them."""

    def __init__(
        self,
        max_attempts: int,
        backoff_time_millis: int,
        result_predicate: ResultPredicate | None,
        exception_predicate: ExceptionPredicate | None,
    ) -> None:
        self._max_attempts = _positive("max_attempts", max_attempts)
        self._backoff_ms = _positive("backoff_time_millis", backoff_time_millis)
        self._predicate = RetryPredicate(result_predicate, exception_predicate)

    def can_retry(self, current_attempts: int) -> bool:
        return current_attempts <= self._max_attempts

    def get_backoff_time_millis(self, current_attempts: int) -> int:
        return self._backoff_ms

    def get_retry_predicate(self) -> AsyncRetryPredicate:
        return self._predicate


class ExponentialBackoffDelayRetryStrategy(AsyncRetryStrategy):
    """Up to ``max_attempts`` calls more, with delays that grow from ``initial_delay`` to ``max_retry_delay`` ms."""

    def __init__(
        self,
        max_attempts: int,
        initial_delay: int,
        max_retry_delay: int,
        multiplier: float,
        result_predicate: ResultPredicate | None,
        exception_predicate: ExceptionPredicate | None,
    ) -> None:
        self._max_attempts = _positive("max_attempts", max_attempts)
        self._initial_ms = _positive("initial_delay", initial_delay)
        self._max_ms = _positive("max_retry_delay", max_retry_delay)
        if type(multiplier) not in (int, float) or not 0 < multiplier < float("inf"):
            raise wrong(f"multiplier must be a number above 0, not {multiplier!r:.60}")
        self._multiplier = multiplier
        self._predicate = RetryPredicate(result_predicate, exception_predicate)

    def can_retry(self, current_attempts: int) -> bool:
        return current_attempts <= self._max_attempts

    def get_backoff_time_millis(self, current_attempts: int) -> int:
        delay_ms = float(self._initial_ms)
        for _ in range(1, current_attempts):
            delay_ms = min(delay_ms * self._multiplier, self._max_ms)
        return int(delay_ms)

    def get_retry_predicate(self) -> AsyncRetryPredicate:
        return self._predicate


def _positive(name: str, number: Any) -> int:
    if type(number) is not int or number <= 0:
        raise wrong(f"{name} must be a whole number from 1, not {number!r:.60}")
    return number


NO_RETRY_STRATEGY = NoRetryStrategy()
