"""Answers on Flink's paths have Flink's keys and types, in every state of a job."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.unit.rest import registry
from tests.unit.rest.flink_shapes import JOB_STATES, SHAPES, TASK_STATES, differences

from headrace.protocol.states import JobStatus, LaneState
from headrace.rest import flink_cluster, flink_jobs
from headrace.rest.models import LaneException

GRAPH = registry.SUBMIT.graph
LANE_FAILURE = LaneException(
    at_ms=5,
    lane="v1/1",
    attempt="2.1",
    taskmanager="tm0",
    error="ValueError: x",
    traceback="T",
    user=True,
    fatal=False,
)
STATUSES = [
    JobStatus.INITIALIZING,
    JobStatus.CREATED,
    JobStatus.RUNNING,
    JobStatus.CANCELED,
    JobStatus.FAILED,
    JobStatus.FINISHED,
]


def fits(name: str, answer: Any) -> None:
    """As JSON, which knows no enums."""
    answer = json.loads(json.dumps(answer))
    assert list(differences(SHAPES[name], answer)) == []


def test_our_states_are_flinks() -> None:
    assert [status.value for status in JobStatus] == JOB_STATES
    assert [state.value for state in LaneState] == TASK_STATES


def test_differences_are_found() -> None:
    answer = json.loads(json.dumps(flink_jobs.jobs_overview([registry.job()], registry.NOW_MS)))
    entry = answer["jobs"][0]
    entry["start-time"] = str(entry["start-time"])
    entry["tasks"]["new"] = entry["tasks"].pop("running")
    assert list(differences(SHAPES["jobs-overview"], answer)) == [
        f"$.jobs[0].start-time: str '{registry.BEGAN_MS}', not int",
        "$.jobs[0].tasks.running: missing",
        "$.jobs[0].tasks.new: not a key of Flink's",
    ]


@pytest.mark.parametrize("status", STATUSES)
def test_shapes_of_a_job(status: JobStatus) -> None:
    job = registry.job(status)
    for graph, metrics in ((GRAPH, registry.metrics()), (GRAPH, {}), (None, {})):
        fits("job-detail", flink_jobs.job_details(job, graph, metrics, registry.NOW_MS))
    fits("jobs-overview", flink_jobs.jobs_overview([job], registry.NOW_MS))
    fits("jobs", flink_jobs.job_ids([job]))
    fits("job-plan", flink_jobs.job_plan(job, GRAPH))
    fits("job-config", flink_jobs.job_config(job, registry.SUBMIT))
    fits("job-config", flink_jobs.job_config(job, None))
    fits("job-exceptions", flink_jobs.job_exceptions(job, [LANE_FAILURE], GRAPH, False))


def test_shapes_of_the_cluster() -> None:
    taskmanagers = [registry.taskmanager(), registry.taskmanager("tm1", occupied={}, attempts={})]
    fits("config", flink_cluster.config())
    fits("overview", flink_cluster.overview(taskmanagers, [registry.job()]))
    fits("taskmanagers", flink_cluster.taskmanagers(taskmanagers))
    fits("taskmanager", flink_cluster.taskmanager(taskmanagers[0], {registry.JOB: registry.job()}))


def test_nodes_and_vertices_have_the_same_ids_for_ever() -> None:
    details = flink_jobs.job_details(registry.job(), GRAPH, {}, registry.NOW_MS)
    ids = ["27c6467a666ea9e50b3b1800a852a40b", "7a6058c64f79c4ca5a9883a2d062a7e7"]
    assert [vertex["id"] for vertex in details["vertices"]] == ids
    assert [node["id"] for node in details["plan"]["nodes"]] == ids
    assert "inputs" not in details["plan"]["nodes"][0]
    assert details["plan"]["nodes"][1]["inputs"] == [
        {"id": ids[0], "num": 0, "exchange": "pipelined_bounded", "ship_strategy": "HASH"}
    ]
    other = registry.job().model_copy(update={"job_id": "f" * 32})
    assert ids[0] != flink_jobs.job_details(other, GRAPH, {}, 0)["vertices"][0]["id"]


def test_text_of_a_plan_is_no_markup() -> None:
    node = flink_jobs.job_plan(registry.job(), GRAPH)["plan"]["nodes"][0]
    assert node["description"] == "Source: words<br/>+- split &lt;b&gt;<br/>"


def test_a_running_job() -> None:
    details = flink_jobs.job_details(registry.job(), GRAPH, registry.metrics(), registry.NOW_MS)
    assert (details["start-time"], details["end-time"], details["duration"]) == (registry.BEGAN_MS, -1, 60_000)
    assert details["timestamps"]["RUNNING"] == registry.BEGAN_MS + 500 and details["timestamps"]["FAILED"] == 0
    assert details["status-counts"]["RUNNING"] == 2  # vertices, not tasks
    first = details["vertices"][0]
    assert (first["parallelism"], first["tasks"]["RUNNING"], first["status"]) == (2, 2, "RUNNING")
    assert (first["metrics"]["read-records"], first["metrics"]["read-records-complete"]) == (300, True)


def test_an_ended_job_lasts_no_longer() -> None:
    details = flink_jobs.job_details(registry.job(JobStatus.CANCELED), GRAPH, {}, registry.NOW_MS + 10**6)
    assert details["end-time"] == registry.NOW_MS - 1000
    assert details["duration"] == registry.NOW_MS - 1000 - registry.BEGAN_MS
    assert details["vertices"][0]["metrics"]["read-records-complete"] is False


@pytest.mark.parametrize(
    ("states", "whole"),
    [
        ("RUNNING FINISHED", "RUNNING"),
        ("CREATED FINISHED", "RUNNING"),
        ("FINISHED FINISHED", "FINISHED"),
        ("INITIALIZING RUNNING", "INITIALIZING"),
        ("SCHEDULED RUNNING", "RUNNING"),
        ("SCHEDULED CREATED", "SCHEDULED"),
        ("FAILED RUNNING", "FAILED"),
        ("CREATED CREATED", "CREATED"),
    ],
)
def test_state_of_a_vertex(states: str, whole: str) -> None:
    first, second = map(LaneState, states.split())
    job = registry.job()
    lanes = {
        name: status.model_copy(update={"state": first if name.endswith("0") else second})
        for name, status in job.lanes.items()
    }
    details = flink_jobs.job_details(job.model_copy(update={"lanes": lanes}), GRAPH, {}, 0)
    assert details["vertices"][0]["status"] == whole


def test_results_of_a_job() -> None:
    running = flink_jobs.execution_result(registry.job())
    fits("job-execution-result", running)
    assert running == {"status": {"id": "IN_PROGRESS"}}
    finished = flink_jobs.execution_result(registry.job(JobStatus.FINISHED))
    fits("job-execution-result-finished", finished)
    assert finished["job-execution-result"]["application-status"] == "SUCCEEDED"
    assert finished["job-execution-result"]["net-runtime"] == 59_000
    canceled = flink_jobs.execution_result(registry.job(JobStatus.CANCELED))
    fits("job-execution-result-canceled", canceled)
    assert canceled["job-execution-result"]["application-status"] == "CANCELED"


@pytest.mark.parametrize("failure", [registry.FAILURE, None])
def test_result_of_a_failed_job(failure: Any) -> None:
    job = registry.job(JobStatus.FAILED, failure=failure, reason="topic-missing: no such topic")
    failed = flink_jobs.execution_result(job)
    fits("job-execution-result-failed", failed)
    cause = failed["job-execution-result"]["failure-cause"]
    assert cause["class"] == ("ValueError" if failure else "topic-missing")
    assert cause["stack-trace"] == (failure.traceback if failure else job.reason)


@pytest.mark.parametrize(
    ("error", "traceback", "name"),
    [
        (
            "Map: ZeroDivisionError: division by zero",
            "  f()\nZeroDivisionError: division by zero",
            "ZeroDivisionError",
        ),
        ("Source: words: NoPrice: x: y", "  f()\nshop.NoPrice: x: y", "shop.NoPrice"),
        ("split: KeyError: ", "  f()\nKeyError", "KeyError"),
        ("a: ValueError: two\nlines: x", "  f()\nValueError: two\nlines: x", "ValueError"),
        ("topic-missing: no such topic", "", "topic-missing"),
        ("something", "", "something"),
    ],
)
def test_name_of_an_exception(error: str, traceback: str, name: str) -> None:
    failure = LANE_FAILURE.model_copy(update={"error": error, "traceback": traceback})
    answer = flink_jobs.job_exceptions(registry.job(), [failure], GRAPH, True)
    assert answer["exceptionHistory"]["entries"][0]["exceptionName"] == name


def test_exceptions_name_the_subtask() -> None:
    answer = flink_jobs.job_exceptions(registry.job(), [LANE_FAILURE], GRAPH, True)
    entry = answer["exceptionHistory"]["entries"][0]
    assert (entry["exceptionName"], entry["taskName"], entry["taskManagerId"]) == (
        "ValueError",
        "Source: words -> split (2/2) - execution #2.1",
        "tm0",
    )
    assert answer["exceptionHistory"]["truncated"] is False
    of_the_job = LANE_FAILURE.model_copy(update={"lane": ""})
    assert "taskName" not in str(flink_jobs.job_exceptions(registry.job(), [of_the_job], GRAPH, True))


def test_overview_counts() -> None:
    jobs = [registry.job(status) for status in (*STATUSES, JobStatus.RUNNING)]
    found = flink_cluster.overview([registry.taskmanager(), registry.taskmanager("tm1", occupied={})], jobs)
    assert (found["slots-total"], found["slots-available"], found["taskmanagers"]) == (6, 5, 2)
    assert (found["jobs-running"], found["jobs-finished"], found["jobs-cancelled"], found["jobs-failed"]) == (
        4,
        1,
        1,
        1,
    )


def test_tasks_of_a_slot() -> None:
    found = flink_cluster.taskmanager(registry.taskmanager(), {registry.JOB: registry.job()})
    assert [(slot["jobId"], slot["assignedTasks"]) for slot in found["allocatedSlots"]] == [(registry.JOB, 1)]
    assert (found["assignedTasks"], found["freeSlots"], found["freeResource"]["cpuCores"]) == (2, 2, 2.0)
