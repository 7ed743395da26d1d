"""The worker processes of one TaskManager, by serial, and one spare that waits for its first lane.

Starting Python and importing everything takes longer than restoring most lanes. The spare has done it: a worker
that died is replaced by a process that is ready. It costs the memory of one idle worker.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import structlog

from headrace.protocol.worker_pipe import Down, Up
from headrace.taskmanager.worker_process import WorkerProcess

log = structlog.get_logger(__name__)

#: A new spare is made this long after the last one was taken: the taken one needs the processor first.
SPARE_DELAY_S = 1.0
SPARE_DELAY_S_MAX = 60.0
#: Files of this many ended processes are kept, for whoever looks for the reason.
FILES_KEPT_MAX = 20
TRIM_S = 5.0

Adopted = Callable[[int, Path], None]
Heard = Callable[[int, Up], None]
Ended = Callable[[int, str, str], None]


class WorkerPool:
    """Starts, addresses and buries processes. All callbacks come from the event loop."""

    def __init__(
        self,
        directory: Path,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        adopted: Adopted,
        heard: Heard,
        ended: Ended,
        spare: bool = True,
    ) -> None:
        """``adopted(serial, output file)`` when a worker has its process, ``heard(serial, message)`` for all it
        says, ``ended(serial, how, last output)`` once, last.
        """
        self._directory = directory
        self._command = command
        self._environment = environment
        self._adopted = adopted
        self._heard = heard
        self._ended = ended
        self._number = 0
        self._running: dict[int, WorkerProcess] = {}  #: by serial
        self._serials: dict[int, int] = {}  #: by process number; a process without one is the spare
        self._early: dict[int, list[Down]] = {}  #: for workers whose process does not exist yet
        self._doomed: set[int] = set()  #: of these, those that are to be killed as soon as they do
        self._ended_last: list[WorkerProcess] = []
        self._spare: WorkerProcess | None = None
        self._spare_wanted = asyncio.Event()
        self._spare_delay_s = 0.0
        if spare:
            self._spare_wanted.set()
        self._keeps_spare = spare
        self._tasks: asyncio.TaskGroup

    def pids(self) -> dict[int, int]:
        return {serial: process.pid for serial, process in self._running.items()}

    def start(self, serial: int, python: str = "") -> None:
        """Have a process for ``serial``: the spare, or a new one. A failure to start comes as its end.

        With ``python`` it is a new one of that interpreter; the spare stays.
        """
        if python:
            self._early[serial] = []
            self._tasks.create_task(self._launch_for(serial, python))
            return
        spare, self._spare = self._spare, None
        self._spare_delay_s = SPARE_DELAY_S
        if self._keeps_spare:
            self._spare_wanted.set()
        if spare is not None:
            self._adopt(serial, spare)
        else:
            self._early[serial] = []
            self._tasks.create_task(self._launch_for(serial))

    def send(self, serial: int, message: Down) -> None:
        if serial in self._early:
            self._early[serial].append(message)
        elif serial in self._running:
            self._running[serial].send(message)

    def kill(self, serial: int) -> None:
        """SIGKILL. A process that does not exist yet is killed as soon as it does."""
        if serial in self._running:
            self._running[serial].kill()
        elif serial in self._early:
            self._doomed.add(serial)

    async def run(self, tasks: asyncio.TaskGroup) -> None:
        """Keep a spare and the files in bounds, until cancelled. ``tasks`` holds what outlives this call: the
        watch over each process.
        """
        self._tasks = tasks
        async with asyncio.TaskGroup() as group:
            group.create_task(self._trim())
            group.create_task(self._provide_spares())

    def close(self) -> None:
        """Kill whatever still runs, the spare too."""
        for process in [*self._running.values(), *([self._spare] if self._spare else [])]:
            process.kill()

    # ---- processes

    async def _launch(self, python: str = "") -> WorkerProcess:
        self._number += 1
        command = [python, *self._command[1:]] if python else self._command
        process = await WorkerProcess.launch(self._number, self._directory, command, self._environment)
        log.info("worker.started", pid=process.pid, number=process.number)
        self._tasks.create_task(self._watch(process))
        return process

    async def _launch_for(self, serial: int, python: str = "") -> None:
        try:
            process = await self._launch(python)
        except OSError as error:
            self._early.pop(serial)
            self._doomed.discard(serial)
            self._ended(serial, f"it could not be started: {error}", "")
            return
        self._adopt(serial, process)

    def _adopt(self, serial: int, process: WorkerProcess) -> None:
        process.hear = lambda message: self._heard(serial, message)
        self._running[serial] = process
        self._serials[process.number] = serial
        self._adopted(serial, process.output)
        for message in self._early.pop(serial, []):
            process.send(message)
        if serial in self._doomed:
            self._doomed.discard(serial)
            process.kill()

    async def _watch(self, process: WorkerProcess) -> None:
        """Wait for a process's end, whatever it is by then, and bury it."""
        how = await process.ended()
        serial = self._serials.pop(process.number, None)
        log.info("worker.ended", pid=process.pid, number=process.number, how=how, spare=serial is None)
        self._ended_last.append(process)
        if len(self._ended_last) > FILES_KEPT_MAX:
            for path in self._directory.glob(f"{self._ended_last.pop(0).number}.*"):
                path.unlink(missing_ok=True)
        if serial is not None:
            del self._running[serial]
            self._ended(serial, how, process.tail())
        elif self._spare is process:
            self._spare = None
            self._spare_delay_s = min(max(SPARE_DELAY_S, 2 * self._spare_delay_s), SPARE_DELAY_S_MAX)
            self._spare_wanted.set()

    async def _provide_spares(self) -> None:
        while True:
            await self._spare_wanted.wait()
            self._spare_wanted.clear()
            await asyncio.sleep(self._spare_delay_s)
            if self._spare is None:
                try:
                    self._spare = await self._launch()
                except OSError as error:
                    log.warning("worker.no_spare", error=str(error))

    async def _trim(self) -> None:
        while True:
            await asyncio.sleep(TRIM_S)
            for process in list(self._running.values()):
                process.trim_raw()
