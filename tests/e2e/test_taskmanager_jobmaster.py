"""JobMaster, ResourceManager and TaskManagers together, on real Kafka and Redis; workers follow a script."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from confluent_kafka import KafkaException, Producer
from tests.e2e.taskmanager_world import MuteStore, Wire, World, new_job, run_in_world
from tests.unit.jobmaster.job import graph
from tests.waiting import until

from headrace.clock import now_ms
from headrace.graph.job_graph import JobGraph
from headrace.jobmaster import DeposedError, JobMaster, job_topics
from headrace.log.insist import insist
from headrace.log.lane_kafka import KafkaLaneConnection
from headrace.protocol.control import CommandDone, JobEvent, JobResult
from headrace.protocol.fence import PlanFence
from headrace.protocol.states import JobStatus
from headrace.protocol.submission import Cancel, Submit
from headrace.protocol.topics import home_partition, transactional_id
from headrace.resourcemanager.service import ResourceManager
from headrace.store.redis_store import RedisStore

pytestmark = pytest.mark.e2e

LANES = ["v0/0", "v0/1", "v1/0", "v1/1"]


class Jobs:
    """The Dispatcher's part: a ResourceManager, and JobMasters as a test wants them."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.prefix = world.topics.namespace
        self.lanes = KafkaLaneConnection(world.settings.bootstrap or "")

    async def make_sources(self) -> None:
        topics = {f"{self.prefix}.bids": 3, f"{self.prefix}.results": 1}
        await insist(lambda: self.world.log.ensure_topics(topics, {}))

    def submission(self, job: str, *, config: dict[str, str] | None = None) -> Submit:
        """bids ─hash► v1 ─► results, two lanes each."""
        text = graph().model_dump_json()
        for topic in ("bids", "results"):
            text = text.replace(f'"{topic}"', f'"{self.prefix}.{topic}"')
        return Submit(
            type="submit",
            request_id="r0",
            job_id=job,
            name="bids",
            graph=JobGraph.model_validate_json(text),
            config=config or {},
        )

    def master(self, submission: Submit) -> JobMaster:
        world = self.world
        return JobMaster(
            submission,
            None,
            log=world.log,
            store=world.store,
            topics=world.topics,
            lanes=self.lanes,
            dispatcher="d1",
            submitted_ms=1,
        )

    @contextlib.asynccontextmanager
    async def commanding(self, submission: Submit) -> AsyncIterator[tuple[JobMaster, asyncio.Task[JobResult]]]:
        """A JobMaster while the block runs; leaving it is its death, not the job's."""
        master = self.master(submission)
        running = asyncio.create_task(master.run())
        try:
            yield master, running
        finally:
            running.cancel()
            await asyncio.wait([running])

    async def events(self, job: str) -> list[JobEvent]:
        return [JobEvent.model_validate_json(v) for v in await self.world.values(self.world.topics.job_events, job)]

    async def statuses(self, job: str) -> list[str]:
        return [str(event.status) for event in await self.events(job) if event.type == "STATUS"]

    async def logged(self, job: str, kind: str) -> bytes | None:
        """A record of the job log."""
        partition = home_partition(job, 2)
        topic = self.world.topics.job_log
        records = await self.world.log.read(topic, partition, 0, await self.world.log.end_offset(topic, partition))
        return next((record.value for record in records if record.key == f"{job}/{kind}"), None)

    async def topics_left(self, submission: Submit) -> list[str]:
        names = job_topics(self.world.topics, submission.graph, submission.job_id, 1)
        return [name for name in names if await self.world.log.partitions(name) is not None]


Story = Callable[[Jobs], Awaitable[None]]


@pytest.fixture
def run(kafka: str, redis: str, tmp_path: Path) -> Callable[[Story], None]:
    def in_world(story: Story) -> None:
        async def whole(world: World) -> None:
            jobs = Jobs(world)
            await jobs.make_sources()
            manager = asyncio.create_task(ResourceManager(world.store, "rm").run())
            try:
                await story(jobs)
            finally:
                manager.cancel()
                await asyncio.wait([manager])
                jobs.lanes.close()

        run_in_world(kafka, redis, tmp_path, whole)

    return in_world


async def running(master: JobMaster) -> None:
    await until(lambda: master.state.status is JobStatus.RUNNING)


# ---- the life of a job


def test_a_job_runs_and_finishes_and_leaves_nothing_but_its_result(run: Callable[[Story], None]) -> None:
    async def story(jobs: Jobs) -> None:
        job = new_job()
        submission = jobs.submission(job, config={f"script {lane}": "finish" for lane in LANES})
        async with jobs.world.taskmanager() as tm, jobs.commanding(submission) as (_, done):
            result = await asyncio.wait_for(done, 20)
            assert result.status is JobStatus.FINISHED
            assert await jobs.statuses(job) == ["CREATED", "RUNNING", "FINISHED"]
            logged = await jobs.logged(job, "result")
            assert logged is not None and JobResult.model_validate_json(logged) == result
            await until(lambda: not tm.state.workers and not tm.state.jobs)
            assert await jobs.topics_left(submission) == []
            assert await jobs.world.store.declarations() == {}
            record = await jobs.world.store.record(job)
            assert record is not None and record.status is JobStatus.FINISHED

    run(story)


