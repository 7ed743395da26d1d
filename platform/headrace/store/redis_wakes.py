"""Wake-ups over Redis pub/sub: one connection per process, shared by all who wait.

A lost connection is opened again after a pause; wakes in between are lost, which the contract allows.
"""

from __future__ import annotations

import asyncio
import contextlib

from redis.asyncio import Redis
from redis.exceptions import RedisError

from headrace.store.port import Wake

RECONNECT_S = 0.5
IDLE_S = 5.0
SEND_S = 1.0


class WakeSubscription:
    """The waiting side: a flag that a wake raises and ``wait`` lowers."""

    def __init__(self, kinds: frozenset[Wake], owner: set[WakeSubscription]) -> None:
        self._kinds = kinds
        self._owner = owner
        self._flag = asyncio.Event()

    def raise_for(self, kind: Wake) -> None:
        if kind in self._kinds:
            self._flag.set()

    async def wait(self, timeout_s: float) -> bool:
        try:
            async with asyncio.timeout(timeout_s):
                await self._flag.wait()
        except TimeoutError:
            return False
        self._flag.clear()
        return True

    def close(self) -> None:
        self._owner.discard(self)


class RedisWakes:
    """Listens while anybody has ever subscribed; fans out to the subscriptions."""

    def __init__(self, redis: Redis, channel: str) -> None:
        self._redis = redis
        self._channel = channel
        self._subscriptions: set[WakeSubscription] = set()
        self._task: asyncio.Task[None] | None = None

    def subscribe(self, *kinds: Wake) -> WakeSubscription:
        subscription = WakeSubscription(frozenset(kinds), self._subscriptions)
        self._subscriptions.add(subscription)
        if self._task is None:
            self._task = asyncio.create_task(self._listen(), name="redis-wakes")
        return subscription

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _listen(self) -> None:
        while True:
            with contextlib.suppress(RedisError, OSError, TimeoutError):
                await self._listen_once()
            await asyncio.sleep(RECONNECT_S)

    async def _listen_once(self) -> None:
        async with self._redis.pubsub(ignore_subscribe_messages=True) as pubsub:
            async with asyncio.timeout(SEND_S):
                await pubsub.subscribe(self._channel)
            while True:
                message = await pubsub.get_message(timeout=IDLE_S)
                if message is None:
                    async with asyncio.timeout(SEND_S):
                        await pubsub.ping()  # a dead peer shows itself here
                    continue
                with contextlib.suppress(ValueError):  # a kind that only a newer version knows
                    kind = Wake(bytes(message["data"]).decode(errors="replace"))
                    for subscription in list(self._subscriptions):
                        subscription.raise_for(kind)
