"""A call to the log that must succeed before anything else does: again and again until it is answered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_exponential_jitter

from headrace.log.control import LogUnavailableError

log = structlog.get_logger(__name__)
T = TypeVar("T")


async def insist(call: Callable[[], Awaitable[T]]) -> T:
    """The result of ``call``, repeated while the log is unavailable, with pauses of 0.1 to 2 s.

    Ends only with success or cancellation; every appended record may be there twice.
    """

    async def attempt() -> T:  # tenacity awaits coroutine functions only, and a lambda is none
        return await call()

    return await AsyncRetrying(
        retry=retry_if_exception_type(LogUnavailableError),
        wait=wait_exponential_jitter(multiplier=0.1, max=2.0, jitter=0.1),
        before_sleep=_note,
        reraise=True,
    )(attempt)


def _note(state: RetryCallState) -> None:
    if state.attempt_number == 1 and state.outcome is not None:
        log.warning("log.unavailable", error=str(state.outcome.exception()))
