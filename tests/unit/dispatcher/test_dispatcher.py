"""Whole Dispatchers on the ports in memory; only their JobMasters are played."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.unit.dispatcher.submissions import CODE, cancel, encoded, submit
from tests.waiting import until

from headrace.clock import now_ms
from headrace.dispatcher import lease as lease_module
from headrace.dispatcher.answers import Answers
from headrace.dispatcher.control_topics import ensure_control_topics
from headrace.dispatcher.core import Phase
from headrace.dispatcher.dispatcher import Dispatcher
from headrace.dispatcher.home import HomeContext
from headrace.dispatcher.views import Views
from headrace.errors import UsageError
from headrace.log.control_memory import ControlMemory, MemoryCluster
from headrace.log.job_log_memory import MemoryGroup, MemoryJobLog
from headrace.protocol.control import CommandDone, JobResult
from headrace.protocol.states import JobStatus
from headrace.protocol.submission import Cancel, Submit, UploadedCode
from headrace.protocol.topics import Topics, home_partition
from headrace.store.memory import MemoryServer, MemoryStore

PARTITIONS = 4
JOB = "a" * 32
TOPICS = Topics("t")


@dataclass
class PlayedMaster:
    """Runs until told to end; then writes its result, as a JobMaster does."""

    log: ControlMemory
    submit: Submit
    code: UploadedCode | None
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> JobResult:
        await self.ended.wait()
        result = JobResult(
            job_id=self.submit.job_id, status=JobStatus.CANCELED, reason="told to", started_ms=1, ended_ms=now_ms()
        )
        await self._write("result", result.model_dump_json())
        return result

    async def command(self, command: Cancel) -> CommandDone:
        done = CommandDone(request_id=command.request_id, ok=True)
        await self._write(f"done/{command.request_id}", done.model_dump_json())
        self.ended.set()
        return done

    async def _write(self, key: str, value: str) -> None:
        job_id = self.submit.job_id
        home = home_partition(job_id, PARTITIONS)
        await self.log.append(TOPICS.job_log, home, f"{job_id}/{key}", value.encode())


class Cluster:
    """The servers and the Dispatchers on them."""

    def __init__(self, retention_ms: int = 60_000) -> None:
        self.kafka = MemoryCluster()
        self.redis = MemoryServer()
        self.log = ControlMemory(self.kafka)
        self.store = MemoryStore(self.redis, "t")
        self.group = MemoryGroup(self.kafka, TOPICS.jobs, PARTITIONS)
        self.masters: dict[str, list[PlayedMaster]] = {}  #: by Dispatcher
        self._retention_ms = retention_ms
        self._tasks: list[asyncio.Task[None]] = []

    async def dispatcher(self, name: str) -> tuple[Dispatcher, asyncio.Task[None]]:
        await ensure_control_topics(self.log, TOPICS, PARTITIONS)
        made = self.masters[name] = []

        def make(submission: Submit, code: UploadedCode | None, submitted_ms: int) -> PlayedMaster:
            made.append(PlayedMaster(self.log, submission, code))
            return made[-1]

        context = HomeContext(
            log=self.log,
            store=self.store,
            topics=TOPICS,
            answers=Answers(self.log, TOPICS, PARTITIONS),
            views=Views(self.store, name),
            dispatcher=name,
            retention_ms=self._retention_ms,
            make_master=make,
        )
        dispatcher = Dispatcher(MemoryJobLog(self.group), context, PARTITIONS)
        task = asyncio.create_task(dispatcher.run())
        self._tasks.append(task)
        await until(lambda: dispatcher.member)
        return dispatcher, task

    async def send(self, message: dict[str, Any] | bytes, partition: int = 0) -> None:
        value = message if isinstance(message, bytes) else encoded(message)
        await self.log.append(TOPICS.jobs, partition, "", value)

    async def values(self, topic: str, job_id: str = JOB, partition: int | None = None) -> list[tuple[str, Any]]:
        home = home_partition(job_id, PARTITIONS) if partition is None else partition
        records = await self.log.read(topic, home, 0, await self.log.end_offset(topic, home))
        return [(r.key, None if r.value is None else json.loads(r.value)) for r in records]

    async def answer(self, request_id: str, job_id: str = JOB, times: int = 1) -> dict[str, Any]:
        """The first event with this request id, once there are so many, all saying the same."""
        found: list[dict[str, Any]] = []

        async def came() -> bool:
            events = await self.values(TOPICS.job_events, job_id)
            found[:] = [event for _, event in events if event["request_id"] == request_id]
            return len(found) >= times

        await until(came)
        assert len({(event["type"], event["code"], event["reason"]) for event in found}) == 1
        return found[0]

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        for task in self._tasks:
            assert task.cancelled() or task.exception() is None


@contextlib.asynccontextmanager
async def running(**options: Any) -> AsyncIterator[Cluster]:
    cluster = Cluster(**options)
    try:
        yield cluster
    finally:
        await cluster.close()


def play(story: Callable[[Cluster], Awaitable[None]], **options: Any) -> None:
    async def run() -> None:
        async with asyncio.timeout(30), running(**options) as cluster:
            await story(cluster)

    asyncio.run(run())


def test_a_submission_from_the_inbox_to_its_jobmaster():
    async def story(cluster: Cluster) -> None:
        await cluster.dispatcher("one")
        await cluster.send(submit(), partition=3)
        assert (await cluster.answer("r1"))["type"] == "ACKNOWLEDGED"
        await until(lambda: cluster.masters["one"])
        master = cluster.masters["one"][0]
        assert master.submit.job_id == JOB and master.code is not None
        assert master.submit.code == master.code
        ((key, accepted),) = [(k, v) for k, v in await cluster.values(TOPICS.job_log) if k.endswith("/accepted")]
        assert accepted["content_sha256"] == Submit.model_validate(submit()).content_sha256()
        (chunk,) = await cluster.log.read(TOPICS.artifacts, 0, master.code.offset, master.code.offset + 1)
        assert (chunk.key, chunk.value) == (f"{master.code.sha256}/0", CODE)
        record = await cluster.store.record(JOB)
        assert record is not None and (record.name, record.status) == ("numbers", JobStatus.INITIALIZING)
        graph = await cluster.store.graph(JOB)
        assert graph is not None and base64.b64encode(CODE) not in graph

    play(story)


def test_same_content_again_other_content_and_garbage():
    async def story(cluster: Cluster) -> None:
        await cluster.dispatcher("one")
        await cluster.send(submit())
        await cluster.send(submit(request_id="r2"))
        await cluster.send(b"\xff garbage")
        await cluster.send(submit(request_id="r3", name="other"))
        await cluster.send(submit(request_id="r4", colour="red"))
        answers = [await cluster.answer(f"r{n}") for n in (1, 2, 3, 4)]
        assert [(a["type"], a["code"]) for a in answers] == [
            ("ACKNOWLEDGED", ""),
            ("ACKNOWLEDGED", ""),
            ("REJECTED", "job-id-taken"),
            ("REJECTED", "submission-invalid"),
        ]
        assert answers[3]["reason"] == "colour: unknown field"
        letters = [letter for _, letter in await cluster.values(TOPICS.dead_letters, partition=0)]
        assert [letter["error"] for letter in letters] == [
            "submission-unreadable: not JSON: expected value at line 1 column 1",
            "submission-invalid: colour: unknown field",
        ]
        assert base64.b64decode(letters[0]["value_base64"]) == b"\xff garbage"
        assert (letters[0]["topic"], letters[0]["partition"], letters[0]["offset"]) == (TOPICS.jobs, 0, 2)
        assert len(cluster.masters["one"]) == 1

    play(story)


def test_cancel_then_refusals():
    async def story(cluster: Cluster) -> None:
        await cluster.dispatcher("one")
        await cluster.send(submit())
        await cluster.answer("r1")
        await cluster.send(cancel())

        async def shown() -> bool:
            record = await cluster.store.record(JOB)
            return record is not None and record.status is JobStatus.CANCELED and record.reason == "told to"

        await until(shown)
        await cluster.send(cancel(request_id="c2"))
        await cluster.send(cancel("b" * 32, "c3"))
        ended, unknown = await cluster.answer("c2"), await cluster.answer("c3", "b" * 32)
        assert (ended["type"], ended["code"]) == ("REFUSED", "job-ended") and "CANCELED" in ended["reason"]
        assert (unknown["type"], unknown["code"]) == ("REFUSED", "job-unknown")
        await cluster.send(cancel(request_id="c2"))
        await cluster.answer("c2", times=2)
        done = {k: v["ok"] for k, v in await cluster.values(TOPICS.job_log) if k.startswith(f"{JOB}/done/")}
        assert done == {f"{JOB}/done/c1": True, f"{JOB}/done/c2": False}

    play(story)


def test_partitions_are_shared_and_taken_over():
    async def story(cluster: Cluster) -> None:
        one, first = await cluster.dispatcher("one")
        await cluster.send(submit())
        await cluster.answer("r1")
        await until(lambda: cluster.masters["one"])
        two, _ = await cluster.dispatcher("two")
        await until(lambda: set(one.phases().values()) | set(two.phases().values()) == {Phase.ACTING})
        assert sorted([*one.phases(), *two.phases()]) == [0, 1, 2, 3]
        first.cancel()
        await until(lambda: len(two.phases()) == 4 and set(two.phases().values()) == {Phase.ACTING})
        await until(lambda: cluster.masters["two"])
        await cluster.send(submit(request_id="r2", name="other"))
        assert (await cluster.answer("r2"))["type"] == "REJECTED"

    play(story)


def test_a_dispatcher_that_does_not_get_the_lease_only_reads():
    async def story(cluster: Cluster) -> None:
        home = home_partition(JOB, PARTITIONS)
        await cluster.store.acquire(cluster.store.keys.home(home), "stranger", ttl_ms=600_000)
        one, _ = await cluster.dispatcher("one")
        await until(lambda: sorted(phase.name for phase in one.phases().values()) == ["ACTING"] * 3 + ["STANDBY"])
        await cluster.send(submit(), partition=(home + 1) % PARTITIONS)
        await asyncio.sleep(0.1)
        assert await cluster.values(TOPICS.job_events) == []
        await cluster.store.release(cluster.store.keys.home(home), "stranger")
        assert (await cluster.answer("r1"))["type"] == "ACKNOWLEDGED"

    play(story)


def test_without_redis_jobmasters_stop_then_the_log_alone_decides(monkeypatch):
    monkeypatch.setattr(lease_module, "FENCE_S", 0.7)
    monkeypatch.setattr(lease_module, "SILENCE_S", 2.0)

    async def story(cluster: Cluster) -> None:
        one, _ = await cluster.dispatcher("one")
        await cluster.send(submit())
        await cluster.answer("r1")
        await until(lambda: one.masters == 1)
        cluster.redis.available = False
        await until(lambda: one.masters == 0)
        assert set(one.phases().values()) == {Phase.STANDBY}
        await until(lambda: set(one.phases().values()) == {Phase.ACTING} and one.masters == 1)
        await cluster.send(submit("b" * 32, "r2"))
        assert (await cluster.answer("r2", "b" * 32))["type"] == "ACKNOWLEDGED"
        cluster.redis.available = True

        async def rebuilt() -> bool:
            return {record.job_id for record in await cluster.store.records()} == {JOB, "b" * 32}

        await until(rebuilt)
        assert len(cluster.masters["one"]) == 3

    play(story)


def test_views_are_rebuilt_after_a_flush():
    async def story(cluster: Cluster) -> None:
        await cluster.dispatcher("one")
        await cluster.send(submit())
        await cluster.send(submit("b" * 32, "r2"))
        await cluster.answer("r1")
        await cluster.answer("r2", "b" * 32)
        await cluster.send(cancel())

        async def complete() -> bool:
            found = {record.job_id: record for record in await cluster.store.records()}
            return (
                set(found) == {JOB, "b" * 32}
                and found[JOB].status is JobStatus.CANCELED
                and not found["b" * 32].status.ended
                and await cluster.store.graph(JOB) is not None
            )

        await until(complete)
        cluster.redis.flush()
        assert await cluster.store.records() == []
        await until(complete)
        assert sum(map(len, cluster.masters.values())) == 2

    play(story)


def test_an_ended_job_leaves_nothing_behind_after_retention():
    async def story(cluster: Cluster) -> None:
        await cluster.dispatcher("one")
        await cluster.send(submit())
        await cluster.answer("r1")
        home = home_partition(JOB, PARTITIONS)
        await cluster.log.append(TOPICS.plans, home, f"{JOB}/claim", b"{}")
        await cluster.log.append(TOPICS.plans, home, f"{JOB}/plan/0", b"{}")
        await cluster.log.append(TOPICS.plans, home, f"{'c' * 32}/claim", b"{}")
        lane_log = TOPICS.lane_log(JOB, 1, "v1")
        await cluster.log.ensure_topics({lane_log: 1}, {})
        await cluster.send(cancel())

        async def gone() -> bool:
            left = {key for key, value in dict(await cluster.values(TOPICS.job_log)).items() if value is not None}
            return left == set() and await cluster.store.record(JOB) is None

        await until(gone)
        plans = dict(await cluster.values(TOPICS.plans))
        assert plans == {f"{JOB}/claim": None, f"{JOB}/plan/0": None, f"{'c' * 32}/claim": {}}
        assert await cluster.log.partitions(lane_log) is None
        cluster.kafka.compact(TOPICS.job_log)
        await cluster.send(submit(request_id="r2", name="a new life"))
        assert (await cluster.answer("r2"))["type"] == "ACKNOWLEDGED"

    play(story, retention_ms=1000)


def test_a_log_that_is_away_for_a_moment_loses_nothing():
    async def story(cluster: Cluster) -> None:
        await cluster.dispatcher("one")
        await cluster.send(submit())
        cluster.kafka.available = False
        await asyncio.sleep(0.3)
        cluster.kafka.available = True
        assert (await cluster.answer("r1"))["type"] == "ACKNOWLEDGED"

    play(story)


def test_strange_records_in_the_job_log_stop_nobody():
    async def story(cluster: Cluster) -> None:
        await ensure_control_topics(cluster.log, TOPICS, PARTITIONS)
        home = home_partition(JOB, PARTITIONS)
        for key in ("", "nonsense", f"{JOB}/result", f"{JOB}/submission/{'0' * 64}", f"{JOB}/accepted"):
            await cluster.log.append(TOPICS.job_log, home, key, b"\xff")
        await cluster.dispatcher("one")
        await cluster.send(submit())
        assert (await cluster.answer("r1"))["type"] == "ACKNOWLEDGED"

    play(story)


def test_control_topics_keep_their_counts_and_must_agree():
    async def story(cluster: Cluster) -> None:
        await cluster.log.ensure_topics({TOPICS.jobs: 7}, {})
        assert await ensure_control_topics(cluster.log, TOPICS, 16) == 7
        assert await cluster.log.partitions(TOPICS.plans) == 7
        assert await cluster.log.partitions(TOPICS.artifacts) == 1
        await cluster.log.delete_topics([TOPICS.plans])
        await cluster.log.ensure_topics({TOPICS.plans: 3}, {})
        with pytest.raises(UsageError, match="different partition counts") as refused:
            await ensure_control_topics(cluster.log, TOPICS, 16)
        assert refused.value.code == "topic-partitions-differ"

    async def run() -> None:
        await story(Cluster())

    asyncio.run(run())
