"""One contract, two stores: Redis and memory behave the same for everything the port promises."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import pytest
import redis
from tests.waiting import until

from headrace.protocol.control import (
    JobRecord,
    LaneMetrics,
    SlotDeclaration,
    SlotGrants,
    TaskManagerRecord,
)
from headrace.protocol.states import JobStatus
from headrace.store.memory import MemoryServer, MemoryStore
from headrace.store.port import Store, StoreUnavailableError, Wake
from headrace.store.redis_store import RedisStore

JOB, OTHER = "0" * 31 + "1", "0" * 31 + "2"
DEADLINE_S = 10.0


@dataclass
class Two:
    """Two connections to one server, and a way to take all values away."""

    a: Store
    b: Store
    flush: Callable[[], None]


@contextlib.asynccontextmanager
async def connect(kind: str, request: pytest.FixtureRequest) -> AsyncIterator[Two]:
    namespace = f"contract-{uuid.uuid4().hex[:12]}"
    if kind == "redis":
        url = request.getfixturevalue("redis_url")
        a, b = RedisStore(url, namespace), RedisStore(url, namespace)

        def flush() -> None:
            with redis.Redis.from_url(url) as client:
                for key in client.scan_iter(match=f"{namespace}:*"):
                    client.delete(key)
    else:
        server = MemoryServer()
        a, b, flush = MemoryStore(server, namespace), MemoryStore(server, namespace), server.flush
    try:
        yield Two(a, b, flush)
    finally:
        flush()
        await a.close()
        await b.close()


@pytest.fixture(params=["memory", "redis"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def job(epoch: int, job_id: str = JOB, status: JobStatus = JobStatus.RUNNING, submitted_ms: int = 5) -> JobRecord:
    return JobRecord(job_id=job_id, name="n", status=status, epoch=epoch, submitted_ms=submitted_ms)


def taskmanager(instance: str, counter: int = 0, tm_id: str = "tm-1") -> TaskManagerRecord:
    return TaskManagerRecord(id=tm_id, instance=instance, counter=counter, host="h", pid=1, slots=4)


def test_a_record_is_not_overwritten_by_a_lower_epoch(kind, request):
    async def run():
        async with connect(kind, request) as two:
            assert await two.a.record(JOB) is None
            assert await two.a.put_record(job(-1, status=JobStatus.INITIALIZING))
            assert await two.a.put_record(job(7))
            assert await two.b.put_record(job(7, status=JobStatus.FAILING))
            assert not await two.b.put_record(job(6, status=JobStatus.FINISHED))
            assert not await two.b.put_record(job(-1, status=JobStatus.INITIALIZING))
            stored = await two.a.record(JOB)
            assert stored is not None and (stored.epoch, stored.status) == (7, JobStatus.FAILING)
            two.flush()
            assert await two.b.put_record(job(3))

    asyncio.run(run())


def test_jobs_are_listed_newest_first_and_forgotten_whole(kind, request):
    async def run():
        async with connect(kind, request) as two:
            await two.a.put_graph(JOB, b'{"a":1}', submitted_ms=10)
            await two.a.put_record(job(1, JOB, submitted_ms=10))
            await two.a.put_record(job(1, OTHER, submitted_ms=20))
            await two.a.put_lane_metrics(JOB, {"v1/0": LaneMetrics(attempt="1.0")})
            assert await two.b.graph(JOB) == b'{"a":1}'
            assert await two.b.graph(OTHER) is None
            assert [r.job_id for r in await two.b.records()] == [OTHER, JOB]
            assert [r.job_id for r in await two.b.records(limit=1)] == [OTHER]
            await two.b.forget_job(JOB)
            assert [r.job_id for r in await two.a.records()] == [OTHER]
            assert await two.a.graph(JOB) is None
            assert await two.a.lane_metrics(JOB) == {}

    asyncio.run(run())


def test_lane_metrics_merge_by_lane(kind, request):
    async def run():
        async with connect(kind, request) as two:
            await two.a.put_lane_metrics(JOB, {"v1/0": LaneMetrics(attempt="1.0", commits=1)})
            await two.b.put_lane_metrics(JOB, {"v1/1": LaneMetrics(attempt="1.0", commits=2)})
            await two.b.put_lane_metrics(JOB, {"v1/0": LaneMetrics(attempt="1.0", commits=3)})
            await two.b.put_lane_metrics(JOB, {})
            metrics = await two.a.lane_metrics(JOB)
            assert {lane: m.commits for lane, m in metrics.items()} == {"v1/0": 3, "v1/1": 2}

    asyncio.run(run())


def test_identity_changes_when_values_vanish_and_only_then(kind, request):
    async def run():
        async with connect(kind, request) as two:
            first = await two.a.identity()
            assert await two.b.identity() == first
            assert (await two.b.taskmanagers()).identity == first
            two.flush()
            second = await two.a.identity()
            assert second != first
            assert await two.b.identity() == second

    asyncio.run(run())


def test_memory_identity_changes_on_a_restart():
    async def run():
        server = MemoryServer()
        store = MemoryStore(server)
        first = await store.identity()
        server.restart()
        assert await store.identity() != first

    asyncio.run(run())


def test_a_second_live_instance_of_a_taskmanager_is_refused(kind, request):
    async def run():
        async with connect(kind, request) as two:
            assert await two.a.put_taskmanager(taskmanager("one", 1))
            assert await two.a.put_taskmanager(taskmanager("one", 2))
            assert not await two.b.put_taskmanager(taskmanager("two", 1))
            stored = await two.b.taskmanager("tm-1")
            assert stored is not None and (stored.instance, stored.counter) == ("one", 2)
            assert await two.b.put_taskmanager(taskmanager("two", 1), replaces="one")
            assert not await two.a.put_taskmanager(taskmanager("one", 3))
            await two.a.put_taskmanager(taskmanager("x", tm_id="tm-2"))
            assert sorted((await two.a.taskmanagers()).records) == ["tm-1", "tm-2"]
            await two.a.remove_taskmanager("tm-1", "one")
            assert sorted((await two.a.taskmanagers()).records) == ["tm-1", "tm-2"]
            await two.b.remove_taskmanager("tm-1", "two")
            assert sorted((await two.a.taskmanagers()).records) == ["tm-2"]
            assert await two.a.taskmanager("tm-1") is None

    asyncio.run(run())


def test_a_lease_is_one_holders_until_it_ends(kind, request):
    async def run():
        async with connect(kind, request) as two:
            lease = two.a.keys.home(3)
            assert await two.a.acquire(lease, "a", ttl_ms=300)
            assert await two.a.acquire(lease, "a", ttl_ms=300)
            assert not await two.b.acquire(lease, "b", ttl_ms=300)
            assert await two.b.holder(lease) == "a"
            await two.b.release(lease, "b")
            assert await two.b.holder(lease) == "a"
            await until(lambda: two.b.acquire(lease, "b", ttl_ms=60_000))
            assert not await two.a.acquire(lease, "a")
            await two.b.release(lease, "b")
            assert await two.a.holder(lease) is None
            assert await two.a.acquire(lease, "a")

    asyncio.run(run())


def test_declarations_follow_the_epoch(kind, request):
    async def run():
        async with connect(kind, request) as two:
            assert await two.a.declare(SlotDeclaration(job_id=JOB, epoch=5, needed=2, since_ms=1))
            assert not await two.b.declare(SlotDeclaration(job_id=JOB, epoch=4, needed=9, since_ms=1))
            assert await two.b.declare(SlotDeclaration(job_id=JOB, epoch=5, needed=3, since_ms=1))
            assert {j: d.needed for j, d in (await two.a.declarations()).items()} == {JOB: 3}
            assert not await two.a.withdraw(JOB, 4)
            assert await two.a.withdraw(JOB, 5)
            assert await two.a.declarations() == {}

    asyncio.run(run())


def test_only_the_leader_grants(kind, request):
    async def run():
        async with connect(kind, request) as two:
            grant = SlotGrants(job_id=JOB, epoch=5, grants={"0": "tm-1/0"}, free=3, total=4)
            assert not await two.a.grant("a", [grant], [])
            assert await two.a.acquire(two.a.keys.resource_manager, "a")
            assert await two.a.grant("a", [grant, SlotGrants(job_id=OTHER, epoch=1)], [])
            assert not await two.b.grant("b", [SlotGrants(job_id=JOB, epoch=6)], [])
            assert await two.b.grants(JOB) == grant
            assert sorted(await two.b.all_grants()) == [JOB, OTHER]
            assert await two.a.grant("a", [], [JOB])
            assert await two.b.grants(JOB) is None
            assert sorted(await two.b.all_grants()) == [OTHER]

    asyncio.run(run())


def test_wakes_reach_those_who_asked(kind, request):
    async def run():
        async with connect(kind, request) as two:
            declared, slots = two.b.subscribe(Wake.DECLARED), two.b.subscribe(Wake.SLOTS, Wake.GRANTED)

            async def reached() -> bool:  # the subscription takes a moment; wakes before it are lost
                await two.a.wake(Wake.GRANTED)
                return await slots.wait(0.1)

            await until(reached)
            while await slots.wait(0.1):
                pass
            assert not await declared.wait(0.05)
            await two.a.declare(SlotDeclaration(job_id=JOB, epoch=5, needed=2, since_ms=1))
            assert await declared.wait(DEADLINE_S)
            await two.a.declare(SlotDeclaration(job_id=JOB, epoch=5, needed=2, since_ms=1))  # nothing new
            assert not await declared.wait(0.1)
            assert not await slots.wait(0.05)
            await two.a.withdraw(JOB, 5)
            assert await slots.wait(DEADLINE_S)
            declared.close()
            slots.close()

    asyncio.run(run())


def test_a_strangers_value_stops_nobody(request):
    async def run():
        async with connect("redis", request) as two:
            with redis.Redis.from_url(request.getfixturevalue("redis_url")) as client:
                client.hset(two.a.keys.declarations, OTHER, "not json")
                client.set(two.a.keys.taskmanager("tm-1"), '{"id": 1}', px=5_000)
                client.set(two.a.keys.home(0), "a value that never expires")
            assert await two.a.acquire(two.a.keys.home(0), "a")
            assert await two.a.put_taskmanager(taskmanager("x", tm_id="tm-2"))
            assert await two.a.declare(SlotDeclaration(job_id=JOB, epoch=5, needed=2, since_ms=1))
            assert list(await two.a.declarations()) == [JOB]
            assert list((await two.a.taskmanagers()).records) == ["tm-2"]
            assert await two.a.declare(SlotDeclaration(job_id=OTHER, epoch=5, needed=2, since_ms=1))

    asyncio.run(run())


def test_nobody_answers():
    async def run():
        store = RedisStore("redis://127.0.0.1:1/0")
        started = asyncio.get_running_loop().time()
        with pytest.raises(StoreUnavailableError):
            await store.holder("x")
        assert asyncio.get_running_loop().time() - started < 2
        subscription = store.subscribe(Wake.SLOTS)
        assert not await subscription.wait(0.1)
        await store.close()
        server = MemoryServer()
        server.available = False
        with pytest.raises(StoreUnavailableError):
            await MemoryStore(server).identity()

    asyncio.run(run())


def test_a_shared_read_of_taskmanagers_is_never_older_than_asked_for(request):
    async def run():
        async with connect("redis", request) as two:
            await two.a.put_taskmanager(taskmanager("one", 1))
            assert (await two.b.taskmanagers()).records["tm-1"].counter == 1
            await two.a.put_taskmanager(taskmanager("one", 2))
            assert (await two.b.taskmanagers(age_max_s=60)).records["tm-1"].counter == 1
            assert (await two.b.taskmanagers()).records["tm-1"].counter == 2
            assert (await two.b.taskmanagers(age_max_s=60)).records["tm-1"].counter == 2

    asyncio.run(run())
