"""The TaskManager: feeds the core with what happens and carries out what it wants.

    plans ──────┐                  ┌─► workers: start, kill, commands
    workers ────┼─► core.step ─────┼─► task events
    time ───────┘                  └─► code packages, plans read again

Everything is driven from one event loop; a step is synchronous, and nothing in it waits.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import signal
import sys
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, assert_never

import structlog
from pydantic import ValidationError

from headrace.clock import monotonic_s
from headrace.errors import UsageError
from headrace.log.control import ControlLog
from headrace.log.control_kafka import ControlKafka
from headrace.log.insist import insist
from headrace.protocol.control import LaneMetrics
from headrace.protocol.submission import UploadedCode
from headrace.protocol.topics import Topics, home_partition
from headrace.protocol.worker_pipe import Heartbeat as WorkerHeartbeat
from headrace.protocol.worker_pipe import Metrics, Up
from headrace.settings import Settings
from headrace.store.port import Store
from headrace.store.redis_store import RedisStore
from headrace.taskmanager.code_cache import CodeCache, CodeMissingError
from headrace.taskmanager.core import IllegalEventError, step
from headrace.taskmanager.draft import Draft
from headrace.taskmanager.environments import Environments, NotPreparedError
from headrace.taskmanager.event_outbox import EventOutbox, TaskEventMessage
from headrace.taskmanager.heartbeat import Heartbeat
from headrace.taskmanager.identity import Identity, held_identity
from headrace.taskmanager.kept_folders import TOUCH_S
from headrace.taskmanager.model import (
    CatchUp,
    CaughtUp,
    CodeDelayed,
    CodeMissing,
    CodeReady,
    Effect,
    EnvironmentDelayed,
    EnvironmentFailed,
    EnvironmentReady,
    Event,
    FetchCode,
    KillWorker,
    LaneCommitted,
    Leave,
    PlansReread,
    PrepareEnvironment,
    Report,
    RereadPlans,
    Send,
    StartWorker,
    TaskManagerState,
    Tick,
    WorkerBeat,
    WorkerExited,
    WorkerSaid,
)
from headrace.taskmanager.output_shipping import OutputShipping
from headrace.taskmanager.plan_reader import PlanReader
from headrace.taskmanager.worker_pool import WorkerPool
from headrace.taskmanager.worker_process import kill_leftovers
from headrace.telemetry import process_log

log = structlog.get_logger(__name__)

TICK_S = 0.2
#: The control topics are looked for this often until the Dispatcher has made them.
TOPICS_POLL_S = 0.5
#: A code package that cannot be written is tried again after this.
CODE_RETRY_S = 5.0
#: Last task events have this long to reach the log at the end.
FLUSH_S = 2.0


def run_taskmanager(settings: Settings, *, spare: bool = True) -> None:
    """Run a TaskManager in this process until SIGTERM or SIGINT.

    Waits for Kafka, rides out an absent Redis. ``spare``: keep one idle worker process ready, which halves the
    time to replace a dead one. Raises UsageError for what the user must change.
    """
    if settings.bootstrap is None or settings.redis is None:
        missing = "Kafka's address" if settings.bootstrap is None else "Redis's URL"
        raise UsageError(
            "no-cluster",
            f"a TaskManager needs {missing}",
            hint="--bootstrap and --redis, or HEADRACE_BOOTSTRAP and HEADRACE_REDIS",
        )
    process_log.configure()
    with held_identity(settings.state_dir, settings.taskmanager_id) as identity:
        asyncio.run(_serve(settings, settings.bootstrap, settings.redis, identity, spare))


async def _serve(settings: Settings, bootstrap: str, redis: str, identity: Identity, spare: bool) -> None:
    control = ControlKafka(bootstrap, settings.kafka)
    store = RedisStore(redis, settings.namespace)
    taskmanager = TaskManager(
        identity,
        settings.slots,
        log=control,
        store=store,
        topics=Topics(settings.namespace),
        cache_dir=settings.cache_dir,
        workers=WorkerStart(worker_environment(settings, bootstrap), spare=spare),
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, taskmanager.leave)
    try:
        await taskmanager.run()
    finally:
        await store.close()
        await control.close()


def worker_environment(settings: Settings, bootstrap: str) -> dict[str, str]:
    """The environment of slot workers: this process's own, and where the cluster is."""
    environment = {
        **os.environ,
        "HEADRACE_BOOTSTRAP": bootstrap,
        "HEADRACE_NAMESPACE": settings.namespace,
        "HEADRACE_KAFKA": json.dumps(settings.kafka),
        "PYTHONUNBUFFERED": "1",
    }
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # else every start compiles everything again
    return environment


