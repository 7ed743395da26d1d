"""The TaskManager on real Kafka and Redis, with real processes as workers that follow a script."""

from __future__ import annotations

import hashlib
import os
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import psutil
import pytest
from tests.e2e.taskmanager_world import LateTails, World, new_job, run_in_world
from tests.waiting import until

from headrace.errors import UsageError
from headrace.protocol.control import LaneRefused, LaneStateChanged, TaskManagerReport
from headrace.protocol.dependency_archive import Archive
from headrace.protocol.states import LaneState
from headrace.protocol.submission import UploadedCode
from headrace.taskmanager.service import TaskManager

pytestmark = pytest.mark.e2e

Story = Callable[[World], Awaitable[None]]
Run = Callable[[Story], None]


@pytest.fixture
def run(kafka: str, redis: str, tmp_path: Path) -> Run:
    return lambda story: run_in_world(kafka, redis, tmp_path, story)


def pids(taskmanager: TaskManager) -> list[int]:
    return sorted(taskmanager.worker_pids().values())


# ---- plans


def test_lanes_start_report_and_stop_as_planned(run: Run) -> None:
    async def story(world: World) -> None:
        job = new_job()
        async with world.taskmanager() as tm:
            await world.plan({"v0/0": ("tm1", 0, 1), "v0/1": ("tm1", 1, 1)}, job=job)
            states = await world.reached(job, "1.0 RUNNING", "v0/1")
            assert states == ["1.0 DEPLOYING", "1.0 INITIALIZING", "1.0 RUNNING"]
            record = (await world.store.taskmanagers()).records["tm1"]
            assert record.occupied == {"0": job, "1": job}

            async def measured() -> bool:
                metrics = await world.store.lane_metrics(job)
                return {lane: m.commits for lane, m in metrics.items()} == {"v0/0": 1, "v0/1": 1}

            await until(measured)
            await world.plan({"v0/0": ("tm1", 0, 1), "v0/1": ("tm1", 1, 1)}, job=job, desired="STOPPED")
            assert (await world.reached(job, "1.0 CANCELED"))[-2:] == ["1.0 CANCELING", "1.0 CANCELED"]
            await until(lambda: not pids(tm))

            async def free() -> bool:
                return (await world.store.taskmanagers()).records["tm1"].occupied == {}

            await until(free)

    run(story)


def test_a_plan_written_before_the_start_is_taken_up_and_one_below_a_claim_is_not(run: Run) -> None:
    async def story(world: World) -> None:
        good, stale = new_job(), new_job()
        await world.plan({"v0/0": ("tm1", 0, 1)}, job=good)
        old = await world.claim(stale)
        await world.claim(stale)
        world.epochs[stale] = old
        await world.plan({"v0/0": ("tm1", 1, 1)}, job=stale)
        async with world.taskmanager() as tm:
            await world.reached(good, "1.0 RUNNING")
            assert await world.events(stale) == []
            assert {lane.job for lane in tm.state.lanes.values()} == {good}

    run(story)


def test_an_occupied_slot_is_refused(run: Run) -> None:
    async def story(world: World) -> None:
        first, second = new_job(), new_job()
        async with world.taskmanager():
            await world.plan({"v0/0": ("tm1", 0, 1)}, job=first)
            await world.reached(first, "1.0 RUNNING")
            await world.plan({"v0/0": ("tm1", 0, 1)}, job=second)
            await until(lambda: world.events(second))
            (refusal,) = await world.events(second)
            assert isinstance(refusal, LaneRefused)
            assert first in refusal.reason
            assert (await world.states(first))[-1] == "1.0 RUNNING"

    run(story)


def test_a_claim_is_answered_with_a_report_of_all_lanes(run: Run) -> None:
    async def story(world: World) -> None:
        job = new_job()
        places = {"v0/0": ("tm1", 0, 1), "v0/1": ("tm1", 0, 1)}
        async with world.taskmanager() as tm:
            await world.plan(places, job=job, config={"script v0/1": "finish"})
            await world.reached(job, "1.0 RUNNING")
            await world.reached(job, "1.0 FINISHED", "v0/1")
            before = pids(tm)
            epoch = await world.claim(job)
            await world.plan(places, job=job, config={"script v0/1": "finish"})

            async def report() -> TaskManagerReport | None:
                reports = [e for e in await world.events(job) if isinstance(e, TaskManagerReport)]
                return next((r for r in reports if r.epoch == epoch), None)

            await until(report)
            found = await report()
            assert found is not None
            assert {lane: status.state for lane, status in found.lanes.items()} == {
                "v0/0": "RUNNING",
                "v0/1": "FINISHED",
            }
            assert pids(tm) == before, "adoption restarts nothing"

    run(story)


# ---- deaths


