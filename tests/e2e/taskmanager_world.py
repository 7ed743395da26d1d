"""A TaskManager with scripted workers on real Kafka and Redis, and a hand that writes plans for it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from tests.unit.taskmanager.plans import plan
from tests.waiting import until

from headrace.log.control import ControlLog, ControlRecord
from headrace.log.control_kafka import ControlKafka
from headrace.log.insist import insist
from headrace.protocol.control import (
    Claim,
    LaneRefused,
    LaneStateChanged,
    LogLines,
    Plan,
    TaskEvent,
    TaskManagerRecord,
    TaskManagerReport,
)
from headrace.protocol.fence import claim_key, plan_key
from headrace.protocol.submission import UploadedCode
from headrace.protocol.topics import PARTITIONED, SINGLE, Topics, home_partition
from headrace.settings import Settings
from headrace.store.port import StoreUnavailableError
from headrace.store.redis_store import RedisStore
from headrace.taskmanager.identity import held_identity
from headrace.taskmanager.service import TaskManager, WorkerStart, worker_environment

PARTITIONS = 2
#: A story that hangs is interrupted where it does.
STORY_S = 100.0
ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, str(Path(__file__).with_name("scripted_worker.py")))
T = TypeVar("T")
Places = dict[str, tuple[str, int, int]]


class World:
    """One namespace. TaskManagers live in this process unless a test starts its own."""

    def __init__(self, kafka: str, redis: str, namespace: str, directory: Path) -> None:
        self.settings = Settings(
            bootstrap=kafka,
            redis=redis,
            namespace=namespace,
            state_dir=directory / "state",
            cache_dir=directory / "cache",
        )
        self.topics = Topics(namespace)
        self.log = ControlKafka(kafka)
        self.store = RedisStore(redis, namespace)
        self.epochs: dict[str, int] = {}
        self.numbers: dict[str, int] = {}

    async def make_topics(self) -> None:
        counts = {self.topics.name(short): PARTITIONS for short in PARTITIONED}
        counts |= {self.topics.name(short): 1 for short in SINGLE}
        compact = {"cleanup.policy": "compact"}
        config = {self.topics.plans: compact, self.topics.artifacts: compact}
        await insist(lambda: self.log.ensure_topics(counts, config))  # a starved broker is fenced now and then

    @contextlib.asynccontextmanager
    async def taskmanager(
        self,
        tm_id: str = "tm1",
        *,
        slots: int = 2,
        spare: bool = False,
        settings: Settings | None = None,
        patient: bool = False,
        log: ControlLog | None = None,
        store: RedisStore | None = None,
    ) -> AsyncIterator[TaskManager]:
        """A TaskManager in this process, from its start to a clean end; ``patient``: to the end it finds itself."""
        settings = settings or self.settings
        store = store or RedisStore(settings.redis or "", settings.namespace)
        with held_identity(settings.state_dir, tm_id) as identity:
            taskmanager = TaskManager(
                identity,
                slots,
                log=log or self.log,
                store=store,
                topics=self.topics,
                cache_dir=settings.cache_dir,
                workers=WorkerStart(environment(settings), COMMAND, spare),
            )
            running = asyncio.create_task(taskmanager.run())
            try:
                yield taskmanager
            finally:
                if not patient:
                    taskmanager.leave()
                await asyncio.wait_for(running, 20)
                await store.close()

    # ---- what a JobMaster would write

    async def claim(self, job: str) -> int:
        claim = Claim(job_id=job, dispatcher="test", at_ms=0)
        self.epochs[job] = await self.append(self.topics.plans, job, claim_key(job), claim.model_dump_json())
        return self.epochs[job]

    async def plan(
        self,
        places: Places,
        *,
        job: str,
        desired: str = "RUNNING",
        config: dict[str, str] | None = None,
        code: UploadedCode | None = None,
        dependencies: UploadedCode | None = None,
    ) -> Plan:
        """Claim the job when nobody has, and write its next plan."""
        if job not in self.epochs:
            await self.claim(job)
        number = self.numbers[job] = self.numbers.get(job, 0) + 1
        epoch = self.epochs[job]
        written = plan(places, job=job, epoch=epoch, number=number, desired=desired, code=code)
        written = written.model_copy(update={"config": config or {}, "dependencies": dependencies})
        await self.append(self.topics.plans, job, plan_key(job, epoch), written.model_dump_json())
        return written

    async def append(self, topic: str, job: str, key: str, value: str) -> int:
        return await self.log.append(topic, home_partition(job, PARTITIONS), key, value.encode())

    # ---- what is seen

    async def values(self, topic: str, job: str) -> list[bytes]:
        partition = home_partition(job, PARTITIONS)
        end = await self.log.end_offset(topic, partition)
        records = await self.log.read(topic, partition, 0, end)
        return [record.value for record in records if record.key == job and record.value is not None]

    async def events(self, job: str) -> list[LaneStateChanged | LaneRefused | TaskManagerReport]:
        return [
            TaskEvent.model_validate_json(value).root for value in await self.values(self.topics.task_events, job)
        ]

    async def states(self, job: str, lane: str = "v0/0") -> list[str]:
        """ "<attempt> <state>" of every reported change of a lane, in order."""
        return [
            f"{event.attempt} {event.state}"
            for event in await self.events(job)
            if isinstance(event, LaneStateChanged) and event.lane == lane
        ]

    async def reached(self, job: str, state: str, lane: str = "v0/0", *, deadline_s: float = 15.0) -> list[str]:
        """Wait until the lane reported exactly this; all it has reported."""

        async def there() -> bool:
            return state in await self.states(job, lane)

        await until(there, deadline_s=deadline_s)
        return await self.states(job, lane)

    async def lines(self, job: str) -> list[LogLines]:
        return [LogLines.model_validate_json(value) for value in await self.values(self.topics.logs, job)]

    async def close(self) -> None:
        await self.store.close()
        await self.log.close()


class MuteStore(RedisStore):
    """A store that takes no beats while ``mute``: everybody else sees the TaskManager as silent."""

    mute = False

    async def put_taskmanager(self, record: TaskManagerRecord, *, replaces: str | None = None) -> bool:
        if self.mute:
            raise StoreUnavailableError("muted")
        return await super().put_taskmanager(record, replaces=replaces)


class Wire:
    """A TCP proxy in front of a server; ``cut`` drops every connection and takes no more."""

    def __init__(self, host: str, port: int) -> None:
        self._target = host, port
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = 0

    async def mend(self) -> None:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def cut(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(*self._target)
        self._writers |= {writer, far_writer}
        try:
            await asyncio.gather(_pour(reader, far_writer), _pour(far_reader, writer))
        finally:
            self._writers -= {writer, far_writer}
            for each in (writer, far_writer):
                each.close()


async def _pour(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(1 << 16):
            target.write(data)
            await target.drain()
    target.close()


class LateTails(ControlKafka):
    """Tails that hang: what is not asked for by ``read`` is never seen."""

    async def tail(self, topic: str, partition: int, start: int) -> AsyncIterator[ControlRecord]:
        await asyncio.Event().wait()
        yield ControlRecord(topic, partition, start, "", None, 0)


def environment(settings: Settings) -> dict[str, str]:
    path = os.pathsep.join([str(ROOT), str(ROOT / "platform")])
    return {**worker_environment(settings, settings.bootstrap or ""), "PYTHONPATH": path}


def new_job() -> str:
    return uuid.uuid4().hex


def run_in_world(kafka: str, redis: str, directory: Path, story: Callable[[World], Awaitable[T]]) -> T:
    """``story(world)`` in a world of its own."""

    async def whole() -> T:
        world = World(kafka, redis, f"tm-{uuid.uuid4().hex[:8]}", directory)
        try:
            await world.make_topics()
            async with asyncio.timeout(STORY_S):
                return await story(world)
        finally:
            await world.close()

    return asyncio.run(whole())
