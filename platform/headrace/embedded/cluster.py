"""An embedded cluster as its users see it: start it, ask where it is, stop it.

    with EmbeddedCluster(directory, slots=2) as cluster:
        cluster.addresses.bootstrap

``start`` returns when every server answers. The servers belong to a supervisor process, not to the caller: they
run on when the caller ends, and a second caller with the same directory finds them running.
"""

from __future__ import annotations

import re
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from filelock import FileLock, Timeout

from headrace.clock import monotonic_s
from headrace.embedded import aot
from headrace.embedded.cluster_files import (
    ClusterSpec,
    ClusterState,
    ServiceState,
    ServiceStatus,
    read_spec,
    read_state,
    write_spec,
    write_state,
)
from headrace.embedded.cluster_plan import ClusterOptions, Progress, find_software, plan_cluster
from headrace.embedded.disk import make_directory
from headrace.embedded.processes import find_all_marked, find_marked, log_end, start_detached, stop
from headrace.embedded.services import KAFKA, STOP_ORDER, services_of
from headrace.errors import HeadraceError, StillWaitingError, UnavailableError, UsageError
from headrace.settings import Settings, environment_of, load_settings

SUPERVISOR = "headrace.embedded.supervisor"
START_TIMEOUT_S = 180.0
SUPERVISOR_TIMEOUT_S = 40.0
LOCK_TIMEOUT_S = 60.0
POLL_INTERVAL_S = 0.05
#: A service that ended this often without ever becoming healthy makes ``start`` give up.
FAILURES_MAX = 3
#: Seconds between SIGTERM and SIGKILL.
STOP_WAIT_S = {KAFKA: 30.0}
STOP_WAIT_DEFAULT_S = 15.0
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")


@dataclass(frozen=True)
class Addresses:
    """Where a cluster listens. ``rest`` is a URL even when no Dispatcher runs there."""

    bootstrap: str
    redis: str
    rest: str
    namespace: str