def test_the_plan_says_where_sources_are_and_topics_are_as_lanes_need_them(run: Callable[[Story], None]) -> None:
    async def story(jobs: Jobs) -> None:
        job = new_job()
        submission = jobs.submission(job)
        async with jobs.world.taskmanager() as tm, jobs.commanding(submission) as (master, _):
            await running(master)
            plan = tm.state.jobs[job].plan
            assert plan.source_partitions == {"read": {f"{jobs.prefix}.bids": 3}}
            counts = {name: await jobs.world.log.partitions(name) for name in await jobs.topics_left(submission)}
            assert counts == job_topics(jobs.world.topics, submission.graph, job, 1)
            assert set(counts.values()) == {2}

    run(story)


def test_cancel_ends_a_job_and_is_answered_in_the_job_log(run: Callable[[Story], None]) -> None:
    async def story(jobs: Jobs) -> None:
        job = new_job()
        submission = jobs.submission(job)
        async with jobs.world.taskmanager(), jobs.commanding(submission) as (master, done):
            await running(master)
            answer = await master.command(Cancel(type="cancel", request_id="c1", job_id=job))
            assert answer.ok
            assert (await asyncio.wait_for(done, 20)).status is JobStatus.CANCELED
            logged = await jobs.logged(job, "done/c1")
            assert logged is not None and CommandDone.model_validate_json(logged).ok
            assert [(e.type, e.request_id) for e in await jobs.events(job) if e.request_id] == [("DONE", "c1")]
            assert await jobs.statuses(job) == ["CREATED", "RUNNING", "CANCELLING", "CANCELED"]
            assert await jobs.topics_left(submission) == []

    run(story)


def test_missing_topics_are_named_before_anything_starts(run: Callable[[Story], None]) -> None:
    async def story(jobs: Jobs) -> None:
        job = new_job()
        submission = jobs.submission(job)
        await jobs.world.log.delete_topics([f"{jobs.prefix}.bids"])
        await until(lambda: _gone(jobs, f"{jobs.prefix}.bids"))
        async with jobs.commanding(submission) as (_, done):
            result = await asyncio.wait_for(done, 20)
            assert result.status is JobStatus.FAILED
            name = f"{jobs.prefix}.bids"
            assert result.reason == f"topic-missing: no such Kafka topic: '{name}' (source {name})"
            assert (await jobs.events(job))[-1].code == "topic-missing"
            assert await jobs.topics_left(submission) == []

    run(story)


async def _gone(jobs: Jobs, topic: str) -> bool:
    return await jobs.world.log.partitions(topic) is None


def test_an_exception_in_user_code_fails_the_job_with_the_users_words(run: Callable[[Story], None]) -> None:
    async def story(jobs: Jobs) -> None:
        job = new_job()
        submission = jobs.submission(job, config={"script v1/1": "raise"})
        async with jobs.world.taskmanager(), jobs.commanding(submission) as (_, done):
            result = await asyncio.wait_for(done, 20)
            assert result.failure is not None
            assert (result.status, result.failure.lane, result.failure.traceback) == (
                JobStatus.FAILED,
                "v1/1",
                "job.py: line 1",
            )
            assert (await jobs.statuses(job))[-2:] == ["FAILING", "FAILED"]

    run(story)


def test_too_few_slots_are_waited_for_with_the_reason(run: Callable[[Story], None]) -> None:
    async def story(jobs: Jobs) -> None:
        job = new_job()
        submission = jobs.submission(job)
        async with jobs.world.taskmanager(slots=1), jobs.commanding(submission) as (master, _):

            async def said() -> bool:
                return "waiting for 2 slots: 1 of 1 free" in [
                    e.reason for e in await jobs.events(job) if e.type == "WAITING"
                ]

            await until(said)
            async with jobs.world.taskmanager("tm2", slots=1):
                await running(master)
                assert {place.taskmanager for place in master.state.slots.values()} == {"tm1", "tm2"}

    run(story)


# ---- take-over


def test_a_new_jobmaster_adopts_a_running_job_without_restarting_anything(run: Callable[[Story], None]) -> None:
    async def story(jobs: Jobs) -> None:
        job = new_job()
        submission = jobs.submission(job)
        async with jobs.world.taskmanager() as tm:
            async with jobs.commanding(submission) as (first, _):
                await running(first)
                before = tm.worker_pids()
            async with jobs.commanding(submission) as (second, _):
                await running(second)
                assert second.state.epoch > first.state.epoch
                assert tm.worker_pids() == before
                assert [s for s in await jobs.world.states(job) if "DEPLOYING" in s] == ["1.0 DEPLOYING"]
                assert await jobs.statuses(job) == ["CREATED", "RUNNING", "RECONCILING", "RUNNING"]

    run(story)


