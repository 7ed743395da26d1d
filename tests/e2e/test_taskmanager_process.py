"""What a TaskManager process leaves behind when it is killed, and does when it wakes up."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import psutil
import pytest
from tests.e2e.taskmanager_world import ROOT, World, environment, new_job, run_in_world
from tests.waiting import until

pytestmark = pytest.mark.e2e

Story = Callable[[World], Awaitable[None]]


@pytest.fixture
def run(kafka: str, redis: str, tmp_path: Path) -> Callable[[Story], None]:
    return lambda story: run_in_world(kafka, redis, tmp_path, story)


class Process:
    """A TaskManager process with scripted workers; its log is beside its state."""

    def __init__(self, world: World, tm_id: str, slots: int = 2) -> None:
        settings = world.settings
        settings.state_dir.mkdir(parents=True, exist_ok=True)
        self.output = settings.state_dir / f"{tm_id}.err"
        variables = {
            "HEADRACE_REDIS": settings.redis or "",
            "HEADRACE_STATE_DIR": str(settings.state_dir),
            "HEADRACE_CACHE_DIR": str(settings.cache_dir),
        }
        with self.output.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, str(ROOT / "tests" / "e2e" / "scripted_taskmanager.py"), tm_id, str(slots)],
                env={**environment(settings), **variables},
                stdout=output,
                stderr=output,
            )

    def workers(self) -> list[psutil.Process]:
        with contextlib.suppress(psutil.NoSuchProcess):
            return psutil.Process(self._process.pid).children()
        return []

    def send(self, number: int) -> None:
        self._process.send_signal(number)

    def end(self, number: int = signal.SIGTERM) -> int:
        for each in (signal.SIGCONT, number):
            self._process.send_signal(each)
        return self._process.wait(20)


@contextlib.contextmanager
def processes(world: World, *ids: str) -> Iterator[list[Process]]:
    started = [Process(world, tm_id) for tm_id in ids]
    try:
        yield started
    except BaseException:
        for process in started:
            print(f"--- {process.output}\n{process.output.read_text()}")
        raise
    finally:
        for process in started:
            workers = process.workers()
            process.end(signal.SIGKILL)
            for worker in workers:
                with contextlib.suppress(psutil.NoSuchProcess):
                    worker.kill()


def test_workers_of_a_killed_taskmanager_end_and_the_next_one_takes_the_plan_up(run: Callable[[Story], None]) -> None:
    """No JobMaster takes part. The worker that is stopped cannot end by itself: the successor kills it."""

    async def story(world: World) -> None:
        job = new_job()
        await world.plan({"v0/0": ("tm1", 0, 1), "v0/1": ("tm1", 1, 1)}, job=job)
        with processes(world, "tm1") as [first]:
            await world.reached(job, "1.0 RUNNING", deadline_s=30)
            await world.reached(job, "1.0 RUNNING", "v0/1")
            workers = first.workers()
            workers[0].suspend()
            first.end(signal.SIGKILL)
            await until(lambda: [w.is_running() for w in workers].count(True) == 1)
            with processes(world, "tm1"):

                async def again() -> bool:
                    return (await world.states(job)).count("1.0 RUNNING") == 2

                await until(again, deadline_s=30)
                await until(lambda: not any(worker.is_running() for worker in workers))  # reaped by then, too

    run(story)


def test_a_taskmanager_that_slept_reads_the_plans_on_before_it_starts_anything(run: Callable[[Story], None]) -> None:
    """Stopped with its worker; the lane moved away, the worker killed: after SIGCONT nothing starts again."""

    async def story(world: World) -> None:
        job = new_job()
        await world.plan({"v0/0": ("tm1", 0, 1)}, job=job)
        with processes(world, "tm1") as [taskmanager]:
            states = await world.reached(job, "1.0 RUNNING", deadline_s=30)
            (worker, *_) = [w for w in taskmanager.workers() if "scripted_worker" in " ".join(w.cmdline())]
            taskmanager.send(signal.SIGSTOP)
            for each in taskmanager.workers():
                each.suspend()
            await asyncio.sleep(4)  # longer than a pause that the TaskManager would not notice
            await world.plan({"v0/0": ("tm2", 0, 2)}, job=job)
            for each in taskmanager.workers():
                os.kill(each.pid, signal.SIGKILL)
            taskmanager.send(signal.SIGCONT)
            await until(lambda: b"taskmanager.slept" in taskmanager.output.read_bytes())
            await until(lambda: not worker.is_running())

            async def settled() -> bool:
                return len(await world.states(job)) > len(states)

            await until(settled)
            await world.plan({"v0/1": ("tm1", 0, 1)}, job=job)  # what is planned now is started
            await world.reached(job, "1.0 RUNNING", "v0/1", deadline_s=30)
            assert [s for s in await world.states(job) if "DEPLOYING" in s] == ["1.0 DEPLOYING"]

    run(story)


def test_sigterm_ends_it_cleanly(run: Callable[[Story], None]) -> None:
    async def story(world: World) -> None:
        job = new_job()
        await world.plan({"v0/0": ("tm1", 0, 1)}, job=job)
        with processes(world, "tm1") as [taskmanager]:
            await world.reached(job, "1.0 RUNNING", deadline_s=30)
            workers = taskmanager.workers()
            assert await asyncio.to_thread(taskmanager.end) == 0
            assert not any(worker.is_running() for worker in workers)
            assert (await world.states(job))[-1] == "1.0 CANCELED"

    run(story)