def test_a_killed_worker_is_replaced_at_once_and_its_neighbour_not_disturbed(run: Run) -> None:
    async def story(world: World) -> None:
        job = new_job()
        async with world.taskmanager(spare=True) as tm:
            await world.plan({"v0/0": ("tm1", 0, 1), "v0/1": ("tm1", 1, 1)}, job=job)
            await world.reached(job, "1.0 RUNNING")
            await world.reached(job, "1.0 RUNNING", "v0/1")
            await until(lambda: all(worker.useful_ms == 0 for worker in tm.state.workers.values()))
            serial = tm.state.lanes[job, "v0/0"].worker
            assert serial is not None
            os.kill(tm.worker_pids()[serial], signal.SIGKILL)
            killed_s = time.monotonic()
            states = await world.reached(job, "1.1 RUNNING")
            assert time.monotonic() - killed_s < 15  # 0.3 s on a quiet machine
            assert states[3:] == ["1.0 FAILED", "1.1 DEPLOYING", "1.1 INITIALIZING", "1.1 RUNNING"]
            assert (await world.states(job, "v0/1"))[-1] == "1.0 RUNNING"
            failed = next(e for e in await world.events(job) if isinstance(e, LaneStateChanged) and e.failure)
            assert failed.failure is not None
            assert failed.failure.error == "slot worker died: SIGKILL"

    run(story)


def test_a_silent_worker_is_killed_and_replaced(run: Run) -> None:
    async def story(world: World) -> None:
        job = new_job()
        async with world.taskmanager():
            await world.plan({"v0/0": ("tm1", 0, 1)}, job=job, config={"script v0/0": "silent, run"})
            await world.reached(job, "1.0 RUNNING")
            await world.reached(job, "1.1 RUNNING", deadline_s=45)
            moves = [e for e in await world.events(job) if isinstance(e, LaneStateChanged) and e.attempt == "1.0"]
            ran = next(e.at_ms for e in moves if e.state is LaneState.RUNNING)
            died = next(e for e in moves if e.reason == "slot worker died: SIGKILL (silent)")
            assert died.at_ms - ran > 9_000

    run(story)


def test_a_lane_that_raises_is_restarted_alone_and_in_the_end_fails_for_good(run: Run) -> None:
    async def story(world: World) -> None:
        job = new_job()
        async with world.taskmanager():
            config = {"script v0/0": "raise", "script v0/1": "run"}
            await world.plan({"v0/0": ("tm1", 0, 1), "v0/1": ("tm1", 0, 1)}, job=job, config=config)
            states = await world.reached(job, "1.2 FAILED")
            assert [s for s in states if "FAILED" in s] == ["1.0 FAILED", "1.1 FAILED", "1.2 FAILED"]
            fatal = [e for e in await world.events(job) if isinstance(e, LaneStateChanged) and e.fatal]
            assert [e.failure.traceback for e in fatal if e.failure] == ["job.py: line 1"]
            assert (await world.states(job, "v0/1"))[-1] == "1.0 RUNNING"

    run(story)


# ---- fences


def test_a_fenced_lane_resumes_when_the_plan_still_gives_it_here(run: Run) -> None:
    async def story(world: World) -> None:
        job = new_job()
        async with world.taskmanager():
            await world.plan({"v0/0": ("tm1", 0, 1)}, job=job, config={"script v0/0": "fenced"})
            await world.reached(job, "1.0 FINISHED")

    run(story)


def test_a_fenced_lane_is_answered_only_after_the_plans_were_read_to_their_end(
    run: Run, kafka: str, tmp_path: Path
) -> None:
    """The tails hang: the plan that moved the lane away is seen only because it is asked for."""

    async def story(world: World) -> None:
        job, flag = new_job(), tmp_path / "fenced"
        config = {"script v0/0": f"fenced {flag}"}
        await world.plan({"v0/0": ("tm1", 0, 1)}, job=job, config=config)
        late = LateTails(kafka)
        async with world.taskmanager(log=late) as tm:
            await world.reached(job, "1.0 RUNNING")
            await world.plan({"v0/0": ("tm2", 0, 2)}, job=job, config=config)
            assert tm.state.lanes[job, "v0/0"].state == "RUNNING"
            flag.touch()
            assert (await world.reached(job, "1.0 CANCELED"))[-2:] == ["1.0 CANCELING", "1.0 CANCELED"]
            assert not tm.state.lanes
        await late.close()

    run(story)


# ---- code and output


def test_code_is_fetched_verified_and_given_to_the_worker(run: Run, tmp_path: Path) -> None:
    async def story(world: World) -> None:
        job, moved = new_job(), new_job()
        chunks = [b"print(", b"'hello')"]
        sha256 = hashlib.sha256(b"".join(chunks)).hexdigest()
        topic = world.topics.artifacts
        offsets = [await world.log.append(topic, 0, f"{sha256}/{n}", chunk) for n, chunk in enumerate(chunks)]
        code = UploadedCode(sha256=sha256, offset=offsets[0], chunks=2)
        async with world.taskmanager():
            await world.plan({"v0/0": ("tm1", 0, 1)}, job=job, config={"script v0/0": "code"}, code=code)
            await until(lambda: world.lines(job))
            assert (await world.lines(job))[0].lines == ["print('hello')"]
            cached = world.settings.cache_dir / "code" / sha256
            assert cached.read_bytes() == b"".join(chunks)
        # A damaged file is not trusted, and a package is found again where a later upload put it.
        cached.write_bytes(b"damaged")
        await world.log.append(topic, 0, "f" * 64 + "/0", b"another upload")
        elsewhere = code.model_copy(update={"offset": offsets[0] + 1})
        async with world.taskmanager("tm2"):
            config = {"script v0/0": "code"}
            await world.plan({"v0/0": ("tm2", 1, 1)}, job=moved, config=config, code=elsewhere)
            await until(lambda: world.lines(moved))
            assert (await world.lines(moved))[0].lines == ["print('hello')"]

    run(story)


