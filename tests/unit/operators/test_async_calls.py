"""AsyncFunction in a chain, with its real event loop: the coroutines wait for gates that the test opens."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.unit.operators.one_lane import OneLane, op

from headrace.datastream.async_retry_predicates import empty_result_predicate, has_exception_predicate
from headrace.datastream.async_retry_strategies import NoRetryStrategy
from headrace.datastream.functions import AsyncFunction, AsyncRetryPredicate, AsyncRetryStrategy, RuntimeContext
from headrace.runtime.operators.async_calls import EventLoopCalls
from headrace.runtime.operators.chain import FusedChain
from headrace.runtime.output import OutputFile, enter_lane, thread_mark
from headrace.runtime.ports import MAX_WATERMARK, MIN_WATERMARK, Pending, UserCodeError

WAIT_S = 60.0


class Scripted(AsyncFunction):
    """Calls ``body(value)``; counts what it is told."""

    def __init__(self, body: Callable[[Any], Any], late: Callable[[Any], Any] | None = None) -> None:
        self.body, self.late = body, late
        self.told: list[Any] = []

    def open(self, runtime_context: RuntimeContext) -> None:
        self.told.append(("open", asyncio.get_running_loop().is_running(), threading.current_thread().name))

    async def close(self) -> None:  # type: ignore[override]
        await asyncio.sleep(0)
        self.told.append("close")

    async def async_invoke(self, value: Any) -> list[Any]:
        return await self.body(value)  # type: ignore[no-any-return]

    def timeout(self, value: Any) -> list[Any]:
        return self.late(value) if self.late else super().timeout(value)


class Gates:
    """Each value waits until it is let through, whichever attempt's coroutine it is in."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._let: set[Any] = set()
        self._waiting: list[tuple[Any, asyncio.AbstractEventLoop, asyncio.Event]] = []
        self.entered: list[Any] = []
        self.cancelled: list[Any] = []

    def let(self, value: Any) -> None:
        with self._lock:
            self._let.add(value)
            for waiting, loop, event in self._waiting:
                if waiting == value and not loop.is_closed():
                    loop.call_soon_threadsafe(event.set)

    async def wait(self, value: Any) -> list[Any]:
        self.entered.append(value)
        event = asyncio.Event()
        with self._lock:
            if value in self._let:
                return [value]
            self._waiting.append((value, asyncio.get_running_loop(), event))
        try:
            await event.wait()
        except asyncio.CancelledError:
            self.cancelled.append(value)
            raise
        return [value]


class AsyncLane(OneLane):
    """A lane whose wakes the test can wait for."""

    def __init__(
        self, function: AsyncFunction, *more: Any, retry: Any = None, timeout_ms: int = 60_000, **params: Any
    ) -> None:
        self.woken = threading.Semaphore(0)
        functions = {"async": function} if retry is None else {"async": function, "retry": retry}
        params = {"mode": "unordered", "capacity": 10, **params}
        super().__init__(op("async_wait", functions, name="ask", timeout_ms=timeout_ms, **params), *more)

    def start(self) -> None:
        if hasattr(self, "chain"):
            self.chain.close()
        with chains_waking(self.woken.release):
            super().start()

    def await_wake(self) -> None:
        assert self.woken.acquire(timeout=WAIT_S)

    def settle(self) -> None:
        """Until every row has left."""
        self.chain.due()
        while self.chain.pending() is not Pending.NONE:
            self.await_wake()
            self.chain.due()


@contextmanager
def chains_waking(wake: Callable[[], None]) -> Iterator[None]:
    """Chains that are made meanwhile get this ``wake``."""
    original = FusedChain.__init__

    def init(self: FusedChain, *arguments: Any, **named: Any) -> None:
        original(self, *arguments, **{**named, "wake": wake})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FusedChain, "__init__", init)
        yield


@contextmanager
def lane_of(function: AsyncFunction, *more: Any, **named: Any) -> Iterator[AsyncLane]:
    lane = AsyncLane(function, *more, **named)
    try:
        yield lane
    finally:
        lane.chain.close()


async def twice(value: Any) -> list[Any]:
    await asyncio.sleep(0)
    return [value, value]


def test_results_take_the_event_time_of_their_value_and_go_down_the_chain() -> None:
    with lane_of(Scripted(twice), op("map", {"map": lambda v: v + 1})) as lane:
        lane.unkeyed((1, 10), (5, None))
        lane.settle()
        assert sorted(lane.out(), key=str) == [(2, 10), (2, 10), (6, None), (6, None)]


def test_rows_of_a_keyed_stream_are_taken_too() -> None:
    with lane_of(Scripted(twice)) as lane:
        lane.rows(("k", 1, 10))
        lane.settle()
        assert lane.values() == [1, 1]


