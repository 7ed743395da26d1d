"""What doctor makes of what it found."""

from __future__ import annotations

import pytest

from headrace.log.hanging_transactions import HangingTransaction, Verdict
from headrace.protocol.control import Assignment, JobRecord, TaskManagerRecord
from headrace.protocol.states import JobStatus
from streamctl import diagnosis
from streamctl.kafka_topics import Kind
from streamctl.workers import places_of

TASKMANAGER = TaskManagerRecord(id="tm", instance="i", counter=1, host="h", pid=1, slots=2, occupied={"0": "a" * 32})


@pytest.mark.parametrize(
    ("release", "grade"),
    [
        ("4.0", "ok"),
        ("4.2", "ok"),
        ("4.3", "warn"),
        ("4.4", "warn"),
        ("4.5 or later", "ok"),
        ("3", "warn"),
        (None, "ok"),
    ],
)
def test_releases_that_lose_commit_markers_are_warned_of(release: str | None, grade: str) -> None:
    assert diagnosis.kafka_release({"broker 1": "4.2", "broker 2": release}).grade == grade


@pytest.mark.parametrize(("verdict", "todo"), [(Verdict.COMMIT, "--repair"), (Verdict.UNDECIDED, "cannot be told")])
def test_a_transaction_without_owner_is_a_failure_until_its_marker_is_written(verdict: Verdict, todo: str) -> None:
    left = HangingTransaction("bids", 0, 10, 4711, "t", verdict)
    finding = diagnosis.hanging([left])
    assert finding.grade == "fail" and "bids/0 from offset 10" in finding.found and todo in finding.todo
    ended = HangingTransaction("bids", 0, 10, 4711, "t", verdict, written=True)
    assert diagnosis.hanging([ended]).grade == "ok"


EXPECTED = {"ns.jobs": {"cleanup.policy": "delete"}, "ns.job-log": {"cleanup.policy": "compact"}}
CONFIGS = {"ns.jobs": {"cleanup.policy": "delete"}, "ns.job-log": {"cleanup.policy": "compact"}}


@pytest.mark.parametrize(
    ("counts", "configs", "grade", "found"),
    [
        ({"ns.jobs": 4, "ns.job-log": 4}, CONFIGS, "ok", "2, 4 partitions"),
        ({}, {}, "fail", "there are none"),
        ({"ns.jobs": 4}, CONFIGS, "fail", "missing: ns.job-log"),
        ({"ns.jobs": 4, "ns.job-log": 3}, CONFIGS, "fail", "[3, 4]"),
        (
            {"ns.jobs": 4, "ns.job-log": 4},
            CONFIGS | {"ns.job-log": {"cleanup.policy": "delete"}},
            "fail",
            "ns.job-log: cleanup.policy is delete, must be compact",
        ),
    ],
)
def test_control_topics(counts: dict[str, int], configs: dict[str, dict[str, str]], grade: str, found: str) -> None:
    finding = diagnosis.control_topics(EXPECTED, EXPECTED, counts, configs)
    assert finding.grade == grade and found in finding.found
    assert bool(finding.todo) is (grade != "ok")


def test_kafka_must_not_delete_from_a_jobs_topics_by_itself() -> None:
    kinds = {"x": Kind.EXCHANGE, "s": Kind.LANE_LOG, "mine": Kind.DATA}
    required = {"retention.ms": "-1"}
    assert diagnosis.job_topics(kinds, required, {"x": required, "s": required}).grade == "ok"
    finding = diagnosis.job_topics(kinds, required, {"x": required, "s": {"retention.ms": "1000"}})
    assert (finding.grade, finding.found) == ("fail", "s: retention.ms is 1000, must be -1")


@pytest.mark.parametrize(
    ("config", "grades"),
    [
        ({}, ["warn"]),
        (
            {"maxmemory": "0", "maxmemory-policy": "allkeys-lru", "appendonly": "yes", "appendfsync": "always"},
            ["ok"] * 3,
        ),
        ({"maxmemory": "9", "maxmemory-policy": "allkeys-lru", "appendonly": "yes"}, ["ok", "fail", "warn"]),
        ({"maxmemory": "9", "maxmemory-policy": "noeviction", "appendonly": "no"}, ["ok", "ok", "warn"]),
    ],
)
def test_redis_must_not_evict_and_should_keep(config: dict[str, str], grades: list[str]) -> None:
    assert [each.grade for each in diagnosis.redis_server("8", config)] == grades


@pytest.mark.parametrize(
    ("ahead_ms", "late_ms", "grade"),
    [(900, -1_500, "ok"), (-1_100, 0, "warn"), (0, -6_000, "warn"), (0, 6_000, "warn")],
)
def test_clocks(ahead_ms: float, late_ms: float, grade: str) -> None:
    assert diagnosis.clocks({"Redis": ahead_ms}, {"TaskManager tm": late_ms}).grade == grade


@pytest.mark.parametrize(
    ("dispatcher", "headrace", "python", "grade"),
    [
        ("1", "1", "3.11.9", "ok"),
        (None, "", "", "ok"),
        ("2", "1", "3.11.9", "warn"),
        ("1", "2", "3.11.9", "warn"),
        ("1", "1", "3.12.0", "warn"),
    ],
)
def test_versions(dispatcher: str | None, headrace: str, python: str, grade: str) -> None:
    taskmanager = TASKMANAGER.model_copy(update={"headrace": headrace, "python": python})
    assert diagnosis.versions("1", "3.11.7", dispatcher, [taskmanager]).grade == grade


@pytest.mark.parametrize(("free", "grade"), [(6_000_000_000, "ok"), (4_000_000_000, "warn"), (4_000_000, "fail")])
def test_disk(free: int, grade: str) -> None:
    assert diagnosis.disk("disk", "/", free, "free some").grade == grade


def test_slots() -> None:
    assert diagnosis.slots([]).grade == "fail"
    assert diagnosis.slots([TASKMANAGER]).found == "1 alive, 1 of 2 slots free"
    assert diagnosis.slots([TASKMANAGER.model_copy(update={"slots": 1})]).grade == "warn"


def test_only_failures_are_failures() -> None:
    findings = [diagnosis.fine("a", ""), diagnosis.warn("b", "", "do"), diagnosis.fail("c", "", "do")]
    assert diagnosis.diagnosis(findings[:2]).ok and not diagnosis.diagnosis(findings).ok


@pytest.mark.parametrize(
    ("change", "host", "pid"),
    [
        ({"workers": {"0": 77}}, "h", 77),
        ({}, "h", None),  # an older TaskManager does not tell
        ({"workers": {"0": 77}, "occupied": {"0": "b" * 32}}, "h", None),  # the slot is another job's by now
        ({"id": "another"}, None, None),
    ],
)
def test_a_lanes_process_is_known_when_its_taskmanager_tells(
    change: dict[str, object], host: str | None, pid: int | None
) -> None:
    place = Assignment(taskmanager="tm", slot=0, attempt=1)
    record = JobRecord(job_id="a" * 32, name="n", status=JobStatus.RUNNING, assignments={"v1/0": place})
    (found,) = places_of(record, [TASKMANAGER.model_copy(update=change)]).values()
    assert (found.taskmanager, found.slot, found.host, found.pid) == ("tm", 0, host, pid)
