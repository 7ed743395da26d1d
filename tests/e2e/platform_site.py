"""A whole platform for fault tests: an embedded cluster, TaskManagers beside it, and ways to hurt any of them.

site.kill("dispatcher")                    SIGKILL; the supervisor starts it again
with site.frozen(pid, ...):                SIGSTOP, at the end SIGCONT
with site.taskmanager("other", slots=2):   a TaskManager that nobody restarts
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
from tests.e2e import platform_command
from tests.e2e.platform_command import Said
from tests.waiting import wait_until

from headrace.embedded import EmbeddedCluster
from headrace.embedded.services import platform_environment
from headrace.errors import HeadraceError
from headrace.protocol.control import JobRecord, TaskManagerRecord
from streamctl import rest
from streamctl.cluster import Cluster
from streamctl.trial.cluster import is_worker

HEALTHY_S = 90.0
TAIL_LINES = 12
TAIL_BYTES = 6_000
FILES_TOLD_MAX = 12
#: What must never stand in any process's output.
OUR_MISTAKE = re.compile(
    r"Traceback \(most recent call last\)|IllegalEventError|worker\.nonsense|how=SIG(?:ABRT|SEGV|BUS|ILL|FPE)"
)


class Site:
    """One platform. The embedded TaskManager is restarted by its supervisor; others are not."""

    def __init__(self, cluster: EmbeddedCluster, directory: Path) -> None:
        self.cluster = cluster
        self.directory = directory
        self.bootstrap = cluster.addresses.bootstrap
        self.redis_url = cluster.addresses.redis
        self.namespace = cluster.addresses.namespace
        self._rest = Cluster(self.namespace, self.bootstrap, cluster.addresses.rest)

    # ---- what runs

    def pid(self, service: str) -> int:
        """Of a service that runs now."""
        return self.cluster.pids[service]

    def workers(self, taskmanager: int | None = None) -> list[int]:
        """Worker processes of a TaskManager (else the embedded one), its spare too."""
        parent = self.pid("taskmanager") if taskmanager is None else taskmanager
        try:
            children = psutil.Process(parent).children(recursive=True)
        except psutil.NoSuchProcess:
            return []
        return [child.pid for child in children if is_worker(child)]

    def job(self, job_id: str) -> JobRecord | None:
        """The registry's view of a job; None while REST does not know it or does not answer."""
        try:
            return rest.job(self._rest, job_id).record
        except HeadraceError:
            return None

    def taskmanagers(self) -> list[TaskManagerRecord]:
        """Those with a liveness record; none while REST does not answer."""
        try:
            body = rest.get(self._rest.rest, "/api/v1/taskmanagers")
        except HeadraceError:
            return []
        return [TaskManagerRecord.model_validate(each) for each in body["taskmanagers"]]

    def free_slots(self) -> int:
        return sum(each.slots - len(each.occupied) for each in self.taskmanagers())

    def await_healthy(self) -> None:
        """Every service is healthy and every slot is free: nothing is left of the test before."""
        self.until(lambda: self.cluster.state.healthy, "every service is healthy", HEALTHY_S)
        slots = self.cluster.spec.slots
        self.until(lambda: self.free_slots() == slots, f"exactly {slots} slots are there and free", HEALTHY_S)

    def streamctl(self, *arguments: str, folder: Path | None = None) -> Said:
        """One run of the command against this platform."""
        variables = platform_command.environment(self.cluster.addresses, self.directory / "state")
        return platform_command.end(platform_command.start(arguments, folder or self.directory, variables))

    # ---- hurting it

    def kill(self, service: str) -> int:
        """SIGKILL a service; its pid."""
        pid = self.pid(service)
        os.kill(pid, signal.SIGKILL)
        return pid

    @contextlib.contextmanager
    def frozen(self, *pids: int) -> Iterator[None]:
        """SIGSTOP these processes for the time of the block; those that died meanwhile stay dead."""
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    @contextlib.contextmanager
    def taskmanager(self, name: str, *, slots: int) -> Iterator[subprocess.Popen[bytes]]:
        """Another TaskManager, ready to take lanes; stopped at the end of the block if it still runs."""
        environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("HEADRACE_")},
            **platform_environment(self.cluster.spec),
            "HEADRACE_STATE_DIR": str(self.directory),
        }
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        command = [sys.executable, "-P", "-m", "headrace.taskmanager", "--slots", str(slots), "--id", name]
        with (self.directory / f"{name}.out").open("ab") as output:
            process = subprocess.Popen(
                command, env=environment, stdout=output, stderr=output, cwd=self.directory, start_new_session=True
            )
        try:
            self.until(
                lambda: any(each.pid == process.pid for each in self.taskmanagers()), f"TaskManager {name} is there"
            )
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(20)
                finally:
                    process.kill()

    # ---- waiting and telling

    def until(self, there: Callable[[], object], what: str, deadline_s: float = 30.0) -> None:
        """Wait for a condition; fails with the story of the whole platform."""
        try:
            wait_until(there, deadline_s=deadline_s)
        except TimeoutError:
            raise AssertionError(f"not within {deadline_s:g} s: {what}\n{self.story()}") from None

    def story(self) -> str:
        """Services, jobs and the last lines of every process."""
        lines = ["--- services"]
        for name, status in self.cluster.state.services.items():
            lines.append(f"{name}: {status.state} pid {status.pid} starts {status.starts} {status.reason}")
        lines += [f"warning: {text}" for text in self.cluster.state.warnings]
        lines.append("--- TaskManagers")
        lines += [each.model_dump_json() for each in self.taskmanagers()]
        try:
            jobs = rest.jobs(self._rest)
        except HeadraceError as error:
            jobs = []
            lines.append(error.line())
        for job in jobs:
            if not job.status.ended:
                lines.append(f"--- job {job.job_id} {job.name}: {job.status} epoch {job.epoch} {job.reason}")
                lines += [
                    f"{name}: {lane.attempt} {lane.state} on {job.assignments.get(name)} {lane.reason}"
                    for name, lane in job.lanes.items()
                ]
                lines += self._metrics(job.job_id)
        for path in self._outputs()[:FILES_TOLD_MAX]:
            lines += [f"--- {path}", tail(path)]
        return "\n".join(lines)

    def _metrics(self, job_id: str) -> list[str]:
        try:
            return [f"{lane}: {each}" for lane, each in rest.job(self._rest, job_id).metrics.items()]
        except HeadraceError as error:
            return [error.line()]

    def _outputs(self) -> list[Path]:
        """Files that processes write what happens to, the newest first."""
        found = [
            path
            for root in (self.cluster.directory, self.directory)
            for pattern in ("*.out", "*.raw", "server.log")
            for path in root.rglob(pattern)
            if path.stat().st_size
        ]
        return sorted(set(found), key=lambda path: path.stat().st_mtime, reverse=True)

    def mistakes(self) -> list[str]:
        """Lines of the platform's own outputs that tell of a defect of ours."""
        found = []
        for path in self._outputs():
            if path.suffix == ".out" and path.parent.name != "workers":
                text = path.read_text(errors="replace")
                found += [f"{path}: {text[m.start() : m.start() + 2000]}" for m in OUR_MISTAKE.finditer(text)]
        return found


def tail(path: Path) -> str:
    """The last lines of a file."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL_BYTES))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-TAIL_LINES:])
    except FileNotFoundError:
        return "(gone)"


def gone(pid: int) -> bool:
    """Whether a process has ended; a zombie has."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def load() -> str:
    """For beside a measurement."""
    return f"load {os.getloadavg()[0]:.1f}"


def patience(limit_s: float) -> float:
    """A limit for a quiet machine, stretched by what others keep this one busy with.

    The platform under test alone makes a load of about two per core.
    """
    return limit_s * max(1.0, os.getloadavg()[0] / (2 * (os.cpu_count() or 1)))