def test_the_watermark_leaves_behind_the_rows_before_it() -> None:
    gates = Gates()
    with lane_of(Scripted(gates.wait)) as lane:
        lane.unkeyed((1, 10))
        assert lane.chain.advance(MAX_WATERMARK, 1)
        lane.chain.due()
        assert lane.chain.output_watermark(0) == MIN_WATERMARK
        gates.let(1)
        lane.settle()
        assert lane.chain.output_watermark(0) == MAX_WATERMARK


def test_at_most_capacity_calls_run() -> None:
    gates = Gates()
    with lane_of(Scripted(gates.wait), capacity=2) as lane:
        lane.unkeyed(*[(n, None) for n in range(6)])
        assert lane.chain.pending() is Pending.FULL
        for n in range(6):
            gates.let(n)
            lane.await_wake()
            assert len(gates.entered) <= n + 2
            lane.chain.due()
        assert lane.chain.pending() is Pending.NONE
        assert sorted(lane.values()) == list(range(6))


def test_calls_in_flight_at_a_kill_are_made_again_and_the_old_ones_cancelled() -> None:
    gates = Gates()
    with lane_of(Scripted(gates.wait), mode="ordered") as lane:
        lane.unkeyed((1, 1), (2, 2))
        lane.commit()
        gates.let(2)
        lane.await_wake()
        lane.kill()
        gates.let(1)
        lane.settle()
        assert lane.out() == [(1, 1), (2, 2)]
        assert gates.cancelled == [1]
        lane.kill()
        assert lane.chain.pending() is Pending.NONE


def test_results_of_an_aborted_commit_come_again() -> None:
    with lane_of(Scripted(twice)) as lane:
        lane.unkeyed((1, 1))
        lane.commit()
        lane.settle()
        lane.begin_commit()
        lane.abort()
        lane.settle()
        assert lane.out() == [(1, 1), (1, 1)]


def test_open_and_close_run_in_the_loop_and_the_thread_ends() -> None:
    function = Scripted(twice)
    with lane_of(function) as lane:
        ((_, running, thread),) = function.told
        assert running
        assert thread in [each.name for each in threading.enumerate()]
        lane.unkeyed((1, None))
        lane.settle()
    assert function.told[1:] == ["close"]
    assert threading.current_thread().name != thread
    assert [each for each in threading.enumerate() if each.name == thread] == []


def test_a_failure_is_the_operators_with_the_users_frame() -> None:
    async def fails(value: Any) -> list[Any]:
        raise KeyError(value)

    with lane_of(Scripted(fails)) as lane:
        lane.unkeyed(("x", None))
        with pytest.raises(UserCodeError, match="KeyError: 'x'") as failure:
            lane.settle()
    assert failure.value.operator == "ask"
    frames, at = [], failure.value.__cause__.__traceback__ if failure.value.__cause__ else None
    while at is not None:
        frames.append(at.tb_frame.f_code.co_name)
        at = at.tb_next
    assert frames[-2:] == ["async_invoke", "fails"]


def test_an_exit_fails_the_lane_and_not_the_thread() -> None:
    async def leaves(value: Any) -> list[Any]:
        raise SystemExit(3)

    with lane_of(Scripted(leaves)) as lane:
        lane.unkeyed((1, None))
        with pytest.raises(UserCodeError, match="SystemExit: 3"):
            lane.settle()


def test_a_coroutine_that_cancels_itself_fails_the_lane() -> None:
    async def cancels(value: Any) -> list[Any]:
        raise asyncio.CancelledError

    with lane_of(Scripted(cancels)) as lane:
        lane.unkeyed((1, None))
        with pytest.raises(UserCodeError, match="was cancelled by itself"):
            lane.settle()


@pytest.mark.parametrize(
    ("result", "text"),
    [
        (None, "The result of AsyncFunction cannot be none"),
        (7, "The result of AsyncFunction should be of list type, not int"),
        ((1, 2), "The result of AsyncFunction should be of list type, not tuple"),
    ],
)
def test_results_must_be_a_list(result: Any, text: str) -> None:
    async def gives(value: Any) -> Any:
        return result

    with lane_of(Scripted(gives)) as lane:
        lane.unkeyed((1, None))
        with pytest.raises(UserCodeError, match=text) as failure:
            lane.settle()
    assert getattr(failure.value.__cause__, "code", "") == "async-result-invalid"
    assert "Scripted.async_invoke (" in str(failure.value)


def test_a_call_whose_time_is_over_gives_what_timeout_gives() -> None:
    gates = Gates()
    with lane_of(Scripted(gates.wait, lambda v: [-v]), timeout_ms=1) as lane:
        lane.unkeyed((1, 5), (2, 6))
        lane.settle()
        assert sorted(lane.out()) == [(-2, 6), (-1, 5)]


