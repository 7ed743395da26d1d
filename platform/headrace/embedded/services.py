"""The servers of an embedded cluster: how each is started, what it waits for, how it shows that it is ready."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from headrace.embedded import probes
from headrace.embedded.cluster_files import ClusterSpec
from headrace.embedded.java import Java
from headrace.embedded.kafka_server import KafkaServer
from headrace.embedded.probes import Probe
from headrace.embedded.processes import ProcessId, find_marked, log_end
from headrace.embedded.redis_server import RedisServer
from headrace.errors import HeadraceError

KAFKA, REDIS, DISPATCHER, TASKMANAGER = "kafka", "redis", "dispatcher", "taskmanager"
#: Of each control topic: one Dispatcher owns them all.
CONTROL_PARTITIONS = 4
#: The order in which they are stopped.
STOP_ORDER = (TASKMANAGER, DISPATCHER, KAFKA, REDIS)


@dataclass(frozen=True)
class Service:
    """One server. ``word`` is a part of its command line that none of its children has."""

    name: str
    title: str
    word: str
    directory: Path
    port: int | None
    output: Path
    prepare: Callable[[], None]
    command: Callable[[], list[str]]
    probe: Callable[[int], Probe]  # by the pid
    needs: tuple[str, ...] = ()
    logs: tuple[Path, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)

    def mark(self, cluster: Path) -> str:
        return f"{cluster}|{self.name}"

    def find(self, cluster: Path) -> ProcessId | None:
        """Its process, when one runs that nobody wrote down."""
        return find_marked(self.mark(cluster), self.word)

    def explain_end(self, status: int | None, log_sizes: dict[Path, int]) -> HeadraceError:
        """Why it ended, from its exit status and what it logged since ``log_sizes`` were taken."""
        text = " / ".join(filter(None, (log_end(path, log_sizes.get(path, 0)) for path in (*self.logs, self.output))))
        if "Address already in use" in text:
            return HeadraceError(
                "port-taken",
                f"a port of {self.title} was taken while it started (its own is {self.port})",
                hint="run `streamctl up` again, or choose another port",
            )
        if "No space left on device" in text:
            return HeadraceError(
                "disk-full", f"{self.title} found no space left in {self.directory}", hint="free some space"
            )
        how = (
            "ended" if status is None else f"was killed by signal {-status}" if status < 0 else f"ended with {status}"
        )
        return HeadraceError(
            "service-ended",
            f"{self.title} {how}" + (f": {text[-600:]}" if text else ""),
            hint=f"its output is in {self.output}",
        )


def services_of(spec: ClusterSpec) -> dict[str, Service]:
    """The services of a cluster by name, in starting order."""
    services = [_kafka(spec), _redis(spec)]
    if spec.platform:
        services += [_dispatcher(spec), _taskmanager(spec)]
    return {service.name: service for service in services}


def kafka_server(spec: ClusterSpec) -> KafkaServer:
    return KafkaServer(
        directory=spec.directory / KAFKA,
        port=spec.ports.kafka,
        controller_port=spec.ports.controller,
        java=Java(spec.java, spec.java_version),
        jars=spec.jars,
        aot_cache=spec.aot_cache,
        mark=f"{spec.directory}|{KAFKA}",
    )


def _kafka(spec: ClusterSpec) -> Service:
    server = kafka_server(spec)
    return Service(
        name=KAFKA,
        title="Kafka",
        word="kafka.Kafka",
        directory=server.directory,
        port=server.port,
        output=server.output_file,
        prepare=server.prepare,
        command=server.command,
        probe=lambda _pid: probes.kafka_probe(server.port),
        logs=(server.log_file,),
    )


def _redis(spec: ClusterSpec) -> Service:
    server = RedisServer(spec.directory / REDIS, spec.ports.redis, spec.redis_server)
    return Service(
        name=REDIS,
        title="Redis",
        word="redis-server",
        directory=server.directory,
        port=server.port,
        output=server.output_file,
        prepare=server.prepare,
        command=server.command,
        probe=lambda _pid: probes.redis_probe(server.url),
        logs=(server.log_file,),
    )


def _dispatcher(spec: ClusterSpec) -> Service:
    return _python_service(
        spec,
        DISPATCHER,
        "Dispatcher",
        spec.ports.rest,
        [],
        lambda _pid: probes.dispatcher_probe(spec.rest),
        needs=(REDIS,),  # it waits for Kafka itself: its start and the broker's take their time side by side
    )


def _taskmanager(spec: ClusterSpec) -> Service:
    return _python_service(
        spec,
        TASKMANAGER,
        "TaskManager",
        None,
        ["--slots", str(spec.slots)],
        lambda pid: probes.taskmanager_probe(spec.redis, spec.namespace, pid),
        needs=(KAFKA, REDIS),  # no lane before the broker's transactions were looked at
    )


def _python_service(
    spec: ClusterSpec,
    name: str,
    title: str,
    port: int | None,
    arguments: list[str],
    probe: Callable[[int], Probe],
    needs: tuple[str, ...],
) -> Service:
    directory = spec.directory / name
    module = f"headrace.{name}"
    return Service(
        name=name,
        title=title,
        word=module,
        directory=directory,
        port=port,
        output=directory / f"{name}.out",
        prepare=lambda: directory.mkdir(parents=True, exist_ok=True),
        # -P: a file in the working directory must not stand in for a module
        command=lambda: [sys.executable, "-P", "-m", module, *arguments],
        probe=probe,
        needs=needs,
        environment=platform_environment(spec),
    )


def platform_environment(spec: ClusterSpec) -> dict[str, str]:
    """HEADRACE_* variables that make a process part of this cluster."""
    return {
        "HEADRACE_BOOTSTRAP": spec.bootstrap,
        "HEADRACE_REDIS": spec.redis,
        "HEADRACE_REST": spec.rest,
        "HEADRACE_REST_HOST": "127.0.0.1",
        "HEADRACE_REST_PORT": str(spec.ports.rest),
        "HEADRACE_NAMESPACE": spec.namespace,
        "HEADRACE_CONTROL_PARTITIONS": str(CONTROL_PARTITIONS),
        "HEADRACE_STATE_DIR": str(spec.directory),
        "HEADRACE_CACHE_DIR": str(spec.cache_dir),
        "PYTHONUNBUFFERED": os.environ.get("PYTHONUNBUFFERED", "1"),
    }
