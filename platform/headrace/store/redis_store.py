"""The store on Redis: one bounded connection pool, time-outs of half a second, no hidden retries.

redis-py repeats failed commands by default, which lets a lease holder run on past its lease without a single
error; here every failure is the caller's to see, as StoreUnavailableError.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Mapping
from typing import Any, TypeVar

import structlog
from pydantic import BaseModel, ValidationError
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from headrace.clock import monotonic_s
from headrace.protocol.control import (
    JobRecord,
    LaneMetrics,
    SlotDeclaration,
    SlotGrants,
    TaskManagerRecord,
)
from headrace.protocol.redis_keys import RedisKeys
from headrace.store import redis_scripts as scripts
from headrace.store.port import (
    LANE_METRICS_TTL_MS,
    LEASE_TTL_MS,
    TASKMANAGER_TTL_MS,
    StoreUnavailableError,
    TaskManagers,
    Wake,
)
from headrace.store.redis_wakes import RedisWakes, WakeSubscription

log = structlog.get_logger(__name__)

CALL_TIMEOUT_S = 0.5
#: A lease is worth waiting for: its holder fences itself by a timer of its own, whatever this call does.
ACQUIRE_TIMEOUT_S = 1.5
CONNECTIONS_MAX = 16
#: Of their own: a hundred JobMasters that look something up must not keep a lease from being renewed.
LEASE_CONNECTIONS_MAX = 4

M = TypeVar("M", bound=BaseModel)


class RedisStore:
    """``Store`` on one Redis server (any URL that redis-py takes; ``rediss://`` for TLS)."""

    def __init__(self, url: str, namespace: str = "headrace") -> None:
        self._keys = RedisKeys(namespace)
        self._redis = _client(url, CONNECTIONS_MAX)
        self._lease_redis = _client(url, LEASE_CONNECTIONS_MAX)
        self._wakes = RedisWakes(self._redis, self._keys.wake)
        self._scripts: dict[str, Any] = {}
        self._beats: TaskManagers | None = None  #: the last answer to ``taskmanagers``
        self._beats_s = 0.0
        self._beats_read = asyncio.Lock()

    @property
    def keys(self) -> RedisKeys:
        return self._keys

    async def identity(self) -> str:
        pipe = self._redis.pipeline(transaction=False)
        pipe.execute_command("INFO", "server")
        pipe.set(self._keys.sentinel, uuid.uuid4().hex, nx=True)
        pipe.get(self._keys.sentinel)
        info, _, sentinel = await self._within(pipe.execute())
        return f"{info['run_id']}/{sentinel.decode()}"

    # ---- jobs

    async def put_graph(self, job_id: str, graph: bytes, *, submitted_ms: int) -> None:
        pipe = self._redis.pipeline()
        pipe.hset(self._keys.job(job_id), "graph", graph)
        pipe.zadd(self._keys.jobs, {job_id: submitted_ms}, nx=True)
        await self._within(pipe.execute())

    async def graph(self, job_id: str) -> bytes | None:
        value: bytes | None = await self._call("HGET", self._keys.job(job_id), "graph")
        return value

    async def put_record(self, record: JobRecord) -> bool:
        return await self._script(
            scripts.PUT_RECORD,
            [self._keys.job(record.job_id), self._keys.jobs],
            [record.epoch, record.model_dump_json(), record.submitted_ms, record.job_id],
        )

    async def record(self, job_id: str) -> JobRecord | None:
        return _parse(JobRecord, await self._call("HGET", self._keys.job(job_id), "record"))

    async def records(self, *, limit: int = 1000) -> list[JobRecord]:
        ids: list[bytes] = await self._call("ZREVRANGE", self._keys.jobs, 0, limit - 1)
        pipe = self._redis.pipeline(transaction=False)
        for job_id in ids:
            pipe.hget(self._keys.job(job_id.decode()), "record")
        found = [_parse(JobRecord, raw) for raw in await self._within(pipe.execute())]
        return [record for record in found if record is not None]

    async def forget_job(self, job_id: str) -> None:
        pipe = self._redis.pipeline()
        pipe.delete(self._keys.job(job_id), self._keys.lanes(job_id))
        pipe.zrem(self._keys.jobs, job_id)
        pipe.hdel(self._keys.declarations, job_id)
        pipe.hdel(self._keys.grants, job_id)
        await self._within(pipe.execute())

    # ---- lanes

    async def put_lane_metrics(self, job_id: str, metrics: dict[str, LaneMetrics]) -> None:
        if not metrics:
            return
        key = self._keys.lanes(job_id)
        pipe = self._redis.pipeline()
        pipe.hset(key, mapping={lane: value.model_dump_json() for lane, value in metrics.items()})
        pipe.pexpire(key, LANE_METRICS_TTL_MS)
        await self._within(pipe.execute())

    async def lane_metrics(self, job_id: str) -> dict[str, LaneMetrics]:
        return await self._hash(LaneMetrics, self._keys.lanes(job_id))

    # ---- TaskManagers

    async def put_taskmanager(self, record: TaskManagerRecord, *, replaces: str | None = None) -> bool:
        return await self._script(
            scripts.PUT_TASKMANAGER,
            [self._keys.taskmanager(record.id), self._keys.taskmanagers],
            [record.id, record.instance, replaces or record.instance, record.model_dump_json(), TASKMANAGER_TTL_MS],
        )

    async def taskmanager(self, tm_id: str) -> TaskManagerRecord | None:
        return _parse(TaskManagerRecord, await self._call("GET", self._keys.taskmanager(tm_id)))

    async def taskmanagers(self, *, age_max_s: float = 0.0) -> TaskManagers:
        if age_max_s <= 0:
            return await self._read_taskmanagers()
        async with self._beats_read:  # who comes meanwhile waits for the read under way, and shares it
            if self._beats is None or monotonic_s() - self._beats_s > age_max_s:
                await self._read_taskmanagers()
            assert self._beats is not None
            return self._beats

    async def _read_taskmanagers(self) -> TaskManagers:
        # The identity is read last: a flush between the two reads must not look like silence.
        ids = sorted(raw.decode() for raw in await self._call("SMEMBERS", self._keys.taskmanagers))
        raws = await self._call("MGET", *map(self._keys.taskmanager, ids)) if ids else []
        gone = [tm_id for tm_id, raw in zip(ids, raws, strict=True) if raw is None]
        if gone:  # a living one adds itself again with its next record
            await self._call("SREM", self._keys.taskmanagers, *gone)
        found = (_parse(TaskManagerRecord, raw) for raw in raws)
        records = {record.id: record for record in found if record is not None}
        self._beats, self._beats_s = TaskManagers(await self.identity(), records), monotonic_s()
        return self._beats

    async def remove_taskmanager(self, tm_id: str, instance: str) -> None:
        keys = [self._keys.taskmanager(tm_id), self._keys.taskmanagers]
        await self._script(scripts.REMOVE_TASKMANAGER, keys, [tm_id, instance])

    # ---- leases

    async def acquire(self, lease: str, holder: str, *, ttl_ms: int = LEASE_TTL_MS) -> bool:
        acquire = self._lease_redis.eval(scripts.ACQUIRE, 1, lease, holder, str(ttl_ms))
        return bool(await self._within(acquire, ACQUIRE_TIMEOUT_S))

    async def release(self, lease: str, holder: str) -> None:
        await self._script(scripts.RELEASE, [lease], [holder])

    async def holder(self, lease: str) -> str | None:
        raw: bytes | None = await self._call("GET", lease)
        return None if raw is None else raw.decode()

    # ---- slots

    async def declare(self, declaration: SlotDeclaration) -> bool:
        return await self._script(
            scripts.DECLARE,
            [self._keys.declarations, self._keys.wake],
            [declaration.job_id, declaration.epoch, declaration.model_dump_json(), Wake.DECLARED],
        )

    async def withdraw(self, job_id: str, epoch: int) -> bool:
        keys = [self._keys.declarations, self._keys.grants, self._keys.wake]
        return await self._script(scripts.WITHDRAW, keys, [job_id, epoch, Wake.SLOTS])

    async def declarations(self) -> dict[str, SlotDeclaration]:
        return await self._hash(SlotDeclaration, self._keys.declarations)

    async def grant(self, leader: str, grants: list[SlotGrants], gone: list[str]) -> bool:
        pairs = [text for grant in grants for text in (grant.job_id, grant.model_dump_json())]
        keys = [self._keys.resource_manager, self._keys.grants, self._keys.wake]
        return await self._script(scripts.GRANT, keys, [leader, Wake.GRANTED, len(grants), *pairs, *gone])

    async def grants(self, job_id: str) -> SlotGrants | None:
        return _parse(SlotGrants, await self._call("HGET", self._keys.grants, job_id))

    async def all_grants(self) -> dict[str, SlotGrants]:
        return await self._hash(SlotGrants, self._keys.grants)

    # ---- wake-ups

    async def wake(self, kind: Wake) -> None:
        await self._call("PUBLISH", self._keys.wake, kind)

    def subscribe(self, *kinds: Wake) -> WakeSubscription:
        return self._wakes.subscribe(*kinds)

    async def close(self) -> None:
        await self._wakes.close()
        for client in (self._redis, self._lease_redis):
            await client.aclose()
            await client.connection_pool.disconnect()

    # ---- plumbing

    async def _within(self, call: Any, timeout_s: float = CALL_TIMEOUT_S) -> Any:
        try:
            async with asyncio.timeout(timeout_s):
                return await call
        except (RedisError, OSError, TimeoutError) as error:
            raise StoreUnavailableError(f"{type(error).__name__}: {error}") from error

    async def _call(self, *command: Any) -> Any:
        return await self._within(self._redis.execute_command(*command))  # type: ignore[no-untyped-call]

    async def _script(self, text: str, keys: list[str], args: list[Any]) -> bool:
        script = self._scripts.get(text)
        if script is None:
            script = self._scripts[text] = self._redis.register_script(text)
        return bool(await self._within(script(keys=keys, args=args)))

    async def _hash(self, model: type[M], key: str) -> dict[str, M]:
        raw: Mapping[bytes, bytes] = await self._call("HGETALL", key)
        parsed = {field.decode(): _parse(model, value) for field, value in raw.items()}
        return {field: value for field, value in parsed.items() if value is not None}


def _client(url: str, connections_max: int) -> Redis:
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=connections_max,
        timeout=ACQUIRE_TIMEOUT_S,
        socket_timeout=None,  # calls are timed here; with it redis-py uses wait_for, which can lose a cancel
        socket_connect_timeout=CALL_TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
        protocol=2,
    )
    return Redis(connection_pool=pool)


def _parse(model: type[M], raw: bytes | None) -> M | None:
    """A stored value, or None when there is none or it is not ours: a stray key must stop nobody."""
    if raw is None:
        return None
    try:
        return model.model_validate_json(raw)
    except (ValidationError, json.JSONDecodeError) as error:
        log.warning("store.unreadable", model=model.__name__, error=str(error)[:200])
        return None
