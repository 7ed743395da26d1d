"""The JobMaster's records in the log: claim, plans, result, events, answers to commands.

Every write is repeated until the log has taken it; a record that arrives twice says the same thing.
"""

from __future__ import annotations

from pydantic import BaseModel

from headrace.clock import now_ms
from headrace.log.control import ControlLog, ControlRecord
from headrace.log.insist import insist
from headrace.protocol.control import Claim, CommandDone, JobEvent, JobResult, Plan
from headrace.protocol.fence import PlanFence, claim_key, plan_key
from headrace.protocol.job_log import done_key, result_key
from headrace.protocol.topics import Topics, home_partition


class Journal:
    """What one JobMaster reads and writes in the home partition of its job."""

    def __init__(self, control: ControlLog, topics: Topics, job_id: str, dispatcher: str) -> None:
        self._log = control
        self._topics = topics
        self._job_id = job_id
        self._dispatcher = dispatcher
        self._stale_plans: set[int] = set()  #: epochs of plans that ours makes worthless
        self.partition = -1
        self.epoch = -1
        self.events_from = 0  #: task events from here on can concern this JobMaster

    async def claim(self) -> Plan | None:
        """Take command: the epoch is the claim's offset. Returns the newest valid plan before it."""
        count = await insist(lambda: self._log.partitions(self._topics.plans))
        if not count:
            raise RuntimeError(f"topic {self._topics.plans} does not exist: the Dispatcher creates it first")
        self.partition = home_partition(self._job_id, count)
        # TaskManagers report everything on seeing the claim, so earlier task events are not needed.
        self.events_from = await insist(lambda: self._log.end_offset(self._topics.task_events, self.partition))
        claim = Claim(job_id=self._job_id, dispatcher=self._dispatcher, at_ms=now_ms())
        self.epoch = await self._append(self._topics.plans, claim_key(self._job_id), claim)
        fence = PlanFence()
        for record in await self._plans(0, self.epoch):
            if not record.key.startswith(f"{self._job_id}/"):
                continue  # plans are long: those of other jobs are not even parsed
            fence.feed(record.offset, record.key, record.value)
            epoch = record.key.rpartition("/plan/")[2]
            if epoch.isdigit():
                self._stale_plans.add(int(epoch))
        return fence.plan(self._job_id)

    async def newer_claim(self) -> int | None:
        """The epoch of a JobMaster that took command after this one, as of now."""
        end = await insist(lambda: self._log.end_offset(self._topics.plans, self.partition))
        claims = [record.offset for record in await self._plans(self.epoch + 1, end) if self._is_claim(record)]
        return max(claims, default=None)

    async def await_newer_claim(self) -> int:
        """Follow the partition until another JobMaster takes command; its epoch."""
        async for record in self._log.tail(self._topics.plans, self.partition, self.epoch + 1):
            if self._is_claim(record):
                return record.offset
        raise RuntimeError("the tail of a topic ended")

    async def write_plan(self, plan: Plan) -> None:
        await self._append(self._topics.plans, plan_key(self._job_id, self.epoch), plan)
        for epoch in sorted(self._stale_plans - {self.epoch}):
            await self._append(self._topics.plans, plan_key(self._job_id, epoch), None)
        self._stale_plans.clear()

    async def write_result(self, result: JobResult) -> None:
        await self._append(self._topics.job_log, result_key(self._job_id), result)

    async def publish(self, event: JobEvent) -> None:
        await self._append(self._topics.job_events, self._job_id, event)

    async def answer(self, done: CommandDone) -> None:
        """The outcome of a command: in the job log first, so that it is not run again, then for the public."""
        await self._append(self._topics.job_log, done_key(self._job_id, done.request_id), done)
        await self.publish(
            JobEvent(
                job_id=self._job_id,
                type="DONE" if done.ok else "REFUSED",
                request_id=done.request_id,
                reason=done.reason,
                code="" if done.ok else "cancel-refused",
                epoch=self.epoch,
                at_ms=now_ms(),
            )
        )

    def _is_claim(self, record: ControlRecord) -> bool:
        return record.key == claim_key(self._job_id) and record.value is not None

    async def _plans(self, start: int, end: int) -> list[ControlRecord]:
        return await insist(lambda: self._log.read(self._topics.plans, self.partition, start, end))

    async def _append(self, topic: str, key: str, message: BaseModel | None) -> int:
        value = None if message is None else message.model_dump_json().encode()
        return await insist(lambda: self._log.append(topic, self.partition, key, value))
