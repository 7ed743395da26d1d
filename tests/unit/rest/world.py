"""The HTTP application on the ports in memory, with a client; a Dispatcher that answers is played."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from headrace.clock import now_ms
from headrace.dispatcher.control_topics import ensure_control_topics
from headrace.log.control_memory import ControlMemory, MemoryCluster
from headrace.protocol.control import JobEvent
from headrace.protocol.topics import Topics
from headrace.rest.access import Access
from headrace.rest.app import application
from headrace.rest.kafka_view import KafkaView
from headrace.rest.models import Health
from headrace.rest.services import Services
from headrace.store.memory import MemoryServer, MemoryStore

PARTITIONS = 2
TOPICS = Topics("t")
NOBODY = "127.0.0.1:1"  # look-ups in Kafka are tested on a real one
Answer = Callable[[dict[str, Any]], dict[str, Any]]


@dataclass
class World:
    """Servers in memory and a client of one application on them."""

    client: httpx.AsyncClient
    kafka: MemoryCluster
    redis: MemoryServer
    log: ControlMemory
    store: MemoryStore
    requests: list[dict[str, Any]] = field(default_factory=list)  #: what the played Dispatcher read

    async def error(self, method: str, path: str, **more: Any) -> tuple[int, str]:
        """Status and code of an error of the own API."""
        response = await self.client.request(method, path, **more)
        return response.status_code, response.json()["error"]["code"]


@contextlib.asynccontextmanager
async def world(answer: Answer | None = None, access: Access | None = None) -> AsyncIterator[World]:
    """``answer`` turns a request into fields of its event; without it nobody answers."""
    kafka, redis = MemoryCluster(), MemoryServer()
    log, store = ControlMemory(kafka), MemoryStore(redis, "t")
    await ensure_control_topics(log, TOPICS, PARTITIONS)
    view = KafkaView(NOBODY)
    services = Services(store, log, view, TOPICS, "me", _healthy(redis))
    transport = httpx.ASGITransport(application(services, access or Access()), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8081") as client:
        here = World(client, kafka, redis, log, store)
        tasks = [asyncio.create_task(_dispatch(here, p, answer)) for p in range(PARTITIONS) if answer is not None]
        try:
            yield here
        finally:
            for task in tasks:
                task.cancel()
            view.close()


async def _dispatch(here: World, partition: int, answer: Answer | None) -> None:
    async for record in here.log.tail(TOPICS.jobs, partition, 0):
        request = json.loads(record.value or b"")
        here.requests.append(request)
        assert answer is not None
        ids = {"job_id": request["job_id"], "request_id": request["request_id"], "at_ms": now_ms()}
        for noise in ("another", request["request_id"]):  # neither answers this request
            event = JobEvent(job_id=ids["job_id"], type="STATUS", request_id=noise, at_ms=0)
            await here.log.append(TOPICS.job_events, partition, "", event.model_dump_json().encode())
        event = JobEvent.model_validate(ids | answer(request))
        await here.log.append(TOPICS.job_events, partition, request["job_id"], event.model_dump_json().encode())


def _healthy(redis: MemoryServer) -> Callable[[], Any]:
    async def health() -> Health:
        up = redis.available
        return Health(
            ok=up, kafka="ok", redis="ok" if up else "away", dispatcher="me", partitions={0: "ACTING"}, jobmasters=3
        )

    return health