def test_code_that_is_not_there_fails_the_lane_for_good(run: Run) -> None:
    async def story(world: World) -> None:
        job = new_job()
        async with world.taskmanager():
            code = UploadedCode(sha256="0" * 64, offset=0, chunks=1)
            await world.plan({"v0/0": ("tm1", 0, 1)}, job=job, code=code)
            await world.reached(job, "1.0 FAILED")
            (event,) = [e for e in await world.events(job) if isinstance(e, LaneStateChanged)]
            assert event.fatal and event.failure is not None
            assert "1 of 1 chunks are missing" in event.failure.error

    run(story)


def test_a_taskmanager_that_leaves_does_not_wait_for_an_environment(run: Run, silent_index: str) -> None:
    async def story(world: World) -> None:
        job = new_job()
        packed = Archive(f"-i {silent_index}\nshapes\n").pack()
        sha256 = hashlib.sha256(packed).hexdigest()
        offset = await world.log.append(world.topics.artifacts, 0, f"{sha256}/0", packed)
        needs = UploadedCode(sha256=sha256, offset=offset, chunks=1)
        me = psutil.Process()
        async with world.taskmanager():
            await world.plan({"v0/0": ("tm1", 0, 1)}, job=job, dependencies=needs)

            async def told() -> bool:
                events = [event for event in await world.events(job) if isinstance(event, LaneStateChanged)]
                return any(event.reason == "installing its requirements" for event in events)

            await until(told)
            await until(lambda: [child for child in me.children() if "uv" in child.name()])
        # it has left, within the time that the world gives it
        assert [child for child in me.children() if "uv" in child.name()] == []
        kept = world.settings.cache_dir / "environments"
        assert [path for path in kept.iterdir() if path.is_dir()] == []

    run(story)


def test_printed_lines_reach_the_logs_topic(run: Run) -> None:
    async def story(world: World) -> None:
        job = new_job()
        async with world.taskmanager():
            await world.plan({"v0/0": ("tm1", 0, 1)}, job=job, config={"script v0/0": "print one\ttwo"})
            await until(lambda: world.lines(job))
            (message,) = await world.lines(job)
            assert (message.lane, message.attempt, message.stream, message.lines, message.dropped) == (
                "v0/0",
                "1.0",
                "stdout",
                ["one\ttwo"],
                0,
            )

    run(story)


# ---- identity and end


def test_a_second_instance_of_an_id_does_not_start(run: Run, tmp_path: Path) -> None:
    async def story(world: World) -> None:
        async with world.taskmanager():

            async def registered() -> bool:
                return "tm1" in (await world.store.taskmanagers()).records

            await until(registered)
            # on this machine: the directory is locked
            with pytest.raises(UsageError, match="a process on this machine") as here:
                async with world.taskmanager():
                    pass
            # on another one: its record in Redis keeps moving
            elsewhere = world.settings.model_copy(update={"state_dir": tmp_path / "elsewhere"})
            with pytest.raises(UsageError, match=f"process {os.getpid()}") as there:
                async with world.taskmanager(settings=elsewhere, patient=True):
                    pass
            assert here.value.code == there.value.code == "taskmanager-id-taken"

    run(story)


def test_a_restart_in_the_same_directory_does_not_wait_for_its_old_record(run: Run) -> None:
    async def story(world: World) -> None:
        job = new_job()
        await world.plan({"v0/0": ("tm1", 0, 1)}, job=job)
        async with world.taskmanager() as first:
            await world.reached(job, "1.0 RUNNING")
            stale = (await world.store.taskmanagers()).records["tm1"]
        assert first.state.workers == {}
        await world.store.put_taskmanager(stale)  # as after kill -9: nobody said goodbye
        started_s = time.monotonic()
        async with world.taskmanager() as second:
            await until(lambda: second.state.workers)
            assert time.monotonic() - started_s < 5

    run(story)


def test_leaving_ends_the_workers_and_removes_the_record(run: Run) -> None:
    async def story(world: World) -> None:
        job = new_job()
        async with world.taskmanager(spare=True) as tm:
            await world.plan({"v0/0": ("tm1", 0, 1), "v0/1": ("tm1", 1, 1)}, job=job)
            await world.reached(job, "1.0 RUNNING")
            await world.reached(job, "1.0 RUNNING", "v0/1")
            alive = pids(tm)
        assert not any(psutil.pid_exists(pid) for pid in alive)
        assert (await world.store.taskmanagers()).records == {}
        assert (await world.states(job))[-1] == "1.0 CANCELED"

    run(story)
