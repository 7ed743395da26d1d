"""One contract, two control logs: Kafka and memory behave the same for everything the port promises."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator

import pytest

from headrace.errors import UsageError
from headrace.log.control import ControlLog, ControlRecord, LogUnavailableError
from headrace.log.control_kafka import ControlKafka
from headrace.log.control_memory import ControlMemory, MemoryCluster

DEADLINE_S = 15.0


@contextlib.asynccontextmanager
async def connect(kind: str, request: pytest.FixtureRequest) -> AsyncIterator[tuple[ControlLog, str]]:
    """A log of that kind with one topic of 3 partitions, gone afterwards."""
    log: ControlLog
    if kind == "kafka":
        log = ControlKafka(request.getfixturevalue("kafka_bootstrap"))
    else:
        log = ControlMemory(MemoryCluster())
    topic = f"contract-{uuid.uuid4().hex[:12]}"
    try:
        await log.ensure_topics({topic: 3}, {topic: {"cleanup.policy": "compact"}})
        yield log, topic
        await log.delete_topics([topic])
    finally:
        await log.close()


async def take(records: AsyncIterator[ControlRecord], count: int) -> list[ControlRecord]:
    async with asyncio.timeout(DEADLINE_S):
        return [await anext(records) for _ in range(count)]


@pytest.fixture(params=["memory", "kafka"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_append_gives_the_offset_and_read_gives_the_record_back(kind, request):
    async def run():
        async with connect(kind, request) as (log, topic):
            offsets = [await log.append(topic, 1, f"k{i}", f"v{i}".encode()) for i in range(5)]
            assert offsets == [0, 1, 2, 3, 4]
            assert await log.append(topic, 1, "k0", None) == 5
            assert await log.end_offset(topic, 1) == 6
            assert await log.end_offset(topic, 0) == 0
            records = await log.read(topic, 1, 0, 6)
            assert [(r.topic, r.partition, r.offset) for r in records] == [(topic, 1, i) for i in range(6)]
            assert [(r.key, r.value) for r in records[:2]] == [("k0", b"v0"), ("k1", b"v1")]
            assert (records[5].key, records[5].value) == ("k0", None)
            assert all(r.timestamp_ms > 1_600_000_000_000 for r in records)
            assert [r.offset for r in await log.read(topic, 1, 2, 4)] == [2, 3]
            assert await log.read(topic, 1, 4, 4) == []

    asyncio.run(run())


def test_appends_of_one_partition_keep_their_order(kind, request):
    async def run():
        async with connect(kind, request) as (log, topic):
            offsets = await asyncio.gather(*(log.append(topic, 0, "k", str(i).encode()) for i in range(200)))
            records = await log.read(topic, 0, 0, 200)
            by_offset = [n for _, n in sorted(zip(offsets, range(200), strict=True))]
            assert [int(r.value or b"") for r in records] == by_offset
            assert sorted(offsets) == list(range(200))
            assert offsets == sorted(offsets)

    asyncio.run(run())


def test_read_beyond_the_end_is_refused_not_cut_short(kind, request):
    async def run():
        async with connect(kind, request) as (log, topic):
            await log.append(topic, 0, "k", b"v")
            with pytest.raises(LogUnavailableError):
                await log.read(topic, 0, 0, 2, timeout_s=1.0)

    asyncio.run(run())


def test_topics(kind, request):
    async def run():
        async with connect(kind, request) as (log, topic):
            assert await log.partitions(topic) == 3
            assert await log.partitions(topic + "-none") is None
            await log.ensure_topics({topic: 3}, {})
            with pytest.raises(UsageError) as refused:
                await log.ensure_topics({topic: 4}, {})
            assert refused.value.code == "topic-partitions-differ"
            assert topic in refused.value.message
            await log.delete_topics([topic + "-none"])
            await log.delete_topics([])

    asyncio.run(run())


def test_append_to_a_topic_that_is_not_there_fails_in_time(kind, request):
    async def run():
        async with connect(kind, request) as (log, topic):
            async with asyncio.timeout(DEADLINE_S):
                with pytest.raises(LogUnavailableError):
                    await log.append(topic + "-none", 0, "k", b"v", timeout_s=1.0)
            assert await log.partitions(topic + "-none") is None

    asyncio.run(run())


def test_tail_gives_old_records_then_new_ones(kind, request):
    async def run():
        async with connect(kind, request) as (log, topic):
            for i in range(3):
                await log.append(topic, 2, "k", str(i).encode())
            tail = log.tail(topic, 2, 1)
            assert [r.offset for r in await take(tail, 2)] == [1, 2]
            waiting = asyncio.create_task(take(tail, 1))
            await log.append(topic, 2, "k", b"3")
            assert (await waiting)[0].value == b"3"
            await tail.aclose()

    asyncio.run(run())


def test_tails_share_a_partition_and_start_where_they_say(kind, request):
    async def run():
        async with connect(kind, request) as (log, topic):
            for i in range(10):
                await log.append(topic, 0, "k", str(i).encode())
            late = log.tail(topic, 0, 8)
            assert [r.offset for r in await take(late, 2)] == [8, 9]
            early = log.tail(topic, 0, 0)
            assert [r.offset for r in await take(early, 10)] == list(range(10))
            other = log.tail(topic, 1, 0)
            await log.append(topic, 0, "k", b"10")
            await log.append(topic, 1, "k", b"other")
            assert [r.offset for r in await take(late, 1)] == [10]
            assert [r.offset for r in await take(early, 1)] == [10]
            assert (await take(other, 1))[0].value == b"other"
            for tail in (late, early, other):
                await tail.aclose()

    asyncio.run(run())


@pytest.mark.parametrize("kept", [3, 1000])
def test_a_slow_tail_loses_nothing_and_holds_up_nobody(kind, request, monkeypatch, kept):
    monkeypatch.setattr("headrace.log.control_tails.QUEUE_MAX", 10)
    monkeypatch.setattr("headrace.log.control_tails.RECENT_MAX", kept)

    async def run():
        async with connect(kind, request) as (log, topic):
            slow, quick = log.tail(topic, 0, 0), log.tail(topic, 0, 0)
            await asyncio.gather(*(log.append(topic, 0, "k", str(i).encode()) for i in range(50)))
            assert [r.offset for r in await take(slow, 1)] == [0]
            assert [r.offset for r in await take(quick, 50)] == list(range(50))
            await asyncio.gather(*(log.append(topic, 0, "k", str(i).encode()) for i in range(50)))
            assert [r.offset for r in await take(quick, 50)] == list(range(50, 100))
            assert [r.offset for r in await take(slow, 99)] == list(range(1, 100))
            await slow.aclose()
            await quick.aclose()

    asyncio.run(run())


@pytest.mark.parametrize("kept", [1, 5, 1000])
def test_tails_join_and_leave_while_others_read(kind, request, monkeypatch, kept):
    monkeypatch.setattr("headrace.log.control_tails.RECENT_MAX", kept)

    async def run():
        async with connect(kind, request) as (log, topic):
            steady = log.tail(topic, 0, 0)
            for n in range(20):
                await log.append(topic, 0, "k", str(n).encode())
                start = max(0, n - n % 7)
                joining = log.tail(topic, 0, start)
                assert [r.offset for r in await take(joining, n - start + 1)] == list(range(start, n + 1))
                await joining.aclose()
                assert [r.offset for r in await take(steady, 1)] == [n]
            await steady.aclose()

    asyncio.run(run())


def test_memory_compacts_and_can_be_unavailable():
    async def run():
        cluster = MemoryCluster()
        log = ControlMemory(cluster)
        await log.ensure_topics({"t": 1}, {})
        for key, value in [("a", b"1"), ("b", b"1"), ("a", b"2"), ("b", None)]:
            await log.append("t", 0, key, value)
        cluster.compact("t")
        assert [(r.key, r.offset) for r in await log.read("t", 0, 0, 4)] == [("a", 2)]
        cluster.available = False
        with pytest.raises(LogUnavailableError):
            await log.append("t", 0, "a", b"3")

    asyncio.run(run())
