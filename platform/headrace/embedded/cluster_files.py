"""What is written down about an embedded cluster: two JSON files in its directory, each with one writer.

    cluster.json   ClusterSpec   by ``up``, before it starts the supervisor: what is to run
    state.json     ClusterState  by the supervisor: what runs, with pids and start times

Both are replaced in one rename, so a reader sees a whole file or the one before it.
"""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from headrace.embedded.processes import ProcessId, is_alive


class _Model(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)
    version: int = 1


class Ports(_Model):
    """All on 127.0.0.1. Kept for the life of the cluster's directory."""

    kafka: int
    controller: int
    redis: int
    rest: int


class ClusterSpec(_Model):
    """All that the supervisor needs to run a cluster, without looking for anything itself."""

    name: str
    directory: Path
    namespace: str
    platform: bool = Field(description="Dispatcher and TaskManager too; False: Kafka and Redis only")
    slots: int
    ports: Ports
    java: Path
    java_version: str
    jars: tuple[Path, ...]
    redis_server: Path
    cache_dir: Path
    aot_cache: Path | None

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.ports.kafka}"

    @property
    def redis(self) -> str:
        return f"redis://127.0.0.1:{self.ports.redis}/0"

    @property
    def rest(self) -> str:
        return f"http://127.0.0.1:{self.ports.rest}"


class ServiceState(StrEnum):
    """Where one server process stands."""

    WAITING = "WAITING"  #: for another server
    STARTING = "STARTING"  #: runs, does not answer yet
    HEALTHY = "HEALTHY"
    RESTARTING = "RESTARTING"  #: ended; started again after a pause
    STOPPED = "STOPPED"


class ServiceError(_Model):
    """Why a service ended, as a HeadraceError has it."""

    code: str
    message: str
    hint: str = ""


class ServiceStatus(_Model):
    """One server process as its supervisor last saw it."""

    state: ServiceState = ServiceState.WAITING
    pid: int | None = None
    started_s: float = 0.0
    reason: str = ""
    starts: int = 0
    failures: int = Field(0, description="ends in a row, the last time it was healthy not long enough to count")
    error: ServiceError | None = None

    @property
    def process(self) -> ProcessId | None:
        return None if self.pid is None else ProcessId(self.pid, self.started_s)

    @property
    def alive(self) -> bool:
        process = self.process
        return process is not None and is_alive(process)


class ClusterState(_Model):
    """What runs. ``services`` in starting order."""

    supervisor: ServiceStatus = ServiceStatus()
    services: dict[str, ServiceStatus] = Field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def healthy(self) -> bool:
        return bool(self.services) and all(each.state is ServiceState.HEALTHY for each in self.services.values())

    @property
    def running(self) -> bool:
        """Whether any process of the cluster is alive now."""
        return self.supervisor.alive or any(each.alive for each in self.services.values())


def spec_file(directory: Path) -> Path:
    return directory / "cluster.json"


def state_file(directory: Path) -> Path:
    return directory / "state.json"


def read_spec(directory: Path) -> ClusterSpec | None:
    """None when there is none, or one that this version cannot read."""
    return _read(spec_file(directory), ClusterSpec)


def read_state(directory: Path) -> ClusterState:
    """An empty state when nothing ever ran here."""
    return _read(state_file(directory), ClusterState) or ClusterState()


def write_spec(spec: ClusterSpec) -> None:
    _write(spec_file(spec.directory), spec)


def write_state(directory: Path, state: ClusterState) -> None:
    _write(state_file(directory), state)


M = TypeVar("M", bound=_Model)


def _read(path: Path, model: type[M]) -> M | None:
    try:
        return model.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def _write(path: Path, model: _Model) -> None:
    part = path.with_name(f"{path.name}.{os.getpid()}")
    part.write_text(model.model_dump_json(indent=1), encoding="utf-8")
    os.replace(part, path)
