"""Looking at a whole cluster for ``streamctl doctor``: asks each part, and has ``diagnosis`` judge the answers.

A part that does not answer is a finding, never an error of the command. Every question is bounded by ASK_S.
"""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import headrace
from headrace.clock import now_ms
from headrace.dispatcher.control_topics import CONFIG as CONTROL_CONFIG
from headrace.errors import HeadraceError
from headrace.jobmaster.job_topics import CONFIG as JOB_CONFIG
from headrace.log.broker_facts import controller_clock_ms, log_dirs, release
from headrace.log.hanging_transactions import RepairIncompleteError, repair_hanging_transactions
from headrace.log.kafka_wire import WireError
from headrace.protocol.control import TaskManagerRecord
from headrace.protocol.topics import PARTITIONED, SINGLE, Topics
from streamctl import diagnosis, rest
from streamctl.diagnosis import fail, fine, warn
from streamctl.json_schemas import Finding
from streamctl.kafka import host_port
from streamctl.kafka_topics import KafkaTopics

if TYPE_CHECKING:
    from headrace.settings import Settings
    from streamctl.cluster import Cluster

ASK_S = 5.0
REPAIR_S = 20.0
_ENCRYPTED = "the connection is not plain text: its release, disks, clock and transactions cannot be asked for"


@dataclass(frozen=True)
class Patient:
    """The cluster to look at. ``redis`` None: nobody named it."""

    cluster: Cluster
    redis: str | None
    settings: Settings
    repair: bool


def examine(patient: Patient) -> list[Finding]:
    """Everything, in the order in which a cluster is built."""
    clocks: dict[str, float] = {}
    findings = [*_kafka(patient, clocks), *_redis(patient, clocks)]
    taskmanagers: list[TaskManagerRecord] = []
    dispatcher, version = _dispatcher(patient)
    findings += dispatcher
    if version is not None:
        taskmanagers = rest.taskmanagers(patient.cluster)
        findings.append(diagnosis.slots(taskmanagers))
    now = now_ms()
    late = {f"TaskManager {each.id}": float(each.at_ms - now) for each in taskmanagers}
    findings.append(diagnosis.clocks(clocks, late))
    findings.append(diagnosis.versions(headrace.__version__, platform.python_version(), version, taskmanagers))
    return [*findings, *_disk(patient.settings)]


# ---- Kafka


def _kafka(patient: Patient, clocks: dict[str, float]) -> Iterator[Finding]:
    cluster = patient.cluster
    try:
        kafka = KafkaTopics(cluster.bootstrap, cluster.kafka, cluster.namespace)
        brokers = {number: host_port(address) for number, address in kafka.brokers().items()}
        yield fine("kafka", f"{cluster.bootstrap} answers, {len(brokers)} broker{'s' * (len(brokers) != 1)}")
        if cluster.kafka.get("security.protocol", "plaintext").lower() == "plaintext":
            yield from _brokers(patient, brokers, clocks)
        else:
            yield warn("kafka release", _ENCRYPTED, "on the broker's host: `kafka-broker-api-versions.sh --version`")
        yield from _topics(cluster, kafka)
    except HeadraceError as error:
        yield fail("kafka", error.message, error.hint)


def _brokers(patient: Patient, brokers: dict[int, tuple[str, int]], clocks: dict[str, float]) -> Iterator[Finding]:
    releases: dict[str, str | None] = {}
    disks: list[Finding] = []
    try:
        for number, (host, port) in brokers.items():
            releases[f"broker {number}"] = release(host, port, ASK_S)
            disks += diagnosis.log_dirs(f"broker {number}", log_dirs(host, port, ASK_S))
        yield diagnosis.kafka_release(releases)
        before = now_ms()
        clock = controller_clock_ms(*next(iter(brokers.values())), ASK_S)
        if clock is not None:
            clocks["Kafka"] = _ahead(before, clock, now_ms())
        found = repair_hanging_transactions(patient.cluster.bootstrap, timeout_s=REPAIR_S, write=patient.repair)
        yield diagnosis.hanging(found)
    except (OSError, WireError, RepairIncompleteError) as error:
        yield warn("kafka", f"a broker did not answer: {error}", "see that this machine reaches every broker")
    yield from disks