def test_a_call_that_will_not_be_cancelled_still_times_out() -> None:
    async def stubborn(value: Any) -> list[Any]:
        for _ in range(2):
            try:
                await asyncio.sleep(WAIT_S)
            except asyncio.CancelledError:
                continue
        return [value]

    with lane_of(Scripted(stubborn, lambda v: [-v]), timeout_ms=1) as lane:
        lane.unkeyed((1, 5))
        lane.settle()
        assert lane.out() == [(-1, 5)]


def test_without_timeout_of_its_own_the_call_is_named() -> None:
    with lane_of(Scripted(Gates().wait), timeout_ms=1) as lane:
        lane.unkeyed((77, None))
        with pytest.raises(UserCodeError, match=r"Scripted.async_invoke \(.*\) gave no result in time for 77"):
            lane.settle()


class Flaky:
    """Fails, then gives nothing, then 1."""

    def __init__(self) -> None:
        self.calls = 0

    async def __call__(self, value: Any) -> list[Any]:
        self.calls += 1
        if self.calls == 1:
            raise OSError("down")
        return [] if self.calls == 2 else [self.calls]


def test_calls_are_made_again_as_the_strategy_says() -> None:
    retry = AsyncRetryStrategy.fixed_delay(2, 1, empty_result_predicate, has_exception_predicate)
    with lane_of(Scripted(Flaky()), retry=retry) as lane:
        lane.unkeyed((1, None))
        lane.settle()
        assert lane.values() == [3]


def test_after_the_last_attempt_its_end_counts() -> None:
    retry = AsyncRetryStrategy.fixed_delay(1, 1, empty_result_predicate, has_exception_predicate)
    with lane_of(Scripted(Flaky()), retry=retry) as lane:
        lane.unkeyed((1, None))
        lane.settle()
        assert lane.values() == []

    async def down(value: Any) -> list[Any]:
        raise OSError("down")

    with lane_of(Scripted(down), retry=retry) as lane:
        lane.unkeyed((1, None))
        with pytest.raises(UserCodeError, match="OSError: down"):
            lane.settle()


def test_a_strategy_that_fails_fails_the_lane() -> None:
    class Broken(NoRetryStrategy):
        def get_retry_predicate(self) -> AsyncRetryPredicate:
            raise LookupError("no predicate")

    with lane_of(Scripted(twice), retry=Broken()) as lane:
        lane.unkeyed((1, None))
        with pytest.raises(UserCodeError, match="LookupError: no predicate"):
            lane.settle()


def test_a_list_that_is_used_again_keeps_its_results() -> None:
    shared: list[Any] = []

    async def reuses(value: Any) -> list[Any]:
        shared[:] = [value]
        return shared

    with lane_of(Scripted(reuses)) as lane:
        lane.unkeyed((1, None), (2, None))
        lane.settle()
        assert sorted(lane.values()) == [1, 2]


def test_the_time_of_a_value_includes_its_retries() -> None:
    async def down(value: Any) -> list[Any]:
        raise OSError("down")

    retry = AsyncRetryStrategy.fixed_delay(100_000, 1, None, has_exception_predicate)
    with lane_of(Scripted(down, lambda v: ["late"]), retry=retry, timeout_ms=20) as lane:
        lane.unkeyed((1, None))
        lane.settle()
        assert lane.values() == ["late"]


def test_a_failing_open_is_the_operators() -> None:
    class Broken(Scripted):
        def open(self, runtime_context: RuntimeContext) -> None:
            runtime_context.get_state(None)  # type: ignore[arg-type]

    with pytest.raises(UserCodeError, match="cannot be called in an AsyncFunction"):
        AsyncLane(Broken(twice))


def test_what_the_coroutine_prints_is_its_lanes(tmp_path: Path) -> None:
    output = OutputFile(tmp_path / "out")

    async def says(value: Any) -> list[Any]:
        output.line("stdout", "hello")
        return []

    calls: list[EventLoopCalls] = []

    def in_lane() -> None:
        enter_lane("v2/1", "1.0")
        assert thread_mark() == "v2/1\t1.0"
        calls.append(EventLoopCalls(Scripted(says), AsyncRetryStrategy.no_restart(), timeout_s=60, wake=done.set))
        calls[0].open(None)  # type: ignore[arg-type]
        calls[0].begin([(0, 1)])

    done = threading.Event()
    lane = threading.Thread(target=in_lane)
    lane.start()
    lane.join(WAIT_S)
    assert done.wait(WAIT_S)
    calls[0].close()
    assert (tmp_path / "out").read_text() == "v2/1\t1.0\tstdout\thello\n"
