"""The one small process that keeps an embedded cluster's servers running.

It starts what is not running, adopts what is, restarts what ends, and writes down what it sees. It may be killed
at any moment: the servers run on and the next supervisor adopts them. After every start of the broker, before
the broker counts as healthy, hanging transactions are looked for and ended; servers that need the broker are
started only then.

Run as ``python -m headrace.embedded.supervisor DIRECTORY``; ``streamctl up`` does.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections import deque
from pathlib import Path

import structlog
from filelock import FileLock, Timeout

from headrace.clock import monotonic_s
from headrace.embedded import aot
from headrace.embedded.broker_log import BrokerLog
from headrace.embedded.cluster_files import (
    ClusterSpec,
    ClusterState,
    ServiceError,
    ServiceState,
    ServiceStatus,
    read_spec,
    read_state,
    write_state,
)
from headrace.embedded.processes import ProcessId, file_size, identify, is_alive, start_detached, truncate_output
from headrace.embedded.restarts import Restarts
from headrace.embedded.services import KAFKA, Service, kafka_server, services_of
from headrace.errors import HeadraceError
from headrace.log.hanging_transactions import (
    HangingTransaction,
    RepairIncompleteError,
    Verdict,
    repair_hanging_transactions,
)

#: Between two probes of a service that starts, and two looks whether one that runs is still alive.
POLL_INTERVAL_S, ALIVE_INTERVAL_S = 0.05, 0.25
WATCH_INTERVAL_S = 1.0
REPAIR_TIMEOUT_S = 30.0
OUTPUT_BYTES_MAX = 20_000_000
WARNINGS_KEPT = 20
#: The cache for faster starts is made once everything has been healthy for this long.
TRAINING_DELAY_S = 15.0

log = structlog.get_logger("headrace.supervisor")


class Supervisor:
    """Keeps the services of one cluster running until its process is killed."""

    def __init__(self, spec: ClusterSpec) -> None:
        self._spec = spec
        self._units = {name: _Unit(service) for name, service in services_of(spec).items()}
        self._myself = identify(os.getpid())
        self._warnings: deque[str] = deque(read_state(spec.directory).warnings, maxlen=WARNINGS_KEPT)

    async def run(self) -> None:
        """Never returns."""
        recorded = read_state(self._spec.directory).services
        for name, unit in self._units.items():
            unit.adopt(recorded.get(name), self._spec.directory)
        self._publish()
        async with asyncio.TaskGroup() as tasks:
            for unit in self._units.values():
                tasks.create_task(self._keep(unit))
            tasks.create_task(self._watch())
            tasks.create_task(self._train())

    async def _keep(self, unit: _Unit) -> None:
        """The life of one service: start, wait until it is ready, wait until it ends, again."""
        restarts = Restarts()
        while True:
            if unit.process is None and not await self._start(unit):
                healthy_s = 0.0
            else:
                healthy_s = await self._accompany(unit)
            restarts, pause_s = restarts.ended(healthy_s)
            unit.move(ServiceState.RESTARTING, pid=None, failures=restarts.failures)
            self._publish()
            log.warning("service ended", service=unit.service.name, reason=unit.status.reason, pause_s=pause_s)
            await asyncio.sleep(pause_s)

    async def _start(self, unit: _Unit) -> bool:
        """Start the process once what it needs is healthy; False when it could not even be started."""
        service = unit.service
        for need in service.needs:
            if not self._units[need].healthy.is_set():
                unit.move(ServiceState.WAITING, reason=f"waits for {self._units[need].service.title}")
                self._publish()
            await self._units[need].healthy.wait()
        unit.move(ServiceState.STARTING, reason="its directory is being prepared")
        self._publish()
        try:
            await asyncio.to_thread(service.prepare)
            unit.start(self._spec.directory)
        except HeadraceError as error:
            unit.failed(error)
            return False
        except OSError as error:
            unit.failed(HeadraceError("service-start", f"{service.title} could not be started: {error}"))
            return False
        self._publish()
        log.info("service started", service=service.name, pid=unit.status.pid)
        return True

    async def _accompany(self, unit: _Unit) -> float:
        """From start to end of a process; how many seconds it was healthy."""
        if not await self._until_ready(unit):
            return 0.0
        since_s = monotonic_s()
        unit.move(ServiceState.HEALTHY, reason="", error=None)
        unit.healthy.set()
        self._publish()
        log.info("service healthy", service=unit.service.name, pid=unit.status.pid)
        while unit.alive():  # noqa: ASYNC110 - a process that is not our child can only be polled
            await asyncio.sleep(ALIVE_INTERVAL_S)
        unit.healthy.clear()
        unit.failed(unit.explain_end())
        return monotonic_s() - since_s

    async def _until_ready(self, unit: _Unit) -> bool:
        """Probe until ready; False when the process ended before. A slow server is never killed for it."""
        assert unit.status.pid is not None
        probe = unit.service.probe(unit.status.pid)
        while unit.alive():
            reason = await asyncio.to_thread(probe)
            if not reason and unit.service.name == KAFKA:
                reason = await self._repair()
            if not reason and unit.alive():
                return True
            if reason != unit.status.reason:
                unit.move(ServiceState.STARTING, reason=reason)
                self._publish()
            await asyncio.sleep(POLL_INTERVAL_S)
        unit.failed(unit.explain_end())
        return False

    async def _repair(self) -> str:
        """End hanging transactions; "" or why it must be tried again."""
        try:
            found = await asyncio.to_thread(
                repair_hanging_transactions, self._spec.bootstrap, timeout_s=REPAIR_TIMEOUT_S
            )
        except RepairIncompleteError as error:
            return f"the check for hanging transactions has no answer yet: {error}"
        for hanging in found:
            self._warn(_story(hanging))
        return ""

    async def _watch(self) -> None:
        """Alarms in the broker's log; outputs that grow too large."""
        broker_log = BrokerLog(kafka_server(self._spec).log_file)
        while True:
            for line in await asyncio.to_thread(broker_log.alarms):
                self._warn(f"Kafka skipped commit markers; restart it to have them written: {line}")
            for unit in self._units.values():
                truncate_output(unit.service.output, OUTPUT_BYTES_MAX)
            await asyncio.sleep(WATCH_INTERVAL_S)

    async def _train(self) -> None:
        """Have the cache for faster starts made, once the cluster has been of use."""
        for unit in self._units.values():
            await unit.healthy.wait()
        await asyncio.sleep(TRAINING_DELAY_S)
        aot.train_in_background(self._spec)

    def _warn(self, text: str) -> None:
        log.warning(text)
        if text not in self._warnings:
            self._warnings.append(text)
            self._publish()

    def _publish(self) -> None:
        state = ClusterState(
            supervisor=ServiceStatus(
                state=ServiceState.HEALTHY, pid=self._myself.pid, started_s=self._myself.started_s
            ),
            services={name: unit.status for name, unit in self._units.items()},
            warnings=tuple(self._warnings),
        )
        try:
            write_state(self._spec.directory, state)
        except OSError as error:  # a full disk must not end supervision; the next change is written again
            log.warning("state not written", error=str(error))


