"""Task events on their way to the log."""

from __future__ import annotations

import asyncio

from tests.unit.taskmanager.plans import JOB
from tests.waiting import until

from headrace.log.control_memory import ControlMemory, MemoryCluster
from headrace.protocol.control import LaneStateChanged, TaskEvent
from headrace.protocol.states import LaneState
from headrace.taskmanager import event_outbox
from headrace.taskmanager.event_outbox import EventOutbox


def change(number: int) -> LaneStateChanged:
    return LaneStateChanged(
        job_id=JOB,
        incarnation=1,
        epoch=1,
        lane="v0/0",
        attempt=f"1.{number}",
        taskmanager="tm1",
        state=LaneState.RUNNING,
        at_ms=0,
    )


async def attempts(log: ControlMemory) -> list[str]:
    records = await log.read("events", 0, 0, await log.end_offset("events", 0))
    return [TaskEvent.model_validate_json(record.value or b"").root.attempt for record in records]  # type: ignore[union-attr]


def test_events_wait_for_the_log_and_arrive_in_order() -> None:
    async def story() -> None:
        cluster = MemoryCluster()
        log = ControlMemory(cluster)
        await log.ensure_topics({"events": 1}, {})
        outbox = EventOutbox(log, "events", 1, list)
        running = asyncio.create_task(outbox.run())
        cluster.available = False
        for number in range(250):
            outbox.put(change(number))
        await asyncio.sleep(0.05)
        assert not outbox.empty.is_set()
        cluster.available = True
        await until(outbox.empty.is_set)
        assert await attempts(log) == [f"1.{number}" for number in range(250)]
        running.cancel()

    asyncio.run(story())


def test_too_many_events_give_way_to_full_reports() -> None:
    async def story() -> None:
        cluster = MemoryCluster()
        log = ControlMemory(cluster)
        await log.ensure_topics({"events": 1}, {})
        outbox = EventOutbox(log, "events", 1, lambda: [change(77)])
        for number in range(event_outbox.OUTBOX_MAX + 1):
            outbox.put(change(number))
        running = asyncio.create_task(outbox.run())
        await until(outbox.empty.is_set)
        assert await attempts(log) == ["1.77", f"1.{event_outbox.OUTBOX_MAX}"]
        running.cancel()

    asyncio.run(story())
