"""The JobMaster of one job: feeds the core with what happens and carries out what it wants.

    task events ─┐
    grants       ├─► inbox ─► core.step ─► outbox ─► log, one record after the other
    lost         │                    └──► registry: store, as levels
    commands    ─┘

Cancelling ``run`` stops commanding and nothing else: the job runs on, and the next JobMaster adopts it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import assert_never

import structlog
from pydantic import ValidationError

from headrace.clock import now_ms
from headrace.errors import UsageError
from headrace.jobmaster.core import step
from headrace.jobmaster.job_topics import (
    MissingTopicsError,
    create_job_topics,
    delete_job_topics,
    source_partitions,
)
from headrace.jobmaster.journal import Journal
from headrace.jobmaster.model import (
    Answer,
    CancelRequested,
    DeleteTopics,
    Done,
    Effect,
    Event,
    FenceLanes,
    Granted,
    Job,
    JobState,
    LanesFenced,
    PrepareTopics,
    Publish,
    Started,
    TaskManagerLost,
    Tick,
    TopicsReady,
    TopicsRefused,
    WritePlan,
    WriteResult,
)
from headrace.jobmaster.registry import Registry
from headrace.log.control import ControlLog
from headrace.log.insist import insist
from headrace.log.lane import LaneConnection, LogError
from headrace.protocol.control import CommandDone, JobEvent, JobResult, TaskEvent
from headrace.protocol.states import JobStatus
from headrace.protocol.submission import Cancel, Submit, UploadedCode
from headrace.protocol.topics import Topics, split_lane, transactional_id
from headrace.store.port import Store

log = structlog.get_logger(__name__)

TICK_S = 0.5
#: Events that wait for the core; task events beyond are not read.
INBOX_MAX = 1000
#: Effects that wait for the log; beyond, no event is taken.
OUTBOX_MAX = 1000
FENCE_TIMEOUT_S = 10.0
FENCE_RETRY_S = 0.5
FENCES_AT_ONCE_MAX = 8
#: Of the producer that only initialises an id; it never opens a transaction.
TRANSACTION_TIMEOUT_S = 20.0


class DeposedError(Exception):
    """Another JobMaster claimed the job: this one has stopped and must not be started again here."""

    def __init__(self, job_id: str, epoch: int, newer: int) -> None:
        super().__init__(f"job {job_id}: epoch {epoch} was followed by {newer}")
        self.epoch, self.newer = epoch, newer


class JobMaster:
    """Commands one job from its claim to its end.

    ``code`` is where the job's code package lies, None for a job without one. ``lanes`` is used to initialise
    transactional ids of lost lanes only. Make one per claim; it cannot be run twice.
    """

    def __init__(
        self,
        submission: Submit,
        code: UploadedCode | None,
        *,
        log: ControlLog,
        store: Store,
        topics: Topics,
        lanes: LaneConnection,
        dispatcher: str,
        submitted_ms: int = 0,
    ) -> None:
        job = Job(
            submission.job_id,
            submission.name,
            submission.graph,
            code,
            submission.delivery,
            submission.restart,
            submission.config,
            dispatcher,
            submitted_ms,
            dependencies=submission.dependencies,
            client=submission.client,
        )
        self._log = log
        self._topics = topics
        self._lanes = lanes
        self._journal = Journal(log, topics, job.job_id, dispatcher)
        self._state = JobState.of(job, now_ms())
        self._registry = Registry(store, lambda: self._state)
        self._inbox: asyncio.Queue[Event] = asyncio.Queue(INBOX_MAX)
        self._outbox: asyncio.Queue[Effect] = asyncio.Queue(OUTBOX_MAX)
        self._fences = asyncio.Semaphore(FENCES_AT_ONCE_MAX)
        self._commands: dict[str, asyncio.Future[CommandDone]] = {}
        self._end: asyncio.Future[JobResult | DeposedError] = asyncio.get_running_loop().create_future()

    @property
    def state(self) -> JobState:
        """What is known now; for views and tests."""
        return self._state

    async def run(self) -> JobResult:
        """Claim, then command the job until it has ended and everything of it is cleaned up.

        Raises DeposedError as soon as a newer claim is seen. Rides out an absent log or store.
        """
        try:
            async with asyncio.TaskGroup() as group:
                commanding = group.create_task(self._command())
                end = await self._end
                commanding.cancel()
        finally:
            for asked in self._commands.values():
                asked.cancel()
        if isinstance(end, DeposedError):
            raise end
        return end

    async def command(self, command: Cancel) -> CommandDone:
        """Carry out a command; its outcome is in the job log when this returns.

        A cancel is done once it cannot be undone (the STOPPED plan is in the log); the job's end follows.
        Raises asyncio.CancelledError when this JobMaster stops commanding first: the command is still to do.
        """
        asked = self._commands.get(command.request_id)
        if asked is None:
            asked = asyncio.get_running_loop().create_future()
            if self._end.done():
                asked.cancel()
            self._commands[command.request_id] = asked
            await self._inbox.put(CancelRequested(command.request_id))
        return await asyncio.shield(asked)

    # ---- what happens

    async def _command(self) -> None:
        """Claim, start what feeds the inbox, then step for ever."""
        plan = await self._journal.claim()
        await self._recall()
        await self._step(Started(self._journal.epoch, plan))
        async with asyncio.TaskGroup() as feeds:
            feeds.create_task(self._follow_task_events())
            feeds.create_task(self._follow_claims())
            feeds.create_task(self._follow(self._granted()))
            feeds.create_task(self._follow(self._lost()))
            feeds.create_task(self._registry.keep())
            feeds.create_task(self._carry_out(feeds))
            while True:
                try:
                    async with asyncio.timeout(TICK_S):
                        event = await self._inbox.get()
                except TimeoutError:
                    event = Tick()
                await self._step(event)

    async def _step(self, event: Event) -> None:
        before = self._state
        self._state, effects = step(before, event, now_ms())
        for effect in effects:
            if isinstance(effect, Publish):
                _note(effect.event, cause=type(event).__name__)
            await self._outbox.put(effect)
        if self._state != before:
            self._registry.changed.set()

    async def _recall(self) -> None:
        """Times that an earlier JobMaster noted; without them the job looks younger, no more."""
        record = await self._registry.recall()
        if record is not None:
            job = replace(self._state.job, submitted_ms=self._state.job.submitted_ms or record.submitted_ms)
            self._state = replace(self._state, job=job, timestamps={**self._state.timestamps, **record.timestamps})

    async def _follow_task_events(self) -> None:
        tail = self._log.tail(self._topics.task_events, self._journal.partition, self._journal.events_from)
        async for record in tail:
            if record.key != self._state.job.job_id or record.value is None:
                continue
            try:
                event = TaskEvent.model_validate_json(record.value).root
            except ValidationError as error:
                log.warning("task_event.unreadable", offset=record.offset, error=str(error)[:300])
                continue
            await self._inbox.put(event)

    async def _follow_claims(self) -> None:
        self._depose(await self._journal.await_newer_claim())

    async def _follow(self, events: AsyncIterator[Event]) -> None:
        async for event in events:
            await self._inbox.put(event)

    async def _granted(self) -> AsyncIterator[Event]:
        async for grants in self._registry.grants():
            yield Granted(grants)

    async def _lost(self) -> AsyncIterator[Event]:
        async for event in self._registry.losses():
            name = "taskmanager.lost" if isinstance(event, TaskManagerLost) else "taskmanager.back"
            log.warning(name, job=self._state.job.job_id, taskmanager=event.taskmanager)
            yield event

    def _depose(self, newer: int) -> None:
        if not self._end.done():
            log.warning("job.deposed", job=self._state.job.job_id, epoch=self._journal.epoch, newer=newer)
            self._end.set_result(DeposedError(self._state.job.job_id, self._journal.epoch, newer))

    # ---- what is to be done

    async def _carry_out(self, feeds: asyncio.TaskGroup) -> None:
        """One effect after the other; what answers with an event must not wait for the inbox here."""
        while not self._end.done():
            effect = await self._outbox.get()
            match effect:
                case WritePlan():
                    await self._journal.write_plan(effect.plan)
                case Publish():
                    await self._journal.publish(effect.event)
                case PrepareTopics():
                    feeds.create_task(self._inbox.put(await self._prepare_topics()))
                case FenceLanes():
                    for lane in effect.lanes:
                        feeds.create_task(self._fence(lane))
                case Answer():
                    await self._answer(effect)
                case WriteResult():
                    await self._write_result(effect.result)
                case DeleteTopics():
                    await self._delete_topics()
                case Done():
                    await self._registry.goodbye()
                    if not self._end.done():
                        self._end.set_result(effect.result)
                case _:
                    assert_never(effect)

    async def _write_result(self, result: JobResult) -> None:
        """The one write that is never taken back: look for a newer claim once more before it."""
        newer = await self._journal.newer_claim()
        if newer is not None:
            self._depose(newer)
            return
        await self._journal.write_result(result)

    async def _prepare_topics(self) -> TopicsReady | TopicsRefused:
        job = self._state.job
        try:
            counts = await insist(lambda: source_partitions(self._log, job.graph))
            await insist(lambda: create_job_topics(self._log, self._topics, job.graph, job.job_id, job.incarnation))
        except MissingTopicsError as error:
            return TopicsRefused("topic-missing", str(error))
        except UsageError as error:
            return TopicsRefused(error.code, error.message)
        return TopicsReady(counts)

    async def _delete_topics(self) -> None:
        job, wanted = self._state.job, self._state.status is not JobStatus.CANCELED
        await insist(
            lambda: delete_job_topics(
                self._log, self._topics, job.graph, job.job_id, job.incarnation, keep_results=wanted
            )
        )

    async def _answer(self, answer: Answer) -> None:
        done = CommandDone(request_id=answer.request_id, ok=answer.ok, reason=answer.reason)
        await self._journal.answer(done)
        asked = self._commands.pop(answer.request_id, None)
        if asked is not None and not asked.done():
            asked.set_result(done)

    async def _fence(self, lane: str) -> None:
        """Initialise the lane's id: an open transaction ends, its old owner can commit no more."""
        job = self._state.job
        lane_id = transactional_id(job.job_id, job.incarnation, *split_lane(lane))
        async with self._fences:
            while True:
                try:
                    await asyncio.to_thread(self._initialise, lane_id)
                    break
                except LogError as error:
                    log.warning("lane.fence_again", job=job.job_id, lane=lane, error=str(error))
                await asyncio.sleep(FENCE_RETRY_S)
        log.info("lane.fenced", job=job.job_id, lane=lane, epoch=self._journal.epoch)
        await self._inbox.put(LanesFenced((lane,)))

    def _initialise(self, lane_id: str) -> None:
        producer = self._lanes.producer(lane_id, TRANSACTION_TIMEOUT_S)
        try:
            producer.init(FENCE_TIMEOUT_S)
        finally:
            producer.close()


def _note(event: JobEvent, *, cause: str) -> None:
    """One line of the process log for each transition."""
    log.info(
        "job.status" if event.type == "STATUS" else "job.waiting",
        job=event.job_id,
        status=event.status,
        reason=event.reason,
        cause=cause,
        epoch=event.epoch,
    )
