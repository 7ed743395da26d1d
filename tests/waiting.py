"""Waiting for a condition, with a deadline: the only way a test waits."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable

DEADLINE_S = 15.0


async def until(
    condition: Callable[[], Awaitable[object] | object], *, deadline_s: float = DEADLINE_S, every_s: float = 0.02
) -> None:
    """Return as soon as ``condition()`` (awaited when it has to be) is true. Raises TimeoutError."""
    async with asyncio.timeout(deadline_s):
        while True:
            found = condition()
            if await found if inspect.isawaitable(found) else found:
                return
            await asyncio.sleep(every_s)


def wait_until(condition: Callable[[], object], *, deadline_s: float = DEADLINE_S, every_s: float = 0.05) -> None:
    """The same without an event loop."""
    deadline = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {deadline_s} s")
        time.sleep(every_s)