@dataclass(frozen=True)
class WorkerStart:
    """How slot workers are started."""

    environment: dict[str, str]
    command: Sequence[str] = field(default=(sys.executable, "-P", "-m", "headrace.runtime.worker"))
    spare: bool = True


class TaskManager:
    """One instance of a TaskManager. ``run`` it once."""

    def __init__(
        self,
        identity: Identity,
        slots: int,
        *,
        log: ControlLog,
        store: Store,
        topics: Topics,
        cache_dir: Path,
        workers: WorkerStart,
    ) -> None:
        self._identity = identity
        self._state = TaskManagerState(identity.id, identity.instance, slots, python=platform.python_version())
        self._log = log
        self._topics = topics
        self._code = CodeCache(log, topics.artifacts, cache_dir / "code")
        self._environments = Environments(log, topics.artifacts, cache_dir)
        self._heartbeat = Heartbeat(store, identity, lambda: self._state, self.worker_pids)
        self._pool = WorkerPool(
            identity.directory / "workers",
            workers.command,
            workers.environment,
            heard=self._heard,
            adopted=self._worker_adopted,
            ended=self._worker_ended,
            spare=workers.spare,
        )
        self._proven: set[tuple[int, str, str]] = set()  #: worker, lane, attempt whose first commit was told
        self._errands: set[asyncio.Task[None]] = set()  #: what the core asked for and has not got yet
        self._left = asyncio.Event()
        self._leaving = asyncio.Event()
        self._taken: UsageError | None = None  #: the id was taken over while this instance ran
        # set by ``run``, before anything uses them
        self._tasks: asyncio.TaskGroup
        self._count: int
        self._outbox: EventOutbox
        self._shipping: OutputShipping
        self._plans: PlanReader

    @property
    def state(self) -> TaskManagerState:
        """What is known now; for tests."""
        return self._state

    def worker_pids(self) -> dict[int, int]:
        """Process ids of slot workers by serial."""
        return self._pool.pids()

    def leave(self) -> None:
        """Stop all workers, then return from ``run``. May be called from a signal handler of the loop."""
        self._leaving.set()

    async def run(self) -> None:
        """Until ``leave`` was called and every worker has ended.

        Raises UsageError (taskmanager-id-taken) when another instance of this id lives, also later.
        """
        kill_leftovers(self._identity.directory / "workers")
        partitions = await self._unless_leaving(self._prepare())
        if partitions is None:
            return
        self._count = partitions
        self._outbox = EventOutbox(self._log, self._topics.task_events, partitions, self._reports)
        self._shipping = OutputShipping(self._log, self._topics.logs, partitions, self._identity.id)
        self._plans = PlanReader(self._log, self._topics.plans, partitions, self._tell)
        log.info("taskmanager.started", id=self._identity.id, slots=self._state.slots, pid=os.getpid())
        async with asyncio.TaskGroup() as self._tasks:
            running = [
                self._tasks.create_task(work)
                for work in (
                    self._beat(),
                    self._pool.run(self._tasks),
                    self._outbox.run(),
                    self._shipping.run(),
                    self._follow_plans(),
                    self._tick(),
                    self._keep_environments(),
                )
            ]
            await self._leaving.wait()
            self._tell(Leave())
            await self._left.wait()
            await self._flush()
            for task in [*running, *self._errands]:
                task.cancel()
            self._pool.close()
        await self._heartbeat.goodbye()
        log.info("taskmanager.ended", id=self._identity.id)
        if self._taken is not None:
            raise self._taken

    async def _prepare(self) -> int:
        """Partition count of the control topics, once the Dispatcher has made them and the id is ours."""
        partitions = await self._partitions()
        await self._heartbeat.take_id()
        return partitions

    async def _unless_leaving(self, work: Coroutine[Any, Any, int]) -> int | None:
        """The result of ``work``, None when ``leave`` was called first."""
        task, leaving = asyncio.create_task(work), asyncio.create_task(self._leaving.wait())
        try:
            await asyncio.wait([task, leaving], return_when=asyncio.FIRST_COMPLETED)
            return task.result() if task.done() else None
        finally:
            task.cancel()
            leaving.cancel()

    async def _beat(self) -> None:
        try:
            await self._heartbeat.run()
        except UsageError as error:
            log.error("taskmanager.id_taken", id=self._identity.id, error=error.message)
            self._taken = error
            self.leave()

    async def _partitions(self) -> int:
        """Partition count of the control topics, once the Dispatcher has made them."""
        said = False
        while True:
            count = await insist(lambda: self._log.partitions(self._topics.plans))
            if count:
                return count
            if not said:
                log.info("taskmanager.waits", why=f"no Dispatcher has made {self._topics.plans} yet")
                said = True
            await asyncio.sleep(TOPICS_POLL_S)

    async def _follow_plans(self) -> None:
        await self._plans.catch_up()
        self._tell(CaughtUp())
        await self._plans.run()

    async def _tick(self) -> None:
        while True:
            self._tell(Tick())
            await asyncio.sleep(TICK_S)

    async def _flush(self) -> None:
        """The last words: output and task events."""
        try:
            async with asyncio.timeout(FLUSH_S):
                await self._shipping.ship()
                await self._outbox.empty.wait()
        except TimeoutError:
            log.warning("taskmanager.not_flushed")

    # ---- what happens

    def _tell(self, event: Event) -> None:
        self._state, effects = step(self._state, event, round(monotonic_s() * 1000))
        for effect in effects:
            self._carry_out(effect)
        if effects:
            self._heartbeat.changed.set()
        if self._state.leaving and not self._state.workers:
            self._left.set()

    def _heard(self, serial: int, message: Up) -> None:
        """A worker spoke. One that breaks the protocol is killed; its lanes start again in another."""
        try:
            if isinstance(message, WorkerHeartbeat | Metrics):
                self._tell(WorkerBeat(serial))
            else:
                self._tell(WorkerSaid(serial, message))
            if isinstance(message, Metrics):
                self._measured(serial, message)
        except (IllegalEventError, ValidationError, ValueError) as error:
            log.error("worker.nonsense", serial=serial, error=str(error))
            self._pool.kill(serial)

    def _measured(self, serial: int, message: Metrics) -> None:
        job_id = self._state.workers[serial].job
        for lane, raw in message.lanes.items():
            metrics = LaneMetrics.model_validate_json(raw)
            self._heartbeat.metrics(job_id, lane, metrics)
            known = (serial, lane, metrics.attempt)
            if metrics.progressed and known not in self._proven:
                self._proven.add(known)
                self._tell(LaneCommitted(*known))

    def _worker_adopted(self, serial: int, output: Path) -> None:
        self._shipping.follow(serial, output, self._state.workers[serial].job)

    def _worker_ended(self, serial: int, how: str, output: str) -> None:
        self._shipping.leave(serial)
        self._proven = {known for known in self._proven if known[0] != serial}
        self._tell(WorkerExited(serial, how, output))

    # ---- what is to be done

    def _carry_out(self, effect: Effect) -> None:
        match effect:
            case StartWorker():
                self._pool.start(effect.serial, effect.python)
            case Send():
                self._pool.send(effect.serial, effect.message)
            case KillWorker():
                log.warning("worker.kill", serial=effect.serial, reason=effect.reason)
                self._pool.kill(effect.serial)
            case Report():
                self._report(effect.event)
            case FetchCode():
                self._run(self._fetch(effect.code))
            case PrepareEnvironment():
                self._run(self._prepare_environment(effect.dependencies))
            case CatchUp():
                self._run(self._catch_up())
            case RereadPlans():
                self._run(self._reread(effect))
            case _:
                assert_never(effect)

    def _run(self, errand: Coroutine[Any, Any, None]) -> None:
        """Until it is done, or this TaskManager ends."""
        task = self._tasks.create_task(errand)
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)

    def _report(self, event: TaskEventMessage) -> None:
        log.info("lane.report", **_summary(event))
        self._outbox.put(event)

    def _reports(self) -> list[TaskEventMessage]:
        """Everything about every job."""
        draft = Draft(self._state, None, 0)
        for job_id in {lane.job for lane in self._state.lanes.values()}:
            desired = self._state.jobs.get(job_id)
            draft.report_all(job_id, desired.plan.epoch if desired else -1)
        return [effect.event for effect in draft.effects if isinstance(effect, Report)]

    async def _fetch(self, code: UploadedCode) -> None:
        while True:
            try:
                path = await self._code.path(code)
            except CodeMissingError as error:
                log.error("code.missing", sha256=code.sha256, error=str(error))
                self._tell(CodeMissing(code.sha256, str(error)))
                return
            except OSError as error:
                log.error("code.not_kept", sha256=code.sha256, error=str(error))
                self._tell(CodeDelayed(code.sha256, f"the code package cannot be kept here: {error}"))
                await asyncio.sleep(CODE_RETRY_S)
            else:
                self._tell(CodeReady(code.sha256, str(path)))
                return

    async def _prepare_environment(self, dependencies: UploadedCode) -> None:
        sha256 = dependencies.sha256

        def tell(how_far: str) -> None:
            self._tell(EnvironmentDelayed(sha256, how_far))

        while sha256 in self._state.environments:  # else its jobs are gone
            try:
                environment = await self._environments.prepare(dependencies, tell)
            except NotPreparedError as error:
                log.error("environment.failed", sha256=sha256, error=str(error))
                self._tell(EnvironmentFailed(sha256, str(error)))
                return
            except OSError as error:
                log.error("environment.not_kept", sha256=sha256, error=str(error))
                tell(f"files and requirements of the job cannot be kept here: {error}")
                await asyncio.sleep(CODE_RETRY_S)
            except Exception as error:  # noqa: BLE001 - one job's archive must not end the TaskManager of all others
                log.exception("environment.defect", sha256=sha256)
                self._tell(EnvironmentFailed(sha256, f"dependency-invalid: preparing them failed: {error!r}"))
                return
            else:
                self._tell(EnvironmentReady(sha256, environment))
                return

    async def _keep_environments(self) -> None:
        while True:
            await asyncio.sleep(TOUCH_S)
            await self._environments.in_use(self._state.environments)

    async def _catch_up(self) -> None:
        log.warning("taskmanager.slept", then="plans are read on before anything is started")
        await self._plans.catch_up()
        self._tell(CaughtUp())

    async def _reread(self, effect: RereadPlans) -> None:
        await self._plans.catch_up(home_partition(effect.job_id, self._count))
        self._tell(PlansReread(effect.serial, effect.job_id, effect.lane, effect.attempt))


def _summary(event: TaskEventMessage) -> dict[str, object]:
    """What the process log says of a report."""
    fields = event.model_dump(include={"job_id", "lane", "attempt", "state", "reason", "slot"}, mode="json")
    return {"type": event.type, **{name: value for name, value in fields.items() if value != ""}}
