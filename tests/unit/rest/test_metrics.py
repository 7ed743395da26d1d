"""What Prometheus reads: names, types, help, values; and docs/rest.md lists all of it."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from pathlib import Path

from prometheus_client import Metric, generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open
from prometheus_client.parser import text_string_to_metric_families as parse
from tests.unit.rest import registry
from tests.unit.rest.registry import JOB, NOW_MS
from tests.unit.rest.world import World, world

from headrace.protocol.states import JobStatus
from headrace.telemetry.cluster_metrics import ClusterSnapshot, registry_of

PAGE = Path(__file__).parents[3] / "docs" / "rest.md"
SNAPSHOT = ClusterSnapshot(
    now_ms=NOW_MS,
    home_partitions=4,
    jobmasters=1,
    jobs=[registry.job(), registry.job(JobStatus.FINISHED, job_id="f" * 32)],
    lanes={JOB: registry.metrics()},
    taskmanagers=[registry.taskmanager()],
    dead_letters=5,
)
LANE = {"job_id": JOB, "vertex": "v1", "lane": "1"}


def values(families: list[Metric], name: str, /, **labels: str) -> list[float]:
    """Values of the samples with this name that have these labels."""
    samples = [sample for family in families for sample in family.samples if sample.name == name]
    return [sample.value for sample in samples if labels.items() <= sample.labels.items()]


def exposed(snapshot: ClusterSnapshot) -> list[Metric]:
    return list(parse(generate_latest(registry_of(snapshot)).decode()))


def test_values_of_the_cluster() -> None:
    families = exposed(SNAPSHOT)
    expected = {
        "headrace_dead_letters_total": [5],
        "headrace_home_partitions": [4],
        "headrace_taskmanagers": [1],
    }
    assert {name: values(families, name) for name in expected} == expected
    assert values(families, "headrace_server_up", server="redis") == [1]
    assert values(families, "headrace_jobs", status="RUNNING") == [1]
    assert values(families, "headrace_jobs", status="FAILED") == [0]
    assert values(families, "headrace_lanes", state="RUNNING") == [4]
    assert values(families, "headrace_slots", state="free") == [2]
    assert values(families, "headrace_job_info", name="count <words>", status="RUNNING") == [1]


def test_values_of_a_lane() -> None:
    families = exposed(SNAPSHOT)
    expected = {
        "headrace_lane_records_in_total": 200,
        "headrace_lane_records_out_total": 50,
        "headrace_lane_commits_total": 10,
        "headrace_lane_restarts_total": 2,  # attempt 2.1: a planned start and a local one after the first
        "headrace_lane_records_in_per_second": 12.5,
        "headrace_lane_lag_records": 1,
        "headrace_lane_late_dropped_total": 3,
        "headrace_lane_watermark_lag_seconds": 3,
        "headrace_lane_last_commit_timestamp_seconds": (NOW_MS - 100) / 1000,
        "headrace_lane_report_age_seconds": 0.5,
    }
    assert {name: values(families, name, **LANE) for name in expected} == {n: [v] for n, v in expected.items()}


def test_metrics_of_user_functions() -> None:
    user = {"Map: parse": {"by-size.bytes.max": 9, "seen": 3.5}}
    families = exposed(replace(SNAPSHOT, lanes={JOB: registry.metrics(user=user)}))
    assert values(families, "headrace_user_by_size_bytes_max", **LANE, operator="Map: parse") == [9]
    assert values(families, "headrace_user_seen", **LANE, operator="Map: parse") == [3.5]


def test_what_is_not_known_is_left_out() -> None:
    metrics = registry.metrics(lag=None, watermark_ms=None, last_commit_ms=0)
    families = exposed(ClusterSnapshot(now_ms=NOW_MS, jobs=[registry.job()], lanes={JOB: metrics}))
    for name in ("lag_records", "watermark_lag_seconds", "last_commit_timestamp_seconds"):
        assert values(families, f"headrace_lane_{name}") == []
    assert values(families, "headrace_dead_letters_total") == []
    away = exposed(ClusterSnapshot(now_ms=NOW_MS, redis_up=False))
    assert values(away, "headrace_server_up", server="redis") == [0]
    assert values(away, "headrace_jobs") == [] == values(away, "headrace_taskmanagers")


def test_the_page_is_right_and_described() -> None:
    async def scrape(here: World) -> None:
        await here.store.put_record(registry.job())
        await here.store.put_lane_metrics(JOB, registry.metrics())
        await here.client.get(f"/api/v1/jobs/{JOB}")
        await here.client.get("/no/such/path")
        response = await here.client.get("/metrics")
        assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
        families = {family.name: family for family in parse(response.text)}
        assert all(family.documentation for family in families.values())
        requests = [sample for sample in families["headrace_rest_requests"].samples]
        assert {(s.labels["path"], s.labels["status"]): s.value for s in requests} == {
            ("/api/v1/jobs/{job_id}", "200"): 1,
            ("unmatched", "404"): 1,
        }
        open_page = await here.client.get(
            "/metrics", headers={"Accept": "application/openmetrics-text;version=1.0.0"}
        )
        assert open_page.headers["content-type"].startswith("application/openmetrics-text")
        names = {family.name for family in parse_open(open_page.text) if family.name.startswith("headrace_")}
        documented = set(re.findall(r"^\| `(headrace_[a-z_]+)`", PAGE.read_text(), re.MULTILINE))
        assert {name.removesuffix("_total") for name in documented} == names | {"headrace_dead_letters"}

    async def in_world() -> None:
        async with world() as here:
            await scrape(here)

    asyncio.run(in_world())


def test_without_redis_the_page_is_still_there() -> None:
    async def in_world() -> None:
        async with world() as here:
            here.redis.available = False
            response = await here.client.get("/metrics")
            assert response.status_code == 200
            families = list(parse(response.text))
            assert values(families, "headrace_server_up", server="redis") == [0]
            assert values(families, "headrace_jobs") == []

    asyncio.run(in_world())
