"""The event loop of one AsyncFunction in one lane: a thread that runs the user's coroutines.

The lane begins calls and takes what has ended; both are lists handed over, so a call costs the lane no wait. The
function is opened, called and closed in this one thread, inside of the running loop, so that clients which belong to
a loop can be made in ``open``. Each call has its time, retries included. After ``close`` nothing of this attempt is
left but threads of the user's own, and nothing they do reaches the lane: results go to a list that nobody reads.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from headrace.common.call_site import shown_path
from headrace.datastream.async_retry import AsyncRetryStrategy
from headrace.datastream.functions import AsyncFunction, RuntimeContext
from headrace.errors import UsageError
from headrace.runtime.operators.async_wait import Outcome
from headrace.runtime.output import enter_mark, thread_mark

#: How long cancelled calls, ``close`` of the function and threads of the loop may take each; then they are left.
CLOSE_S = 5.0

log = logging.getLogger(__name__)


class _Call:
    __slots__ = ("expired", "number", "timer", "value")

    timer: asyncio.TimerHandle

    def __init__(self, number: int, value: Any) -> None:
        self.number = number
        self.value = value
        self.expired = False


class EventLoopCalls:
    """Implements Calls (async_wait). ``wake`` is called, in the loop's thread, whenever a call has ended."""

    def __init__(
        self, function: AsyncFunction, retry: AsyncRetryStrategy, *, timeout_s: float, wake: Callable[[], None]
    ) -> None:
        self._function = function
        self._retry = retry
        self._timeout_s = timeout_s
        self._wake = wake
        self._ended: deque[Outcome] = deque()
        self._running: dict[asyncio.Task[Outcome], _Call] = {}
        self._loop = asyncio.new_event_loop()
        self._opened = False
        self._mark = thread_mark()
        self._thread = threading.Thread(target=self._run, name=f"async {type(function).__qualname__}", daemon=True)

    # ---- the lane's thread

    def open(self, context: RuntimeContext) -> None:
        """Raises what the function's ``open`` raises; ``close`` is to follow then too."""
        self._thread.start()
        error = asyncio.run_coroutine_threadsafe(self._open(context), self._loop).result()
        if error is not None:
            raise error

    def begin(self, rows: Sequence[tuple[int, Any]]) -> None:
        self._loop.call_soon_threadsafe(self._begin, rows)

    def ended(self) -> list[Outcome]:
        return [self._ended.popleft() for _ in range(len(self._ended))]

    def close(self) -> None:
        """Cancel what runs, close the function, end the thread. What hangs is logged and left behind."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(4 * CLOSE_S)
        if self._thread.is_alive():
            log.error("%s blocks its event loop: it was left behind", self._place())
        else:
            self._loop.close()

    # ---- the loop's thread

    def _run(self) -> None:
        enter_mark(self._mark)
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        self._loop.run_until_complete(self._close())

    async def _open(self, context: RuntimeContext) -> BaseException | None:
        try:
            opening: Any = self._function.open  # may be a coroutine function
            await _if_awaitable(opening(context))
        except BaseException as error:  # noqa: BLE001 - raised in the lane's thread
            return error
        self._opened = True
        return None

    async def _close(self) -> None:
        running, self._running = self._running, {}
        for task, call in running.items():
            call.timer.cancel()
            task.cancel()
        if running:
            _, hanging = await asyncio.wait(list(running), timeout=CLOSE_S)
            if hanging:
                log.error("%d calls of %s go on after they were cancelled", len(hanging), self._place())
        if self._opened:
            try:
                closing: Any = self._function.close
                await asyncio.wait_for(_if_awaitable(closing()), CLOSE_S)
            except BaseException:  # noqa: BLE001 - user code; the lane is ending and says why elsewhere
                log.exception("close() of %s", type(self._function).__qualname__)
        await self._loop.shutdown_asyncgens()
        try:
            await asyncio.wait_for(self._loop.shutdown_default_executor(), CLOSE_S)
        except TimeoutError:
            log.error("threads begun by %s go on after its end", self._place())

    def _begin(self, rows: Sequence[tuple[int, Any]]) -> None:
        for number, value in rows:
            call = _Call(number, value)
            task = self._loop.create_task(self._attempts(number, value))
            call.timer = self._loop.call_later(self._timeout_s, self._expire, call, task)
            self._running[task] = call
            task.add_done_callback(self._over)

    async def _attempts(self, number: int, value: Any) -> Outcome:
        """Call until the strategy is content. Never raises, but for the cancellation of the task."""
        retry, attempt = self._retry, 1
        try:
            predicate = retry.get_retry_predicate()
            while True:
                try:
                    results = await self._function.async_invoke(value)
                except Exception as error:
                    of_error = predicate.exception_predicate()
                    if of_error is None or not retry.can_retry(attempt) or not of_error(error):
                        raise
                else:
                    of_result = predicate.result_predicate()
                    if of_result is None or not retry.can_retry(attempt) or not of_result(results):
                        return Outcome(number, self._checked("async_invoke", results))
                await asyncio.sleep(retry.get_backoff_time_millis(attempt) / 1000)
                attempt += 1
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - SystemExit too: it must not end this thread without a word
            return Outcome(number, [], error)

    def _over(self, task: asyncio.Task[Outcome]) -> None:
        call = self._running.pop(task, None)
        if call is None or call.expired:
            return
        call.timer.cancel()
        if task.cancelled():
            text = f"{self._place()} was cancelled by itself"
            self._tell(Outcome(call.number, [], asyncio.CancelledError(text)))
        else:
            self._tell(task.result())

    def _expire(self, call: _Call, task: asyncio.Task[Outcome]) -> None:
        """Its time is over: what ``timeout`` gives stands for its results, whatever the coroutine still does."""
        call.expired = True
        task.cancel()
        try:
            outcome = Outcome(call.number, self._checked("timeout", self._function.timeout(call.value)))
        except BaseException as error:  # noqa: BLE001 - user code, raised in the lane's thread
            outcome = Outcome(call.number, [], error)
        self._tell(outcome)

    def _tell(self, outcome: Outcome) -> None:
        self._ended.append(outcome)
        self._wake()

    def _checked(self, method: str, results: Any) -> list[Any]:
        if isinstance(results, list):
            return list(results)  # the user may use his list again
        wrong = "cannot be none" if results is None else "should be of list type"
        given = "" if results is None else f", not {type(results).__qualname__}"
        raise UsageError(
            "async-result-invalid",
            f"The result of AsyncFunction {wrong}{given}: {self._place(method)}",
            hint="return [result], or [] for no result",
        )

    def _place(self, method: str = "async_invoke") -> str:
        return place_of(self._function, method)


def place_of(function: AsyncFunction, method: str) -> str:
    """``Class.method (file:line)``."""
    name = f"{type(function).__qualname__}.{method}"
    code = getattr(getattr(type(function), method), "__code__", None)
    return name if code is None else f"{name} ({shown_path(code.co_filename)}:{code.co_firstlineno})"


async def _if_awaitable(result: Awaitable[None] | None) -> None:
    if inspect.isawaitable(result):
        await result
