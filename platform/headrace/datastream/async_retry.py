"""What decides whether the call of an AsyncFunction is made again; programs import these from ``functions``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

__all__ = ["AsyncRetryPredicate", "AsyncRetryStrategy"]

ResultPredicate = Callable[[list[Any]], bool]
ExceptionPredicate = Callable[[Exception], bool]


class AsyncRetryPredicate(ABC):
    """Which ends of a call ask for another one."""

    @abstractmethod
    def result_predicate(self) -> ResultPredicate | None:
        """True of results that are not wanted; None: all are."""

    @abstractmethod
    def exception_predicate(self) -> ExceptionPredicate | None:
        """True of exceptions after which to call again; None: each fails the task."""


class AsyncRetryStrategy(ABC):
    """How often and when to call again. Consulted in the thread of the calls; must be picklable.

    The strategies of these methods hold nothing about a call: one serves all calls at a time.
    """

    @abstractmethod
    def can_retry(self, current_attempts: int) -> bool:
        """Whether to call once more after so many calls for this value, from 1."""

    @abstractmethod
    def get_backoff_time_millis(self, current_attempts: int) -> int:
        """How long to wait before that, in ms."""

    @abstractmethod
    def get_retry_predicate(self) -> AsyncRetryPredicate: ...

    @staticmethod
    def no_restart() -> AsyncRetryStrategy:
        """One call and no more."""
        from headrace.datastream.async_retry_strategies import NO_RETRY_STRATEGY

        return NO_RETRY_STRATEGY

    @staticmethod
    def fixed_delay(
        max_attempts: int,
        backoff_time_millis: int,
        result_predicate: ResultPredicate | None = None,
        exception_predicate: ExceptionPredicate | None = None,
    ) -> AsyncRetryStrategy:
        """Up to ``max_attempts`` calls more, each so long after the end of the one before."""
        from headrace.datastream.async_retry_strategies import FixedDelayRetryStrategy

        return FixedDelayRetryStrategy(max_attempts, backoff_time_millis, result_predicate, exception_predicate)

    @staticmethod
    def exponential_backoff(
        max_attempts: int,
        initial_delay: int,
        max_retry_delay: int,
        multiplier: float,
        result_predicate: ResultPredicate | None = None,
        exception_predicate: ExceptionPredicate | None = None,
    ) -> AsyncRetryStrategy:
        """As ``fixed_delay``, after ``initial_delay`` ms at first, then ``multiplier`` times as long each time.

        Never longer than ``max_retry_delay`` ms.
        """
        from headrace.datastream.async_retry_strategies import ExponentialBackoffDelayRetryStrategy

        return ExponentialBackoffDelayRetryStrategy(
            max_attempts, initial_delay, max_retry_delay, multiplier, result_predicate, exception_predicate
        )
