"""What ``streamctl doctor`` makes of what it found. Pure: facts in, findings out, each with what to do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.text import Text

from headrace.protocol.control import TaskManagerRecord
from streamctl.json_schemas import Diagnosis, Finding
from streamctl.kafka_topics import Kind
from streamctl.render import plain_table, sections

if TYPE_CHECKING:
    from headrace.log.broker_facts import LogDir
    from headrace.log.hanging_transactions import HangingTransaction

#: Releases that can lose commit markers after a kill (KAFKA-20734).
LOSES_MARKERS = ("4.3", "4.4")
OLDEST = "4.0"
CLOCK_WARN_MS = 1_000
#: A TaskManager writes its time once a second, and the write takes a moment.
HEARTBEAT_WARN_MS = 5_000
DISK_WARN_BYTES, DISK_FAIL_BYTES = 5_000_000_000, 500_000_000
NAMES_MAX = 3


class Grade(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


_STYLES = {Grade.OK: "green", Grade.WARN: "yellow", Grade.FAIL: "bold red"}
_ORDER = {Grade.FAIL: 0, Grade.WARN: 1, Grade.OK: 2}


def fine(check: str, found: str) -> Finding:
    return Finding(check=check, grade="ok", found=found)


def warn(check: str, found: str, todo: str) -> Finding:
    return Finding(check=check, grade="warn", found=found, todo=todo)


def fail(check: str, found: str, todo: str) -> Finding:
    return Finding(check=check, grade="fail", found=found, todo=todo)


def kafka_release(releases: Mapping[str, str | None]) -> Finding:
    """``releases``: broker to its release, None where it does not tell."""
    names = ", ".join(sorted({release or "unknown" for release in releases.values()}))
    found = f"release {names}" if len(releases) == 1 else f"{len(releases)} brokers, release {names}"
    if any(release in LOSES_MARKERS for release in releases.values()):
        return warn(
            "kafka release",
            found,
            "Kafka 4.3 and 4.4 can lose commit markers when a broker is killed (KAFKA-20734): run 4.2,"
            " or run `streamctl doctor` after each broker start",
        )
    if any(release == "3" for release in releases.values()):
        return warn("kafka release", found, f"Headrace is tested with Kafka {OLDEST} and later")
    return fine("kafka release", found)


def hanging(found: Sequence[HangingTransaction]) -> Finding:
    """Transactions without an owner."""
    left = [each for each in found if not each.written]
    if not left:
        ended = f"none left, {len(found)} ended now" if found else "none"
        return fine("hanging transactions", ended)
    places = _some(f"{each.topic}/{each.partition} from offset {each.start_offset}" for each in left)
    undecided = [each for each in left if each.verdict.name == "UNDECIDED"]
    todo = "`streamctl doctor --repair` writes their missing markers"
    if undecided:
        todo = (
            f"the outcome of {len(undecided)} cannot be told; "
            "`kafka-transactions.sh abort` gives their records up, readers go on then"
        )
    return fail("hanging transactions", f"{len(left)} without an owner, readers wait there: {places}", todo)


def redis_server(version: str, config: Mapping[str, str]) -> list[Finding]:
    """``config``: what CONFIG GET answered, empty where it is not allowed."""
    if not config:
        return [warn("redis settings", f"{version}, does not tell its settings", "see that it never evicts keys")]
    findings = [fine("redis", f"version {version}")]
    policy, limit = config.get("maxmemory-policy", "unknown"), config.get("maxmemory", "0")
    if policy == "noeviction" or limit == "0":
        findings.append(fine("redis eviction", f"{policy}, maxmemory {limit if limit != '0' else 'unlimited'}"))
    else:
        findings.append(
            fail("redis eviction", f"{policy}: leases and slots may vanish", "CONFIG SET maxmemory-policy noeviction")
        )
    append, sync = config.get("appendonly", "no"), config.get("appendfsync", "unknown")
    if append != "yes":
        findings.append(
            warn(
                "redis persistence",
                "none (appendonly no)",
                "after a restart views come back from Kafka; CONFIG SET appendonly yes keeps them",
            )
        )
    elif sync != "always":
        findings.append(warn("redis persistence", f"appendfsync {sync}", "CONFIG SET appendfsync always"))
    else:
        findings.append(fine("redis persistence", "appendfsync always"))
    return findings


def control_topics(
    expected: Mapping[str, Mapping[str, str]],
    partitioned: Iterable[str],
    counts: Mapping[str, int],
    configs: Mapping[str, Mapping[str, str]],
) -> Finding:
    """``expected``: topic to the settings it must have; ``partitioned``: those that must have equal counts."""
    missing = [name for name in expected if name not in counts]
    if len(missing) == len(expected):
        return fail("control topics", "there are none", "start a Dispatcher: `streamctl dispatcher`; it makes them")
    if missing:
        return fail(
            "control topics",
            f"missing: {_some(missing)}",
            "restart a Dispatcher: it makes them at its start",
        )
    differing = {counts[name] for name in partitioned}
    if len(differing) > 1:
        return fail("control topics", f"partition counts {sorted(differing)}", "see topic-partitions-differ")
    wrong = wrong_settings(expected, configs)
    if wrong:
        return fail("control topics", _some(wrong), "set it back with kafka-configs.sh --alter, or losses follow")
    return fine("control topics", f"{len(expected)}, {differing.pop()} partitions for jobs, settings right")


def job_topics(
    kinds: Mapping[str, Kind], required: Mapping[str, str], configs: Mapping[str, Mapping[str, str]]
) -> Finding:
    """Exchanges and lane logs: Kafka must never delete from them by itself."""
    own = [name for name, kind in kinds.items() if kind in (Kind.EXCHANGE, Kind.LANE_LOG)]
    wrong = wrong_settings(dict.fromkeys(own, required), configs)
    if wrong:
        return fail("job topics", _some(wrong), "set it back with kafka-configs.sh --alter, or state is lost")
    return fine("job topics", f"{len(own)}, settings right" if own else "none")


_JUDGED = ("cleanup.policy", "retention.ms")


def wrong_settings(expected: Mapping[str, Mapping[str, str]], configs: Mapping[str, Mapping[str, str]]) -> list[str]:
    """What differs, as "topic: setting is x, must be y"; of topics whose settings are known."""
    return [
        f"{topic}: {name} is {configs[topic].get(name)}, must be {settings[name]}"
        for topic, settings in expected.items()
        if topic in configs
        for name in _JUDGED
        if name in settings and configs[topic].get(name) != settings[name]
    ]


def clocks(offsets_ms: Mapping[str, float], late_ms: Mapping[str, float]) -> Finding:
    """``offsets_ms``: whose clock to how far it is ahead of this machine's; ``late_ms``: heartbeats likewise."""
    wrong = [(who, ahead) for who, ahead in offsets_ms.items() if abs(ahead) > CLOCK_WARN_MS]
    wrong += [(who, ahead) for who, ahead in late_ms.items() if abs(ahead) > HEARTBEAT_WARN_MS]
    if wrong:
        return warn(
            "clocks",
            _some(f"{who} is {abs(ahead) / 1000:.1f} s {'ahead' if ahead > 0 else 'behind'}" for who, ahead in wrong),
            "run a time service (chrony, systemd-timesyncd) on every host",
        )
    if not offsets_ms:
        return warn("clocks", "nobody's could be compared", "see that every host runs a time service")
    widest = max(abs(ahead) for ahead in offsets_ms.values())
    return fine("clocks", f"{', '.join(sorted(offsets_ms))}: within {max(1, round(widest))} ms of this machine's")


