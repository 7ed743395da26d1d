"""Look-ups of ``/api/v1`` and of Flink's paths, and the answers to mistakes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.unit.rest import registry
from tests.unit.rest.registry import JOB
from tests.unit.rest.world import World, world

from headrace.protocol.states import JobStatus
from headrace.rest.access import Access

UNKNOWN = "f" * 32


def run(story: Callable[[World], Awaitable[None]], **settings: Any) -> None:
    async def in_world() -> None:
        async with world(**settings) as here:
            await here.store.put_graph(JOB, registry.SUBMIT.model_dump_json().encode(), submitted_ms=1)
            await here.store.put_record(registry.job())
            await here.store.put_lane_metrics(JOB, registry.metrics())
            await here.store.put_taskmanager(registry.taskmanager())
            await story(here)

    asyncio.run(in_world())


def test_one_job_with_its_lanes() -> None:
    async def story(here: World) -> None:
        body = (await here.client.get(f"/api/v1/jobs/{JOB}")).json()
        assert (body["job"]["status"], body["graph"]["edges"][0]["ship"]) == ("RUNNING", "hash")
        v1, v2 = body["vertices"]
        assert (v1["id"], v1["parallelism"], v1["records_in"], v1["records_in_per_s"]) == ("v1", 2, 300, 25.0)
        assert (v1["lag"], v2["lag"]) == (1, None)
        assert (v1["late_dropped"], v1["lanes"][1]["late_dropped"]) == (3, 3)
        assert v1["watermark_ms"] == registry.NOW_MS - 3000  # the least of its lanes
        lane = v1["lanes"][1]
        assert (lane["lane"], lane["state"], lane["taskmanager"], lane["slot"]) == ("v1/1", "RUNNING", "tm1", 0)
        assert (lane["attempt"], lane["lag"], lane["commits"]) == ("2.1", 1, 10)
        assert (v2["lanes"][0]["taskmanager"], v2["lanes"][0]["slot"]) == (None, None)

    run(story)


def test_a_vertex_has_no_watermark_while_a_lane_has_none() -> None:
    async def story(here: World) -> None:
        await here.store.put_lane_metrics(JOB, {"v1/0": registry.metrics(watermark_ms=None)["v1/0"]})
        body = (await here.client.get(f"/api/v1/jobs/{JOB}")).json()
        assert body["vertices"][0]["watermark_ms"] is None

    run(story)


def test_why_a_lane_waits() -> None:
    """The control plane's reason first, else the lane's own."""

    async def story(here: World) -> None:
        lanes = registry.job().lanes
        lanes["v1/0"] = lanes["v1/0"].model_copy(update={"reason": "waiting for 1 slot"})
        await here.store.put_record(registry.job(lanes=lanes))
        await here.store.put_lane_metrics(JOB, registry.metrics(reason="held back by v2/0"))
        views = (await here.client.get(f"/api/v1/jobs/{JOB}")).json()["vertices"][0]["lanes"]
        assert [view["reason"] for view in views] == ["waiting for 1 slot", "held back by v2/0"]

    run(story)


def test_a_job_whose_graph_is_not_there_yet() -> None:
    async def story(here: World) -> None:
        await here.store.put_graph(JOB, b'{"of": "another version"}', submitted_ms=1)
        body = (await here.client.get(f"/api/v1/jobs/{JOB}")).json()
        assert body["graph"] is None
        assert [(v["id"], len(v["lanes"])) for v in body["vertices"]] == [("v1", 2), ("v2", 2)]
        assert (await here.client.get(f"/jobs/{JOB}")).json()["vertices"] == []

    run(story)


def test_jobs_by_status_and_number() -> None:
    async def story(here: World) -> None:
        for number in range(3):
            job = registry.job(JobStatus.FINISHED, job_id=f"{number:032x}", submitted_ms=number)
            await here.store.put_record(job)

        async def ids(query: str) -> list[str]:
            return [each["job_id"] for each in (await here.client.get(f"/api/v1/jobs{query}")).json()["jobs"]]

        assert len(await ids("")) == 4
        assert await ids("?status=RUNNING") == [JOB]
        assert await ids("?status=FINISHED&limit=2") == [f"{2:032x}", f"{1:032x}"]

    run(story)


def test_the_cluster() -> None:
    async def story(here: World) -> None:
        overview = (await here.client.get("/api/v1/overview")).json()
        assert (overview["slots_total"], overview["slots_free"], overview["jobs"]) == (3, 2, {"RUNNING": 1})
        assert [tm["id"] for tm in (await here.client.get("/api/v1/taskmanagers")).json()["taskmanagers"]] == ["tm0"]
        assert (await here.client.get("/api/v1/taskmanagers/tm0")).json()["taskmanager"]["slots"] == 3

    run(story)


MISTAKES = [
    (f"/api/v1/jobs/{UNKNOWN}", 404, "job-unknown"),
    ("/api/v1/jobs/nonsense", 404, "job-unknown"),
    (f"/api/v1/jobs/{UNKNOWN}/lanes", 404, "job-unknown"),
    (f"/api/v1/jobs/{UNKNOWN}/logs", 404, "job-unknown"),
    (f"/api/v1/jobs/{UNKNOWN}/exceptions", 404, "job-unknown"),
    (f"/api/v1/jobs/{UNKNOWN}/topics", 404, "job-unknown"),
    ("/api/v1/taskmanagers/tm9", 404, "taskmanager-unknown"),
    ("/api/v1/jobs?limti=3", 400, "rest-request-invalid"),
    ("/api/v1/jobs?limit=0", 400, "rest-request-invalid"),
    ("/api/v1/jobs?status=running", 400, "rest-request-invalid"),
    ("/api/v1/overview?x", 400, "rest-request-invalid"),
    ("/api/v1/overview?x=1", 400, "rest-request-invalid"),
    (f"/api/v1/jobs/{JOB}/logs?lane=v1", 400, "rest-request-invalid"),
    (f"/api/v1/jobs/{JOB}/exceptions?limit=999", 400, "rest-request-invalid"),
    ("/api/v1", 404, "rest-not-found"),
    ("/api/v1/jobs/", 404, "rest-not-found"),
    ("/api/v2/jobs", 404, "rest-not-found"),
]


def test_mistakes_are_told() -> None:
    async def story(here: World) -> None:
        assert [(path, *await here.error("GET", path)) for path, _, _ in MISTAKES] == MISTAKES

    run(story)


def test_a_misspelled_parameter_is_answered_with_the_right_ones() -> None:
    async def story(here: World) -> None:
        error = (await here.client.get("/api/v1/jobs?limti=3")).json()["error"]
        assert (error["message"], error["hint"]) == (
            "unknown query parameter 'limti'",
            "this address takes limit, status",
        )

    run(story)


def test_a_method_that_is_not_there() -> None:
    async def story(here: World) -> None:
        response = await here.client.delete(f"/api/v1/jobs/{JOB}")
        assert (response.status_code, response.json()["error"]["code"]) == (405, "rest-refused")
        assert response.headers["allow"] == "GET"
        assert (await here.client.put("/api/v1/jobs")).headers["allow"] == "GET, POST"
        flinks = await here.client.put(f"/v1/jobs/{JOB}")
        assert (flinks.headers["allow"], list(flinks.json())) == ("GET, PATCH", ["errors"])

    run(story)


@pytest.mark.parametrize("prefix", ["", "/v1"])
def test_flinks_paths_and_errors(prefix: str) -> None:
    async def story(here: World) -> None:
        async def get(path: str) -> tuple[int, Any]:
            response = await here.client.request("GET", prefix + path, content=b"{}")  # as Flink's CLI sends it
            return response.status_code, response.json()

        assert (await get("/config"))[1]["features"]["web-submit"] is False
        assert (await get("/overview"))[1]["jobs-running"] == 1
        assert await get("/jobs") == (200, {"jobs": [{"id": JOB, "status": "RUNNING"}]})
        assert (await get("/jobs/overview"))[1]["jobs"][0]["tasks"]["running"] == 4
        assert (await get(f"/jobs/{JOB}"))[1]["plan"]["nodes"][1]["inputs"]
        assert (await get(f"/jobs/{JOB.upper()}"))[1]["jid"] == JOB
        assert await get(f"/jobs/{JOB}/status") == (200, {"status": "RUNNING"})
        assert (await get(f"/jobs/{JOB}/config"))[1]["execution-config"]["job-parallelism"] == 2
        assert (await get(f"/jobs/{JOB}/execution-result"))[1] == {"status": {"id": "IN_PROGRESS"}}
        assert (await get(f"/jobs/{JOB}/plan"))[1]["plan"]["jid"] == JOB
        assert (await get("/taskmanagers"))[1]["taskmanagers"][0]["id"] == "tm0"
        assert (await get("/taskmanagers/tm0"))[1]["allocatedSlots"][0]["assignedTasks"] == 1
        for path, status in [
            (f"/jobs/{UNKNOWN}", 404),
            (f"/jobs/{UNKNOWN}/status", 404),
            (f"/jobs/{UNKNOWN}/exceptions", 404),
            ("/jobs/zzz", 400),
            ("/taskmanagers/tm9", 404),
            ("/no/such/path", 404),
            (f"/jobs/{JOB}/exceptions?maxExceptions=many", 400),
        ]:
            found, body = await get(path)
            assert (found, list(body), len(body["errors"])) == (status, ["errors"], 1), path

    run(story)


def test_without_redis() -> None:
    async def story(here: World) -> None:
        here.redis.available = False
        assert await here.error("GET", "/api/v1/jobs") == (503, "redis-unreachable")
        response = await here.client.get("/jobs/overview")
        assert (response.status_code, list(response.json())) == (503, ["errors"])
        assert response.headers["retry-after"] == "1"
        assert (await here.client.get("/health")).status_code == 503
        assert (await here.client.head("/health")).status_code == 503

    run(story)


def test_a_mistake_of_ours_is_an_answer_too(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(here: World) -> None:
        monkeypatch.setattr("headrace.rest.own.vertex_views", lambda *_: 1 / 0)
        monkeypatch.setattr("headrace.rest.flink_jobs.job_plan", lambda *_: 1 / 0)
        assert await here.error("GET", f"/api/v1/jobs/{JOB}") == (500, "rest-internal")
        response = await here.client.get(f"/jobs/{JOB}")
        assert (response.status_code, list(response.json())) == (500, ["errors"])

    run(story)


def test_a_token_in_both_shapes() -> None:
    async def story(here: World) -> None:
        assert await here.error("GET", "/api/v1/jobs") == (401, "rest-unauthorized")
        response = await here.client.get("/jobs")
        assert (response.status_code, response.headers["www-authenticate"]) == (401, "Bearer")
        assert list(response.json()) == ["errors"]
        assert (await here.client.get("/metrics")).status_code == 401
        assert (await here.client.get("/health")).status_code == 200
        right = {"Authorization": "Bearer secret-word"}
        assert (await here.client.get("/jobs", headers=right)).status_code == 200

    run(story, access=Access(token="secret-word"))


def test_more_requests_than_are_served(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(here: World) -> None:
        monkeypatch.setattr("headrace.rest.door.REQUESTS_AT_ONCE_MAX", 0)
        assert await here.error("GET", "/api/v1/jobs") == (503, "rest-busy")
        assert (await here.client.get("/health")).status_code == 200

    run(story)