class EmbeddedCluster:
    """Real Kafka and Redis, with or without Dispatcher and TaskManager, in one directory.

    Options that are None keep what the directory's cluster had before, else get a default: 4 slots and free
    ports. A port of 0 means: another free one. ``platform`` False: Kafka and Redis only.
    """

    def __init__(
        self,
        directory: Path,
        *,
        name: str = "default",
        slots: int | None = None,
        platform: bool = True,
        kafka_port: int | None = None,
        redis_port: int | None = None,
        rest_port: int | None = None,
        settings: Settings | None = None,
        progress: Progress | None = None,
    ) -> None:
        self._options = ClusterOptions(name, platform, slots, kafka_port, redis_port, rest_port)
        self.directory = directory.resolve()
        self._settings = settings or load_settings()
        self._say = progress or (lambda text: None)

    # ---- start

    def start(self, timeout_s: float = START_TIMEOUT_S) -> Addresses:
        """Make every server run and answer. Called again, or twice at once, it finds them running.

        Raises HeadraceError with the reason when a server cannot run; what this call started is then stopped
        again. Raises StillWaitingError after ``timeout_s``; the servers go on starting.
        """
        deadline = monotonic_s() + timeout_s
        started = self._ensure_supervisor()
        try:
            self._await_healthy(deadline)
        except StillWaitingError:
            raise
        except HeadraceError:
            if started:
                self.stop()
            raise
        return self.addresses

    def _ensure_supervisor(self) -> bool:
        """Start a supervisor unless one is at work; whether this call did."""
        if self._supervised():
            return False
        make_directory(self.directory)
        software = find_software(self._settings, self._say)
        with self._lock():
            if self._supervised():
                return False
            before = read_spec(self.directory)
            running = self._running_services(before)
            write_spec(
                plan_cluster(self.directory, self._options, software, self._settings, before=before, running=running)
            )
            child = start_detached(
                [sys.executable, "-P", "-m", SUPERVISOR, str(self.directory)],
                output=self.directory / "supervisor.out",
                directory=self.directory,
                mark=self._supervisor_mark,
                extra=environment_of(self._settings),
            )
            deadline = monotonic_s() + SUPERVISOR_TIMEOUT_S
            while not self._supervised():
                if child.poll() is not None or monotonic_s() > deadline:
                    raise self._supervisor_ended()
                time.sleep(POLL_INTERVAL_S)
        return True

    def _supervised(self) -> bool:
        """Whether a supervisor is at work, with the options asked for."""
        if not read_state(self.directory).supervisor.alive:
            return False
        self._options.require_fit(self.spec)
        return True

    def _running_services(self, before: ClusterSpec | None) -> set[str]:
        """Services whose process is alive, written down or not."""
        if before is None:
            return set()
        recorded = self.state.services
        return {
            name
            for name, service in services_of(before).items()
            if (name in recorded and recorded[name].alive) or service.find(self.directory) is not None
        }

    def _await_healthy(self, deadline: float) -> None:
        titles = {name: service.title for name, service in services_of(self.spec).items()}
        while True:
            state = read_state(self.directory)
            if state.healthy:
                return
            if not state.supervisor.alive:
                raise self._supervisor_ended()
            for status in state.services.values():
                _raise_if_hopeless(status)
            reasons = "; ".join(
                f"{titles.get(name, name)}: {status.reason or status.state.value.lower()}"
                for name, status in state.services.items()
                if status.state is not ServiceState.HEALTHY
            )
            self._say(f"starting ({reasons})")
            if monotonic_s() > deadline:
                raise StillWaitingError(
                    "cluster-not-ready",
                    f"not every server is ready yet: {reasons}",
                    hint="`streamctl status` shows how it goes on, `streamctl down` ends it",
                )
            time.sleep(POLL_INTERVAL_S)

    def _supervisor_ended(self) -> HeadraceError:
        output = self.directory / "supervisor.out"
        return UnavailableError(
            "supervisor-ended",
            f"the supervisor ended while the cluster started: {log_end(output, lines=2) or 'it was stopped'}",
            hint=f"its output is in {output}; running `streamctl up` again is safe",
        )

    # ---- stop

    def stop(self) -> list[str]:
        """End all processes of the cluster, in order; data and ports stay. The names of those that ran.

        Signals only processes whose pid and start time, or whose mark, are this cluster's. Safe when nothing
        runs, and when an earlier ``stop`` was interrupted.
        """
        if not self.directory.exists():
            return []
        with self._lock():
            state, spec = read_state(self.directory), read_spec(self.directory)
            stopped = []
            supervisor = state.supervisor.process if state.supervisor.alive else None
            supervisor = supervisor or find_marked(self._supervisor_mark, SUPERVISOR)
            if supervisor is not None:
                self._say("stopping the supervisor")
                stop(supervisor, wait_s=STOP_WAIT_DEFAULT_S)
                stopped.append("supervisor")
                state = read_state(self.directory)
            known = services_of(spec) if spec is not None else {}
            for name in STOP_ORDER:
                status = state.services.get(name)
                process = status.process if status is not None and status.alive else None
                if process is None and name in known:
                    process = known[name].find(self.directory)
                if process is not None:
                    self._say(f"stopping {known[name].title if name in known else name}")
                    stop(process, wait_s=STOP_WAIT_S.get(name, STOP_WAIT_DEFAULT_S))
                    stopped.append(name)
            self._end_leftovers()
            if state.services:
                write_state(self.directory, _all_stopped(state))
        if spec is not None and stopped:
            aot.train_in_background(spec)
        return stopped

    def _end_leftovers(self) -> None:
        """Children of the servers end by themselves when their parent is gone; see that they did."""
        deadline = monotonic_s() + STOP_WAIT_DEFAULT_S
        while (left := find_all_marked(self.directory)) and monotonic_s() < deadline:
            time.sleep(POLL_INTERVAL_S)
        for process in left:
            stop(process, wait_s=0.0)

    # ---- look

    @property
    def spec(self) -> ClusterSpec:
        """Raises UnavailableError ``no-cluster`` when the directory has never held a cluster."""
        spec = read_spec(self.directory)
        if spec is None:
            raise UnavailableError(
                "no-cluster", f"no cluster was ever started in {self.directory}", hint="run `streamctl up`"
            )
        return spec

    @property
    def addresses(self) -> Addresses:
        """Where it listens, whether it runs or not; fixed once it was started the first time."""
        return addresses_of(self.spec)

    @property
    def bootstrap(self) -> str:
        return self.spec.bootstrap

    @property
    def redis(self) -> str:
        return self.spec.redis

    @property
    def rest(self) -> str:
        return self.spec.rest

    @property
    def state(self) -> ClusterState:
        """What the supervisor last wrote down."""
        return read_state(self.directory)

    @property
    def pids(self) -> dict[str, int]:
        """Process ids of what runs now: supervisor, kafka, redis, dispatcher, taskmanager."""
        state = self.state
        everything = {"supervisor": state.supervisor, **state.services}
        return {name: each.pid for name, each in everything.items() if each.pid is not None and each.alive}

    @property
    def _supervisor_mark(self) -> str:
        return f"{self.directory}|supervisor"

    def _lock(self) -> FileLock:
        return _Lock(self.directory / "up.lock", timeout=LOCK_TIMEOUT_S)

    def __enter__(self) -> EmbeddedCluster:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()


class _Lock(FileLock):
    """Held for short decisions only, so a time-out is told as what it is."""

    def acquire(self, *args, **kwargs):  # type: ignore[no-untyped-def]
        try:
            return super().acquire(*args, **kwargs)
        except Timeout as error:
            raise UnavailableError(
                "cluster-busy",
                f"another `streamctl up` or `down` has held {self.lock_file} for {LOCK_TIMEOUT_S:.0f} s",
                hint="wait for it, or end it and run this again",
            ) from error


def cluster_directory(settings: Settings, name: str) -> Path:
    """Where the cluster of that name lives. Raises UsageError ``cluster-name``."""
    if not NAME.fullmatch(name):
        raise UsageError(
            "cluster-name", f"{name!r} is no name for a cluster", hint="use up to 40 of a-z, 0-9 and dashes"
        )
    return settings.state_dir / "clusters" / name


def find_running(settings: Settings, name: str = "default") -> Addresses | None:
    """Addresses of the local cluster of that name, or None when no process of it is alive."""
    directory = cluster_directory(settings, name)
    spec = read_spec(directory)
    if spec is None or not read_state(directory).running:
        return None
    return addresses_of(spec)


def addresses_of(spec: ClusterSpec) -> Addresses:
    return Addresses(spec.bootstrap, spec.redis, spec.rest, spec.namespace)


def _raise_if_hopeless(status: ServiceStatus) -> None:
    """An error that a retry cannot mend at once; a server that ended by itself gets a few tries."""
    error = status.error
    if error is None or (error.code == "service-ended" and status.failures < FAILURES_MAX):
        return
    raise HeadraceError(error.code, error.message, hint=error.hint)


def _all_stopped(state: ClusterState) -> ClusterState:
    stopped = ServiceStatus(state=ServiceState.STOPPED)
    return ClusterState(
        supervisor=stopped, services={name: stopped for name in state.services}, warnings=state.warnings
    )
