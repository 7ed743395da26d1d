"""JobMasterRunner: keeps one JobMaster of a job running while this Dispatcher may act for it.

A JobMaster is made anew after every failure, with a growing pause; commands it did not answer go to the next
one. Stopping the runner stops commanding; the job runs on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

import structlog

from headrace.clock import monotonic_s
from headrace.jobmaster.service import DeposedError
from headrace.protocol.control import CommandDone, JobResult
from headrace.protocol.submission import Cancel

log = structlog.get_logger(__name__)

RESTART_S_MIN = 0.5
RESTART_S_MAX = 10.0
#: A JobMaster that ran this long was well: the next failure is the first again.
STABLE_S = 60.0
#: After another JobMaster's claim: its Dispatcher has this long to show that it owns the job.
DEPOSED_S = 5.0


class Commander(Protocol):
    """What a runner needs of a JobMaster."""

    async def run(self) -> JobResult: ...

    async def command(self, command: Cancel) -> CommandDone: ...


class JobMasterRunner:
    """One job. ``on_end`` is called once, when a JobMaster has brought the job to its end."""

    def __init__(self, job_id: str, make: Callable[[], Commander], on_end: Callable[[], None]) -> None:
        self._job_id = job_id
        self._make = make
        self._on_end = on_end
        self._master: Commander | None = None
        self._commands: dict[str, Cancel] = {}
        self._asking: dict[str, asyncio.Task[CommandDone]] = {}
        self._task = asyncio.create_task(self._run(), name=f"jobmaster-{job_id}")

    def hand(self, command: Cancel) -> None:
        """Have the command carried out; the JobMaster tells its outcome."""
        self._commands[command.request_id] = command
        self._ask()

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _run(self) -> None:
        pause_s = RESTART_S_MIN
        while True:
            started_s = monotonic_s()
            error = await self._run_once()
            if error is None:
                self._on_end()
                return
            if isinstance(error, DeposedError):
                await asyncio.sleep(DEPOSED_S)
                continue
            if monotonic_s() - started_s > STABLE_S:
                pause_s = RESTART_S_MIN
            log.error("jobmaster.failed", job=self._job_id, again_in_s=pause_s, exc_info=error)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, RESTART_S_MAX)

    async def _run_once(self) -> BaseException | None:
        """One JobMaster from claim to end: None when the job has ended, else what stopped it."""
        self._master = self._make()
        running = asyncio.create_task(self._master.run(), name=f"jobmaster-run-{self._job_id}")
        self._ask()
        try:
            await asyncio.wait([running])
        finally:
            self._master = None
            running.cancel()
            asking, self._asking = self._asking, {}
            for task in asking.values():
                task.cancel()
            await asyncio.wait([running, *asking.values()])
        if running.cancelled():
            return RuntimeError("the JobMaster cancelled itself")
        return running.exception()

    def _ask(self) -> None:
        if self._master is None:
            return
        for request_id, command in self._commands.items():
            if request_id not in self._asking:
                asking = asyncio.create_task(self._master.command(command))
                self._asking[request_id] = asking
                asking.add_done_callback(lambda task, request_id=request_id: self._asked(request_id, task))  # type: ignore[misc]

    def _asked(self, request_id: str, asking: asyncio.Task[CommandDone]) -> None:
        if not asking.cancelled() and asking.exception() is None:
            self._commands.pop(request_id, None)