def test_an_older_jobmaster_stops_as_soon_as_it_sees_a_newer_claim(run: Callable[[Story], None]) -> None:
    async def story(jobs: Jobs) -> None:
        submission = jobs.submission(new_job())
        async with jobs.world.taskmanager(), jobs.commanding(submission) as (first, old):
            await running(first)
            async with jobs.commanding(submission) as (second, _):
                with pytest.raises(DeposedError):
                    await asyncio.wait_for(old, 10)
                await running(second)

    run(story)


def test_a_flushed_registry_is_written_again_and_the_job_runs_on(run: Callable[[Story], None]) -> None:
    async def story(jobs: Jobs) -> None:
        job = new_job()
        submission = jobs.submission(job)
        store = jobs.world.store
        async with jobs.world.taskmanager() as tm, jobs.commanding(submission) as (master, _):
            await running(master)
            before = tm.worker_pids()
            await store.forget_job(job)
            await store.remove_taskmanager("tm1", tm.state.instance)

            async def back() -> bool:
                record = await store.record(job)
                declared = (await store.declarations()).get(job)
                return (
                    record is not None
                    and record.status is JobStatus.RUNNING
                    and declared is not None
                    and declared.held == {"0": "tm1/0", "1": "tm1/1"}
                    and "tm1" in (await store.taskmanagers()).records
                )

            await until(back)
            assert tm.worker_pids() == before

    run(story)


# ---- losses


def test_lanes_of_a_silent_taskmanager_are_fenced_and_run_elsewhere(run: Callable[[Story], None]) -> None:
    """Its record is no longer written: for the JobMaster it is dead, though its lanes live on until fenced."""

    async def story(jobs: Jobs) -> None:
        job = new_job()
        submission = jobs.submission(job)
        redis, namespace = jobs.world.settings.redis or "", jobs.world.settings.namespace
        store = MuteStore(redis, namespace)
        async with jobs.world.taskmanager(store=store) as lost, jobs.commanding(submission) as (master, _):
            await running(master)
            zombie = Producer(
                {
                    "bootstrap.servers": jobs.world.settings.bootstrap,
                    "transactional.id": transactional_id(job, 1, "v0", 0),
                    "log_level": 0,
                    "error_cb": lambda _error: None,
                }
            )
            await asyncio.to_thread(zombie.init_transactions, 10)
            async with jobs.world.taskmanager("tm2") as heir:
                loop = asyncio.get_running_loop()
                silent_s = loop.time()
                store.mute = True
                await until(lambda: len(heir.state.lanes) == 4, deadline_s=15)
                assert 2.0 < loop.time() - silent_s < 8
                assert {lane.attempt.planned for lane in heir.state.lanes.values()} == {2}
                await until(lambda: not lost.state.lanes)
                with pytest.raises(KafkaException, match="_FENCED"):
                    zombie.begin_transaction()
                    zombie.produce(f"{jobs.prefix}.results", b"late")
                    await asyncio.to_thread(zombie.commit_transaction, 10)
                fence = PlanFence()
                topic, partition = jobs.world.topics.plans, home_partition(job, 2)
                end = await jobs.world.log.end_offset(topic, partition)
                for record in await jobs.world.log.read(topic, partition, 0, end):
                    fence.feed(record.offset, record.key, record.value)
                plan = fence.plan(job)
                assert plan is not None and {a.taskmanager for a in plan.lanes.values()} == {"tm2"}
                assert master.state.status is JobStatus.RUNNING

    run(story)


def test_without_redis_everything_runs_on_and_nobody_is_declared_lost(run: Callable[[Story], None]) -> None:
    """Cut off for longer than a silence of 3 s; a worker dies meanwhile; then Redis comes back."""

    async def story(jobs: Jobs) -> None:
        job = new_job()
        submission = jobs.submission(job)
        world, real = jobs.world, urlsplit(jobs.world.settings.redis or "")
        wire = Wire(real.hostname or "", real.port or 6379)
        await wire.mend()
        redis = f"redis://127.0.0.1:{wire.port}{real.path}"
        cut_off = RedisStore(redis, world.settings.namespace)
        world.store, direct = cut_off, world.store
        async with world.taskmanager(store=RedisStore(redis, world.settings.namespace)) as tm:
            async with jobs.commanding(submission) as (master, _):
                await running(master)
                wire.cut()
                serial = tm.state.lanes[job, "v0/0"].worker
                assert serial is not None
                os.kill(tm.worker_pids()[serial], signal.SIGKILL)
                await world.reached(job, "1.1 RUNNING")
                await asyncio.sleep(4)
                await wire.mend()
                mended_ms = now_ms()

                async def beats() -> bool:
                    records = (await direct.taskmanagers()).records
                    return "tm1" in records and records["tm1"].at_ms > mended_ms

                await until(beats)
                assert master.state.status is JobStatus.RUNNING
                assert {lane.planned for lane in master.state.lanes.values()} == {1}
        wire.cut()
        world.store = direct
        await cut_off.close()

    run(story)