def versions(client: str, python: str, dispatcher: str | None, taskmanagers: Sequence[TaskManagerRecord]) -> Finding:
    """Headrace must be one version, Python one minor version, because functions travel as code."""
    headrace = {"here": client, **({"the Dispatcher": dispatcher} if dispatcher else {})}
    headrace |= {each.id: each.headrace for each in taskmanagers if each.headrace}
    pythons = {"here": python, **{each.id: each.python for each in taskmanagers if each.python}}
    other = [f"Headrace {version} on {who}" for who, version in headrace.items() if version != client]
    other += [f"Python {version} on {who}" for who, version in pythons.items() if _minor(version) != _minor(python)]
    if other:
        return warn(
            "versions",
            f"here Headrace {client}, Python {python}; {_some(other)}",
            "install the same Headrace and the same minor version of Python everywhere",
        )
    return fine("versions", f"Headrace {client}, Python {_minor(python)} everywhere")


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])


def disk(check: str, path: str, free: int, todo: str) -> Finding:
    found = f"{free / 1e9:.1f} GB free at {path}"
    if free < DISK_FAIL_BYTES:
        return fail(check, found, todo)
    return warn(check, found, todo) if free < DISK_WARN_BYTES else fine(check, found)


def log_dirs(broker: str, found: Sequence[LogDir]) -> list[Finding]:
    todo = "free some space, or shorten retention.ms of large topics (`streamctl topics`)"
    findings = []
    for each in found:
        if each.error:
            findings.append(
                fail(
                    "kafka disk",
                    f"{broker}: {each.path or 'its directories'}: error {each.error}",
                    "look into the broker's log",
                )
            )
        elif each.usable >= 0:
            findings.append(disk("kafka disk", f"{each.path} of {broker}", each.usable, todo))
    return findings


def slots(taskmanagers: Sequence[TaskManagerRecord]) -> Finding:
    total, taken = sum(each.slots for each in taskmanagers), sum(len(each.occupied) for each in taskmanagers)
    if not taskmanagers:
        return fail("taskmanagers", "none is alive", "start one: `streamctl taskmanager --slots 4`")
    found = f"{len(taskmanagers)} alive, {total - taken} of {total} slots free"
    if taken >= total:
        return warn("taskmanagers", found, "a new job waits: start another TaskManager, or cancel a job")
    return fine("taskmanagers", found)


def _some(texts: Iterable[str]) -> str:
    """The first few, and how many more."""
    every = list(texts)
    more = f" and {len(every) - NAMES_MAX} more" if len(every) > NAMES_MAX else ""
    return ", ".join(every[:NAMES_MAX]) + more


def diagnosis(findings: list[Finding]) -> Diagnosis:
    return Diagnosis(ok=all(Grade(each.grade) is not Grade.FAIL for each in findings), findings=findings)


def diagnosis_page(report: Diagnosis) -> RenderableType:
    """One line per finding, and below what to do about those that are not fine, the worst first."""
    table = plain_table("", "CHECK", "FOUND")
    for each in report.findings:
        table.add_row(Text(each.grade, style=_STYLES[Grade(each.grade)]), each.check, Text(each.found))
    todos = sorted((each for each in report.findings if each.todo), key=lambda each: _ORDER[Grade(each.grade)])
    if not todos:
        return table
    todo_table = plain_table("", "CHECK", "WHAT TO DO")
    for each in todos:
        todo_table.add_row(Text(each.grade, style=_STYLES[Grade(each.grade)]), each.check, Text(each.todo))
    return sections(table, todo_table)
