"""The cluster of a trial: embedded, in a temporary directory, always stopped again.

The directory goes too, unless the trial says ``keep``: then it stays with the servers' and the tasks' output.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import psutil

from headrace.embedded.cluster import Addresses, EmbeddedCluster
from headrace.embedded.cluster_files import ServiceState
from headrace.embedded.services import KAFKA
from headrace.errors import UsageError
from streamctl.cluster import load_settings

WORKER_MODULE = "headrace.runtime.worker"
EXIT_TERMINATED = 143
KAFKA_POLL_S = 0.1


class TrialCluster:
    """One embedded cluster for one trial."""

    def __init__(self, name: str, slots: int, say: Callable[[str], None]) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix=f"headrace-{name}-"))
        self.kept = False
        self._cluster = EmbeddedCluster(
            self.directory, name=name, slots=slots, settings=load_settings(), progress=say
        )
        self.addresses: Addresses

    def start(self) -> Addresses:
        self.addresses = self._cluster.start()
        return self.addresses

    def await_kafka(self, starting: Future[Addresses]) -> str:
        """Wait, while ``start`` runs in another thread, until Kafka answers; its address.

        Raises what ``start`` raised.
        """
        while not starting.done():
            kafka = self._cluster.state.services.get(KAFKA)
            if kafka is not None and kafka.state is ServiceState.HEALTHY:
                return self._cluster.addresses.bootstrap
            wait([starting], timeout=KAFKA_POLL_S)
        return starting.result().bootstrap

    def keep(self) -> None:
        """Leave the directory behind: something went wrong that it can explain."""
        self.kept = True

    def workers(self) -> list[psutil.Process]:
        """The slot workers that run now."""
        taskmanager = self._cluster.pids.get("taskmanager")
        if taskmanager is None:
            return []
        try:
            children = psutil.Process(taskmanager).children(recursive=True)
        except psutil.NoSuchProcess:
            return []
        return [child for child in children if is_worker(child)]

    def broker(self) -> psutil.Process:
        return psutil.Process(self._cluster.pids["kafka"])

    def processes(self) -> dict[str, list[psutil.Process]]:
        """Services and supervisor by name, each with those below it that have no name: a TaskManager's workers."""
        named = self._cluster.pids
        return {
            name: [
                process,
                *(
                    child
                    for child in process.children(recursive=name != "supervisor")
                    if child.pid not in named.values()
                ),
            ]
            for name, process in ((name, psutil.Process(pid)) for name, pid in named.items())
        }

    def stop(self) -> None:
        self._cluster.stop()
        if not self.kept:
            shutil.rmtree(self.directory, ignore_errors=True)


@contextmanager
def trial_cluster(name: str, *, slots: int, say: Callable[[str], None]) -> Iterator[TrialCluster]:
    """A cluster that is stopped however the trial ends, by SIGTERM too; ``start`` it inside."""
    before = signal.signal(signal.SIGTERM, _terminate)
    cluster = TrialCluster(name, slots, say)
    try:
        yield cluster
    finally:
        cluster.stop()
        signal.signal(signal.SIGTERM, before)


def is_worker(process: psutil.Process) -> bool:
    """Whether a process is a slot worker."""
    try:
        return WORKER_MODULE in process.cmdline()
    except psutil.NoSuchProcess:
        return False


def kill_worker(pid: int) -> bool:
    """SIGKILL a slot worker; False when no slot worker has that pid (any more)."""
    try:
        process = psutil.Process(pid)
    except psutil.NoSuchProcess:
        return False
    if not is_worker(process):
        return False
    process.kill()
    return True


def example_file(name: str) -> Path:
    """A job of the examples/ folder of the checkout this package runs from."""
    path = Path(__file__).resolve().parents[3] / "examples" / name
    if not path.is_file():
        raise UsageError(
            "demo-example-missing",
            f"{path} is missing: demo and measurements run in a checkout",
            hint="run ./dev demo or ./dev bench in the repository",
        )
    return path


def load_average() -> float:
    """Processes that wanted to run, on average over the last minute."""
    return round(os.getloadavg()[0], 2)


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(EXIT_TERMINATED)
