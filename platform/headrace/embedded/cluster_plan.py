"""What an embedded cluster is to be: the options asked for, what it was before, and what this machine has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from headrace.embedded import aot
from headrace.embedded.cluster_files import ClusterSpec, Ports
from headrace.embedded.jars import JarLock, fetch_jars
from headrace.embedded.java import Java, find_java
from headrace.embedded.ports import choose_port, is_free, require_free
from headrace.embedded.redis_server import find_redis_server
from headrace.embedded.services import DISPATCHER, KAFKA, REDIS
from headrace.errors import UsageError
from headrace.settings import Settings

SLOTS_MAX = 256

#: Called with what is being done, in a few plain words.
Progress = Callable[[str], None]


@dataclass(frozen=True)
class ClusterOptions:
    """What was asked for. None: as before, else a default; port 0: any free one."""

    name: str
    platform: bool
    slots: int | None
    kafka_port: int | None
    redis_port: int | None
    rest_port: int | None

    def __post_init__(self) -> None:
        if self.slots is not None and not 1 <= self.slots <= SLOTS_MAX:
            raise UsageError("slots", f"{self.slots} slots are not between 1 and {SLOTS_MAX}")

    def require_fit(self, spec: ClusterSpec) -> None:
        """Raise UsageError ``cluster-options`` when a running cluster is not what was asked for."""
        if self.platform != spec.platform:
            how = "with" if spec.platform else "without"
            raise _differs(f"cluster {spec.name} is up {how} Dispatcher and TaskManager")
        asked = {
            "slots": (self.slots, spec.slots),
            "kafka-port": (self.kafka_port, spec.ports.kafka),
            "redis-port": (self.redis_port, spec.ports.redis),
            "rest-port": (self.rest_port, spec.ports.rest),
        }
        for option, (wanted, has) in asked.items():
            if wanted and wanted != has:
                raise _differs(f"cluster {spec.name} is up with --{option} {has}, not {wanted}")


def _differs(message: str) -> UsageError:
    return UsageError("cluster-options", message, hint="run `streamctl down` first")


@dataclass(frozen=True)
class Software:
    """Programs of this machine, found and checked."""

    java: Java
    jars: tuple[Path, ...]
    redis_server: Path


def find_software(settings: Settings, say: Progress) -> Software:
    """Find Java and Redis, fetch Kafka. Raises HeadraceError with the reason when one cannot be had."""
    say("looking for Java and Redis")
    java, redis_server = find_java(), find_redis_server()
    lock = JarLock.shipped()

    def fetched(jars: int, jars_all: int, size: int, size_all: int) -> None:
        say(f"fetching Kafka: {jars} of {jars_all} jars, {size // 10**6} of {size_all // 10**6} MB")

    directory = settings.cache_dir.absolute() / "jars" / lock.key
    jars = fetch_jars(lock, directory, maven_repo=settings.maven_repo, progress=fetched)
    return Software(java, tuple(jars), redis_server)


def plan_cluster(
    directory: Path,
    options: ClusterOptions,
    software: Software,
    settings: Settings,
    *,
    before: ClusterSpec | None,
    running: set[str],
) -> ClusterSpec:
    """The cluster as it was, with the options asked for now. ``running``: its services that are alive.

    Raises HeadraceError ``port-taken`` or ``cluster-options``.
    """
    if before is not None and running:
        options.require_fit(before)
    cache_dir = settings.cache_dir.absolute()
    preferred = settings.rest_port if options.name == "default" else None
    return ClusterSpec(
        name=options.name,
        directory=directory,
        namespace=settings.namespace,
        platform=options.platform,
        slots=options.slots or (before.slots if before else settings.slots),
        ports=_choose_ports(options, before.ports if before else None, running, preferred),
        java=software.java.executable,
        java_version=software.java.version,
        jars=software.jars,
        redis_server=software.redis_server,
        cache_dir=cache_dir,
        aot_cache=aot.cache_path(cache_dir, software.java, software.jars, JarLock.shipped().key),
    )


def _choose_ports(
    options: ClusterOptions, before: Ports | None, running: set[str], preferred_rest: int | None
) -> Ports:
    """As before where the server runs, else as asked for, else as before, else free."""
    taken: set[int] = set()

    def choose(purpose: str, service: str, asked: int | None, had: int | None, preferred: int | None = None) -> int:
        wanted = had if asked is None else asked
        if had is not None and service in running:
            port = had
        elif wanted:
            require_free(wanted, purpose)
            port = wanted
        elif preferred is not None and preferred not in taken and is_free(preferred):
            port = preferred
        else:
            port = choose_port(taken)
        taken.add(port)
        return port

    return Ports(
        kafka=choose("Kafka", KAFKA, options.kafka_port, before.kafka if before else None),
        controller=choose("Kafka's controller", KAFKA, None, before.controller if before else None),
        redis=choose("Redis", REDIS, options.redis_port, before.redis if before else None),
        rest=choose("REST", DISPATCHER, options.rest_port, before.rest if before else None, preferred_rest),
    )