def _topics(cluster: Cluster, kafka: KafkaTopics) -> Iterator[Finding]:
    topics = Topics(cluster.namespace)
    found = kafka.kinds()
    expected = {topics.name(short): CONTROL_CONFIG[short] for short in (*PARTITIONED, *SINGLE)}
    ours = [name for name, (kind, _) in found.items() if kind.value in ("control", "exchange", "lane log")]
    configs = kafka.configs(ours)
    counts = {name: partitions for name, (_, partitions) in found.items() if name in expected}
    partitioned = [topics.name(short) for short in PARTITIONED]
    yield diagnosis.control_topics(expected, partitioned, counts, configs)
    yield diagnosis.job_topics({name: kind for name, (kind, _) in found.items()}, JOB_CONFIG, configs)


# ---- Redis


def _redis(patient: Patient, clocks: dict[str, float]) -> Iterator[Finding]:
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    if patient.redis is None:
        yield warn("redis", "not named", "name it with --redis or HEADRACE_REDIS")
        return
    try:
        with redis.Redis.from_url(
            patient.redis, socket_timeout=ASK_S, decode_responses=True, retry=Retry(NoBackoff(), 0)
        ) as client:
            before = now_ms()
            seconds, micros = _pair(client.time())
            clocks["Redis"] = _ahead(before, seconds * 1000 + micros / 1000, now_ms())
            version = str(_mapping(client.info("server")).get("redis_version", "unknown"))
            yield from diagnosis.redis_server(version, _redis_config(client))
    except (redis.RedisError, ValueError) as error:
        yield fail("redis", f"does not answer: {error}", "start it, or name another with --redis")


def _redis_config(client: Any) -> dict[str, str]:
    """Empty where CONFIG is not allowed, as at some hosting services."""
    import redis

    names = ("maxmemory", "maxmemory-policy", "appendonly", "appendfsync")
    try:
        return {name: str(value) for name, value in _mapping(client.config_get(*names)).items()}
    except redis.ResponseError:
        return {}


def _pair(value: Any) -> tuple[float, float]:
    seconds, micros = value
    return float(seconds), float(micros)


def _mapping(value: Any) -> dict[str, Any]:
    return dict(value)


def _ahead(before_ms: int, theirs_ms: float, after_ms: int) -> float:
    """How far their clock is ahead of ours; 0 while it lies within the time that the question took."""
    if before_ms <= theirs_ms <= after_ms + 1:
        return 0.0
    return theirs_ms - (after_ms if theirs_ms > after_ms else before_ms)


# ---- Headrace, this machine


def _dispatcher(patient: Patient) -> tuple[list[Finding], str | None]:
    """Findings, and the version of the Dispatcher that answered."""
    cluster = patient.cluster
    try:
        overview = rest.get(cluster.rest, "/api/v1/overview", cluster.token, timeout_s=ASK_S)
        health = rest.get(cluster.rest, "/health", cluster.token, timeout_s=ASK_S)
    except HeadraceError as error:
        return [fail("dispatcher", error.message, error.hint)], None
    acting = sum(each == "ACTING" for each in health.get("partitions", {}).values())
    found = f"{overview['dispatcher']} answers at {cluster.rest}, {health.get('jobmasters', 0)} JobMasters"
    version = str(overview["version"])
    if not acting:
        return [warn("dispatcher", f"{found}, acts for no partition", "its log says what it waits for")], version
    return [fine("dispatcher", found)], version


def _disk(settings: Settings) -> Iterator[Finding]:
    places: dict[int, tuple[str, Path, int]] = {}
    for setting, path in (("HEADRACE_STATE_DIR", settings.state_dir), ("HEADRACE_CACHE_DIR", settings.cache_dir)):
        there = next(each for each in (path, *path.parents) if each.exists())
        places.setdefault(os.stat(there).st_dev, (setting, path, shutil.disk_usage(there).free))
    for setting, path, free in places.values():
        yield diagnosis.disk("disk", str(path), free, f"free some space, or choose another place with {setting}")
