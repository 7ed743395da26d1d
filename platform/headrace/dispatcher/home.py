"""One home partition in one Dispatcher: reads its log, seeks its lease, carries out what the core wants.

    job log ──replay, tail──► core ──effects──► queue ──► one after the other: log, registry, JobMasters
    store   ──lease─────────►
    clock   ──retention─────►

Reading never waits for the lease, so that a take-over needs no replay. When the lease ends, effects that wait
are dropped and JobMasters stopped; whoever acts next draws them anew from the log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from headrace.clock import monotonic_s, now_ms
from headrace.dispatcher.answers import Answers
from headrace.dispatcher.code import upload
from headrace.dispatcher.core import HomePartition, Phase
from headrace.dispatcher.events import (
    Accept,
    Acknowledge,
    AnswerAgain,
    Conclude,
    Effect,
    Event,
    Gained,
    Hand,
    Leased,
    Lost,
    MasterEnded,
    Refuse,
    Reject,
    Removed,
    Replayed,
    Retire,
    StartMaster,
    StopMaster,
    SubmissionRead,
    Tick,
    Unleased,
)
from headrace.dispatcher.lease import Lease
from headrace.dispatcher.records import StrangeRecordError, read_record
from headrace.dispatcher.runner import Commander, JobMasterRunner
from headrace.dispatcher.views import Views
from headrace.jobmaster.job_topics import delete_job_topics
from headrace.log.control import ControlLog, ControlRecord
from headrace.log.insist import insist
from headrace.protocol.control import Accepted
from headrace.protocol.job_log import JobLogKey, Kind, accepted_key, submission_key
from headrace.protocol.states import JobStatus
from headrace.protocol.submission import InlineCode, Submit, UploadedCode
from headrace.protocol.topics import Topics
from headrace.store.port import Store, StoreUnavailableError

log = structlog.get_logger(__name__)

#: Records per read while the log is replayed.
REPLAY_SLICE = 500
#: The lease is renewed this often; it lasts 3 s, and a holder fences itself after 2.4 s.
RENEW_S = 0.5
TICK_S_MAX = 30.0
COMPACTED_S = 0.2
#: Effects that wait; beyond, no record is read.
EFFECTS_MAX = 1000
STOP_S = 3.0


@dataclass(frozen=True)
class HomeContext:
    """What every home partition of a Dispatcher shares."""

    log: ControlLog
    store: Store
    topics: Topics
    answers: Answers
    views: Views
    dispatcher: str
    retention_ms: int
    make_master: Callable[[Submit, UploadedCode | None, int], Commander]


class Home:
    """Run ``run`` as long as the partition is owned; cancelling it gives everything up."""

    def __init__(self, partition: int, context: HomeContext) -> None:
        self.partition = partition
        self._c = context
        self._core = HomePartition(partition, context.retention_ms)
        self._bare: dict[JobLogKey, bytes] = {}  #: submissions without inline code, by key
        self._lease = Lease()
        self._fence: asyncio.TimerHandle | None = None
        self._effects: asyncio.Queue[Effect] = asyncio.Queue()
        self._current: asyncio.Task[None] | None = None  #: the effect being carried out
        self._runners: dict[str, JobMasterRunner] = {}
        self._stopping: set[asyncio.Task[None]] = set()

    @property
    def phase(self) -> Phase:
        return self._core.phase

    @property
    def masters(self) -> int:
        """JobMasters running here."""
        return len(self._runners)

    async def run(self) -> None:
        """Gain the partition, act whenever the lease allows, until cancelled."""
        self._handle(Gained())
        try:
            end = await self._replay()
            self._handle(Replayed())
            async with asyncio.TaskGroup() as group:
                group.create_task(self._tail(end))
                group.create_task(self._seek_lease())
                group.create_task(self._tick())
                group.create_task(self._execute())
        finally:
            await self._leave()

    async def rebuild_views(self) -> None:
        """Write everything that the registry shows of this partition again."""
        if self.phase is not Phase.ACTING:
            return
        for job_id, job in list(self._core.jobs.items()):
            submit = self._submit(job_id)
            if job.result is not None:
                await self._c.views.conclude(submit, self._submitted_ms(job_id), job.result)
            elif submit is not None:
                await self._c.views.show(submit, self._submitted_ms(job_id), JobStatus.RECONCILING)

    # ---- reading

    async def _replay(self) -> int:
        """Read all that stands in the log; the offset to go on from."""
        topic, started_s = self._c.topics.job_log, monotonic_s()
        end = await insist(lambda: self._c.log.end_offset(topic, self.partition))
        for start in range(0, end, REPLAY_SLICE):
            stop = min(start + REPLAY_SLICE, end)
            for record in await insist(lambda a=start, b=stop: self._c.log.read(topic, self.partition, a, b)):  # type: ignore[misc]
                self._take(record)
        log.info(
            "home.replayed",
            partition=self.partition,
            end=end,
            jobs=len(self._core.jobs),
            seconds=round(monotonic_s() - started_s, 3),
        )
        return end

    async def _tail(self, start: int) -> None:
        async for record in self._c.log.tail(self._c.topics.job_log, self.partition, start):
            self._take(record)
            if self._effects.qsize() >= EFFECTS_MAX:
                await self._effects.join()

    def _take(self, record: ControlRecord) -> None:
        try:
            read = read_record(record)
        except StrangeRecordError as error:
            log.warning("job_log.strange_record", partition=self.partition, offset=record.offset, error=str(error))
            return
        match read.event:
            case SubmissionRead(key=key) if read.bare is not None:
                self._bare[key] = read.bare
            case Removed(key=key):
                self._bare.pop(key, None)
        self._handle(read.event)

    async def _tick(self) -> None:
        pause_s = min(TICK_S_MAX, self._c.retention_ms / 10_000)
        while True:
            await asyncio.sleep(pause_s)
            self._handle(Tick())

    # ---- who may act

    async def _seek_lease(self) -> None:
        name = self._c.store.keys.home(self.partition)
        while True:
            asked_s = monotonic_s()
            try:
                held = await self._c.store.acquire(name, self._c.dispatcher)
                self._apply(self._lease.granted(asked_s) if held else self._lease.denied())
            except StoreUnavailableError:
                self._apply(self._lease.silent(asked_s, monotonic_s()))
            await asyncio.sleep(RENEW_S)

    def _apply(self, lease: Lease) -> None:
        before, self._lease = self._lease, lease
        if self._fence is not None:
            self._fence.cancel()
            self._fence = None
        if lease.fence_s and lease.may_act:  # a timer, because the call that renews may hang
            loop = asyncio.get_running_loop()
            self._fence = loop.call_at(lease.fence_s, lambda: self._apply(self._lease.at(monotonic_s())))
        if before.may_act != lease.may_act:
            log.info("home.lease", partition=self.partition, standing=lease.standing.value)
            self._handle(Leased() if lease.may_act else Unleased())

    async def _leave(self) -> None:
        if self._fence is not None:
            self._fence.cancel()
        self._handle(Lost())
        if self._stopping:
            await asyncio.wait(self._stopping, timeout=STOP_S)
        try:
            await self._c.store.release(self._c.store.keys.home(self.partition), self._c.dispatcher)
        except StoreUnavailableError:
            log.debug("home.lease_left", partition=self.partition)

    # ---- the core

    def _handle(self, event: Event) -> None:
        before = self.phase
        effects = self._core.handle(event, now_ms())
        if before is Phase.ACTING and self.phase is not Phase.ACTING:
            self._drop_effects()
        for effect in effects:
            if isinstance(effect, StopMaster):
                self._stop_master(effect.job_id)
            else:
                self._effects.put_nowait(effect)

    def _drop_effects(self) -> None:
        if self._current is not None:
            self._current.cancel()
        while not self._effects.empty():
            self._effects.get_nowait()
            self._effects.task_done()

    def _stop_master(self, job_id: str) -> None:
        runner = self._runners.pop(job_id, None)
        if runner is not None:
            stopping = asyncio.create_task(runner.stop())
            self._stopping.add(stopping)
            stopping.add_done_callback(self._stopping.discard)

    # ---- effects

    async def _execute(self) -> None:
        while True:
            effect = await self._effects.get()
            self._current = asyncio.create_task(self._carry_out(effect))
            try:
                await asyncio.wait([self._current])
            finally:
                self._effects.task_done()
                self._current.cancel()
            if not self._current.cancelled():  # it was, when the lease ended
                self._current.result()

    async def _carry_out(self, effect: Effect) -> None:
        match effect:
            case Accept():
                await self._accept(effect)
            case Acknowledge():
                await self._c.answers.acknowledge(effect.job_id, effect.request_id)
            case Reject():
                await self._reject(effect)
            case StartMaster():
                await self._start_master(effect)
            case Hand():
                if effect.job_id in self._runners:
                    self._runners[effect.job_id].hand(effect.command)
            case AnswerAgain():
                await self._c.answers.say_outcome(effect.job_id, effect.done)
            case Refuse():
                await self._c.answers.refuse(effect.job_id, effect.request_id, effect.result)
            case Conclude():
                await self._conclude(effect)
            case Retire():
                await self._retire(effect)
            case StopMaster():
                raise AssertionError("carried out at once")

    async def _accept(self, effect: Accept) -> None:
        code = await self._upload(effect)
        accepted = Accepted(job_id=effect.job_id, content_sha256=effect.content, code=code, at_ms=now_ms())
        await self._append(self._c.topics.job_log, accepted_key(effect.job_id), accepted.model_dump_json().encode())
        log.info("job.accepted", job=effect.job_id, content=effect.content[:12])

    async def _upload(self, effect: Accept) -> UploadedCode | None:
        """Where the code is, after moving it there if it came inline."""
        topic = self._c.topics.job_log
        while True:
            offset = self._core.jobs[effect.job_id].submissions[effect.content].offset
            records = await insist(lambda o=offset: self._c.log.read(topic, self.partition, o, o + 1))  # type: ignore[misc]
            if records and records[0].value is not None:
                break
            await asyncio.sleep(COMPACTED_S)  # the same submission came again and replaced this record
        code = Submit.model_validate_json(records[0].value).code
        return await upload(self._c.log, self._c.topics, code) if isinstance(code, InlineCode) else code

    async def _reject(self, effect: Reject) -> None:
        reason = f"job {effect.job_id} exists with other content; a job id is used once"
        await self._c.answers.reject(effect.job_id, effect.request_id, "job-id-taken", reason)
        await self._append(self._c.topics.job_log, submission_key(effect.job_id, effect.content), None)

    async def _start_master(self, effect: StartMaster) -> None:
        submit, accepted = self._submit(effect.job_id), effect.accepted
        if submit is None:
            return
        if self._stopping:  # a JobMaster of this job may be among them
            await asyncio.wait(self._stopping, timeout=STOP_S)
        await self._c.views.show(submit, accepted.at_ms, JobStatus.INITIALIZING)
        self._runners[effect.job_id] = JobMasterRunner(
            effect.job_id,
            lambda: self._c.make_master(submit, accepted.code, accepted.at_ms),
            lambda: self._master_ended(effect.job_id),
        )

    def _master_ended(self, job_id: str) -> None:
        self._runners.pop(job_id, None)
        self._handle(MasterEnded(job_id))

    async def _conclude(self, effect: Conclude) -> None:
        submit = self._submit(effect.job_id)
        await self._c.views.conclude(submit, self._submitted_ms(effect.job_id), effect.result)
        if effect.sweep and submit is not None:
            await self._delete_topics(submit)

    async def _retire(self, effect: Retire) -> None:
        """Topics, plans, then the job log's keys in their order: what is left after a crash is enough to go on."""
        submit = self._submit(effect.job_id)
        if submit is not None:
            await self._delete_topics(submit)
        plans = self._c.topics.plans
        end = await insist(lambda: self._c.log.end_offset(plans, self.partition))
        keys = {r.key: r.value for r in await insist(lambda: self._c.log.read(plans, self.partition, 0, end))}
        for key, value in keys.items():
            if key.startswith(f"{effect.job_id}/") and value is not None:
                await self._append(plans, key, None)
        await self._c.views.forget(effect.job_id)
        for job_key in effect.keys:
            await self._append(self._c.topics.job_log, str(job_key), None)
        log.info("job.retired", job=effect.job_id)

    async def _delete_topics(self, submit: Submit) -> None:
        c = self._c
        await insist(lambda: delete_job_topics(c.log, c.topics, submit.graph, submit.job_id, incarnation=1))

    async def _append(self, topic: str, key: str, value: bytes | None) -> None:
        await insist(lambda: self._c.log.append(topic, self.partition, key, value))

    def _submit(self, job_id: str) -> Submit | None:
        """The accepted submission, its code where it was moved to."""
        job = self._core.jobs.get(job_id)
        if job is None or job.accepted is None:
            return None
        bare = self._bare.get(JobLogKey(job_id, Kind.SUBMISSION, job.accepted.content_sha256))
        if bare is None:
            return None
        return Submit.model_validate_json(bare).model_copy(update={"code": job.accepted.code})

    def _submitted_ms(self, job_id: str) -> int:
        job = self._core.jobs.get(job_id)
        return job.accepted.at_ms if job is not None and job.accepted is not None else 0
