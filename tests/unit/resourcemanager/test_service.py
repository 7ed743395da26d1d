"""One leader among several, on the memory store."""

from __future__ import annotations

import asyncio
import contextlib

from tests.waiting import until

from headrace.protocol.control import SlotDeclaration, TaskManagerRecord
from headrace.resourcemanager.service import ResourceManager
from headrace.store.memory import MemoryServer, MemoryStore

JOB = "a" * 32


def test_one_leads_grants_follow_declarations_and_another_takes_over():
    async def run():
        server = MemoryServer()
        stores = [MemoryStore(server), MemoryStore(server)]
        managers = [ResourceManager(store, f"rm-{n}") for n, store in enumerate(stores)]
        tasks = [asyncio.create_task(manager.run()) for manager in managers]
        store = stores[0]

        async def granted(places: dict[str, str] | None) -> bool:
            found = await store.grants(JOB)
            return found is None if places is None else found is not None and found.grants == places

        async def leaders(count: int) -> bool:
            return sum(manager.leading for manager in managers) == count

        await until(lambda: leaders(1))
        record = TaskManagerRecord(id="x", instance="i", counter=1, host="h", pid=1, slots=2)
        await store.put_taskmanager(record)
        await store.declare(SlotDeclaration(job_id=JOB, epoch=1, needed=1, since_ms=1))
        await until(lambda: granted({"0": "x/0"}))
        leader = next(n for n, manager in enumerate(managers) if manager.leading)
        tasks[leader].cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await tasks[leader]
        await store.put_taskmanager(record.model_copy(update={"counter": 2}))
        await store.declare(SlotDeclaration(job_id=JOB, epoch=1, needed=2, held={"0": "x/0"}, since_ms=1))
        await until(lambda: granted({"0": "x/0", "1": "x/1"}))
        server.available = False
        await asyncio.sleep(0)
        server.available = True
        await store.withdraw(JOB, 1)
        await until(lambda: granted(None))
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

    asyncio.run(run())
