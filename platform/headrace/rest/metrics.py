"""``/metrics`` for Prometheus: the cluster as this Dispatcher sees it, and this process's own HTTP.

A server that does not answer leaves its values out and shows in ``headrace_server_up``; the page itself is always
there.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from fastapi import APIRouter, Request, Response
from prometheus_client import exposition
from prometheus_client.openmetrics import exposition as open_exposition

from headrace.clock import monotonic_s, now_ms
from headrace.errors import UnavailableError
from headrace.log.control import LogUnavailableError
from headrace.rest.own import JOBS_MAX
from headrace.rest.services import Services, few_at_once
from headrace.store.port import StoreUnavailableError
from headrace.telemetry.cluster_metrics import ClusterSnapshot, registry_of
from headrace.telemetry.rest_metrics import RestMetrics

#: However many scrape: the cluster is looked at this often at most.
FRESH_S = 1.0
LOOK_S = 3.0


class ClusterLook:
    """Takes snapshots of the cluster, and keeps the last for FRESH_S."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._looking = asyncio.Lock()
        self._taken_s = -FRESH_S
        self._last = ClusterSnapshot(now_ms=0)

    async def snapshot(self) -> ClusterSnapshot:
        async with self._looking:
            if monotonic_s() - self._taken_s >= FRESH_S:
                self._last = await self._take()
                self._taken_s = monotonic_s()
            return self._last

    async def _take(self) -> ClusterSnapshot:
        health = await self._services.health()
        up = ClusterSnapshot(
            now_ms=now_ms(),
            kafka_up=health.kafka == "ok",
            redis_up=health.redis == "ok",
            home_partitions=len(health.partitions),
            jobmasters=health.jobmasters,
            dead_letters=await self._dead_letters() if health.kafka == "ok" else None,
        )
        return await self._with_registry(up) if up.redis_up else up

    async def _with_registry(self, up: ClusterSnapshot) -> ClusterSnapshot:
        store = self._services.store
        try:
            jobs = await store.records(limit=JOBS_MAX)
            living = [job.job_id for job in jobs if not job.status.ended]
            lanes = dict(zip(living, await few_at_once(store.lane_metrics, living), strict=True))
            taskmanagers = list((await store.taskmanagers()).records.values())
        except StoreUnavailableError:
            return replace(up, redis_up=False)
        return replace(up, now_ms=now_ms(), jobs=jobs, lanes=lanes, taskmanagers=taskmanagers)

    async def _dead_letters(self) -> int | None:
        """The topic's end: it counts every letter ever put aside, also those that Kafka has let go since."""
        topic = self._services.topics.dead_letters
        try:
            async with asyncio.timeout(LOOK_S):
                return (await self._services.kafka.end_offsets([(topic, 0)])).get((topic, 0))
        except (TimeoutError, LogUnavailableError, UnavailableError):
            return None


def router(services: Services, own: RestMetrics) -> APIRouter:
    api = APIRouter(include_in_schema=False)
    look = ClusterLook(services)

    @api.get("/metrics")
    async def metrics(request: Request) -> Response:
        registries = registry_of(await look.snapshot()), own.registry
        if "application/openmetrics-text" in request.headers.get("accept", ""):
            pages = [open_exposition.generate_latest(registry) for registry in registries]  # type: ignore[no-untyped-call]
            body = b"".join(page.removesuffix(b"# EOF\n") for page in pages) + b"# EOF\n"
            return Response(body, media_type=open_exposition.CONTENT_TYPE_LATEST)
        body = b"".join(exposition.generate_latest(registry) for registry in registries)
        return Response(body, media_type=exposition.CONTENT_TYPE_PLAIN_0_0_4)

    return api
