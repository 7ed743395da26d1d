"""Records of a small cluster as its registry holds them: one job of two vertices, two TaskManagers."""

from __future__ import annotations

from typing import Any

from headrace.protocol.control import (
    Assignment,
    Failure,
    JobRecord,
    LaneMetrics,
    LaneStatus,
    TaskManagerRecord,
)
from headrace.protocol.states import JobStatus, LaneState
from headrace.protocol.submission import Submit

JOB = "0123456789abcdef0123456789abcdef"
NOW_MS = 1_700_000_060_000
BEGAN_MS = 1_700_000_000_000

SUBMISSION: dict[str, Any] = {
    "version": 1,
    "type": "submit",
    "request_id": "r1",
    "job_id": JOB,
    "name": "count <words>",
    "graph": {
        "vertices": [
            {
                "id": "v1",
                "name": "Source: words -> split",
                "lanes": 2,
                "parallelism": 2,
                "operators": [
                    {
                        "uid": "words",
                        "kind": "kafka_source",
                        "name": "Source: words",
                        "params": {"topics": ["words", "more"], "group_id": "g"},
                    },
                    {
                        "uid": "split",
                        "kind": "flat_map",
                        "name": "split <b>",
                        "input": 0,
                        "functions": {"flat_map": "f"},
                    },
                ],
            },
            {
                "id": "v2",
                "name": "count -> Sink: counts",
                "lanes": 2,
                "operators": [
                    {"uid": "count", "kind": "aggregate", "name": "count", "params": {"op": "sum", "field": 1}},
                    {
                        "uid": "counts",
                        "kind": "kafka_sink",
                        "name": "Sink: counts",
                        "input": 0,
                        "params": {"topic": "counts"},
                    },
                ],
            },
        ],
        "edges": [{"id": "e1", "source": "v1", "operator": 1, "target": "v2", "ship": "hash", "key": "k"}],
    },
    "config": {"execution.delivery": "exactly-once"},
}
SUBMIT = Submit.model_validate(SUBMISSION)
LANES = list(SUBMIT.graph.lane_slots())


def job(status: JobStatus = JobStatus.RUNNING, **changes: Any) -> JobRecord:
    """The job in a status, its lanes in the states that go with it."""
    state = {JobStatus.FINISHED: LaneState.FINISHED, JobStatus.CREATED: LaneState.SCHEDULED}.get(
        status, LaneState.CANCELED if status.ended else LaneState.RUNNING
    )
    placed = status is JobStatus.RUNNING
    values: dict[str, Any] = {
        "job_id": JOB,
        "name": SUBMIT.name,
        "status": status,
        "epoch": 7,
        "slots_needed": 2,
        "submitted_ms": BEGAN_MS,
        "started_ms": 0 if status is JobStatus.CREATED else BEGAN_MS + 500,
        "ended_ms": NOW_MS - 1000 if status.ended else 0,
        "timestamps": {"INITIALIZING": BEGAN_MS, "CREATED": BEGAN_MS + 100, status.value: BEGAN_MS + 500},
        "lanes": {name: LaneStatus(attempt="2.1", state=state) for name in LANES},
        "assignments": {
            name: Assignment(taskmanager=f"tm{lane}", slot=0, attempt=2)
            for lane, name in enumerate(["v1/0", "v1/1"])
            if placed
        },
    }
    return JobRecord(**values | changes)


FAILURE = Failure(
    error="ValueError: no number: 'x'",
    traceback="Traceback\n  job.py, line 3\nValueError: no number: 'x'",
    user=True,
    at_ms=NOW_MS - 1000,
    lane="v1/1",
)


def metrics(**changes: Any) -> dict[str, LaneMetrics]:
    """Reports of every lane: each lane of v1 reads twice the number of the one before."""
    return {
        name: LaneMetrics(
            attempt="2.1",
            commits=10,
            records_in=100 * (number + 1),
            records_out=50,
            records_in_per_s=12.5,
            late_dropped=3 * number,
            watermark_ms=NOW_MS - 2000 - 1000 * number,
            lag=number if name.startswith("v1") else None,
            last_commit_ms=NOW_MS - 100,
            at_ms=NOW_MS - 500,
        ).model_copy(update=changes)
        for number, name in enumerate(LANES)
    }


def taskmanager(id_: str = "tm0", **changes: Any) -> TaskManagerRecord:
    values: dict[str, Any] = {
        "id": id_,
        "instance": "i",
        "counter": 4,
        "host": "host",
        "pid": 12,
        "slots": 3,
        "occupied": {"0": JOB},
        "attempts": {JOB: {"v1/0": "2.1 RUNNING", "v2/0": "2.1 RUNNING"}},
        "at_ms": NOW_MS - 300,
    }
    return TaskManagerRecord(**values | changes)
