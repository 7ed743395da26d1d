"""``python scripted_taskmanager.py ID SLOTS``: a TaskManager process whose workers follow a script."""

from __future__ import annotations

import asyncio
import signal
import sys

from tests.e2e.taskmanager_world import COMMAND, environment

from headrace.log.control_kafka import ControlKafka
from headrace.protocol.topics import Topics
from headrace.settings import Settings
from headrace.store.redis_store import RedisStore
from headrace.taskmanager.identity import Identity, held_identity
from headrace.taskmanager.service import TaskManager, WorkerStart
from headrace.telemetry import process_log


async def serve(settings: Settings, identity: Identity, slots: int) -> None:
    assert settings.bootstrap is not None and settings.redis is not None
    taskmanager = TaskManager(
        identity,
        slots,
        log=ControlKafka(settings.bootstrap),
        store=RedisStore(settings.redis, settings.namespace),
        topics=Topics(settings.namespace),
        cache_dir=settings.cache_dir,
        workers=WorkerStart(environment(settings), COMMAND),
    )
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, taskmanager.leave)
    await taskmanager.run()


if __name__ == "__main__":
    process_log.configure()
    from_environment = Settings()
    with held_identity(from_environment.state_dir, sys.argv[1]) as held:
        asyncio.run(serve(from_environment, held, int(sys.argv[2])))