class _Unit:
    """One service with its process and what is known of it."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.status = ServiceStatus()
        self.process: ProcessId | None = None
        self.healthy = asyncio.Event()
        self._child: subprocess.Popen[bytes] | None = None
        self._log_sizes: dict[Path, int] = {}

    def move(self, state: ServiceState, **changes: object) -> None:
        self.status = self.status.model_copy(update={"state": state, **changes})

    def failed(self, error: HeadraceError) -> None:
        self.process = None
        self.move(
            ServiceState.RESTARTING,
            pid=None,
            reason=error.line(),
            error=ServiceError(code=error.code, message=error.message, hint=error.hint),
        )

    def adopt(self, recorded: ServiceStatus | None, cluster: Path) -> None:
        """Take over a process that an earlier supervisor started, whether it was written down or not."""
        if recorded is not None and recorded.alive:
            self.process = recorded.process
        else:
            self.process = self.service.find(cluster)
        if self.process is not None:
            starts = recorded.starts if recorded is not None else 1
            self.status = ServiceStatus(
                state=ServiceState.STARTING, pid=self.process.pid, started_s=self.process.started_s, starts=starts
            )
            self._note_log_sizes()
            log.info("service adopted", service=self.service.name, pid=self.process.pid)

    def start(self, cluster: Path) -> None:
        self._note_log_sizes()
        self._child = start_detached(
            self.service.command(),
            output=self.service.output,
            directory=self.service.directory,
            mark=self.service.mark(cluster),
            extra=self.service.environment,
        )
        self.process = identify(self._child.pid)  # it cannot have gone: its parent has not waited for it
        self.move(
            ServiceState.STARTING,
            pid=self.process.pid,
            started_s=self.process.started_s,
            starts=self.status.starts + 1,
            reason="just started",
        )

    def alive(self) -> bool:
        if self._child is not None:
            return self._child.poll() is None
        return self.process is not None and is_alive(self.process)

    def explain_end(self) -> HeadraceError:
        status = self._child.returncode if self._child is not None else None
        self._child = None
        return self.service.explain_end(status, self._log_sizes)

    def _note_log_sizes(self) -> None:
        self._log_sizes = {path: file_size(path) for path in self.service.logs}


def _story(hanging: HangingTransaction) -> str:
    """A found transaction in one line for the cluster's warnings."""
    where = f"{hanging.topic}/{hanging.partition} at offset {hanging.start_offset}"
    who = hanging.transactional_id or f"producer id {hanging.producer_id}"
    if hanging.written:
        return f"hanging transaction of {who} in {where} was ended with {hanging.verdict.name}"
    if hanging.verdict is Verdict.UNDECIDED:
        return f"hanging transaction of {who} in {where} was left alone: {hanging.reason}"
    return f"hanging transaction of {who} in {where} is still open: {hanging.reason}"


def main() -> None:
    """Supervise the cluster of the directory given, unless somebody does already."""
    directory = Path(sys.argv[1])
    spec = read_spec(directory)
    if spec is None:
        sys.exit(f"no cluster.json in {directory}")
    lock = FileLock(directory / "supervisor.lock")
    try:
        lock.acquire(timeout=0)  # held until this process dies
    except Timeout:
        sys.exit("another supervisor is at work")
    asyncio.run(Supervisor(spec).run())


if __name__ == "__main__":
    main()
