"""REST of a real Dispatcher with a real job: a client that has HTTP only submits, looks, and cancels."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.e2e.rest_site import RestSite, built
from tests.unit.dispatcher.submissions import submit as small_submission
from tests.unit.rest.flink_shapes import SHAPES, differences

from headrace.ids import new_job_id
from headrace.protocol.submission import FixedDelay

pytestmark = pytest.mark.e2e

PARTITIONS = 2
RECORDS = [{"k": f"k{n % 5}", "parts": n % 4 + 1, "t": 1_700_000_000_000 + n * 100} for n in range(200)]
POISON = {"k": "k0", "parts": 0, "t": 1_700_000_030_000}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, kafka: str, redis: str, namespace: str) -> Iterator[RestSite]:
    site = RestSite(tmp_path_factory.mktemp("rest"), kafka, redis, namespace)
    try:
        site.dispatcher.wait_acting()
        yield site
    finally:
        site.close()


@pytest.fixture(scope="module")
def taskmanager(site: RestSite) -> Iterator[str]:
    with site.taskmanager(slots=2) as id_:
        yield id_


@pytest.fixture(scope="module")
def running(site: RestSite, taskmanager: str) -> Iterator[Any]:
    """A job of two lanes at each of two vertices, all of its input read."""
    names = site.topics(parts=PARTITIONS, shares=1)
    site.fill(names["parts"], RECORDS, PARTITIONS)
    arguments = ["--input", names["parts"], "--output", names["shares"]]
    submit, code = built("shares.py", arguments, parallelism=2, bootstrap=site.bootstrap)
    submit = submit.model_copy(update={"restart": FixedDelay(attempts=2, delay_ms=0)})
    answer = site.submit(submit, code)
    assert (answer.status_code, answer.json()["type"]) == (202, "ACKNOWLEDGED"), answer.text
    site.await_status(submit.job_id, "RUNNING")

    def read() -> int:
        return int(site.get(f"/api/v1/jobs/{submit.job_id}")["vertices"][1]["records_in"])

    site.until(lambda: read() == len(RECORDS), "everything was read")
    yield {"id": submit.job_id, "names": names, "submit": submit, "code": code}


def fits(site: RestSite, shape: str, path: str) -> Any:
    """The answer of a path of Flink's, with and without its prefix."""
    body = site.get(path)
    assert list(differences(SHAPES[shape], body)) == []
    assert list(differences(SHAPES[shape], site.get(f"/v1{path}"))) == []
    return body


def test_a_running_job(site: RestSite, running: Any, taskmanager: str) -> None:
    body = site.get(f"/api/v1/jobs/{running['id']}")
    first, second = body["vertices"]
    assert [lane["state"] for vertex in (first, second) for lane in vertex["lanes"]] == ["RUNNING"] * 4
    assert {lane["taskmanager"] for lane in first["lanes"]} == {taskmanager}
    assert sorted(lane["slot"] for lane in first["lanes"]) == [0, 1]
    assert (first["records_in"], second["records_in"]) == (200, 200)
    site.until(lambda: site.get(f"/api/v1/jobs/{running['id']}")["vertices"][0]["lag"] == 0, "its lag is 0")
    last_ms = RECORDS[-2]["t"] - 1000 - 1  # of the partition that is behind, by a second as its strategy says
    site.until(
        lambda: site.get(f"/api/v1/jobs/{running['id']}")["vertices"][0]["watermark_ms"] == last_ms, "its watermark"
    )
    assert site.get(f"/api/v1/taskmanagers/{taskmanager}")["taskmanager"]["occupied"] == {
        "0": running["id"],
        "1": running["id"],
    }


def test_topics_of_a_job(site: RestSite, running: Any) -> None:
    def topics() -> dict[str, Any]:
        return {topic["role"]: topic for topic in site.get(f"/api/v1/jobs/{running['id']}/topics")["topics"]}

    def read_to() -> list[int | None]:
        return [each["read_to"] for each in topics()["source"]["partitions"]]

    site.until(lambda: read_to() == [100, 100], "the hints of both lanes have arrived")
    found = topics()
    assert found["source"]["lag"] == 0
    assert (found["source"]["name"], found["source"]["of"]) == (running["names"]["parts"], ["Source: shares"])
    assert sum(each["end_offset"] for each in found["source"]["partitions"]) == len(RECORDS)
    assert found["sink"]["partitions"][0]["end_offset"] >= len(RECORDS)
    assert (found["sink"]["lag"], found["lane-log"]["lag"]) == (None, None)
    exchange = found["exchange"]
    assert exchange["name"].endswith(".e1") and len(exchange["partitions"]) == 2
    site.until(lambda: topics()["exchange"]["lag"] is not None, "the exchange's hints have arrived")
    assert topics()["exchange"]["lag"] <= 2 * len(exchange["partitions"])  # markers of the last transactions


def test_lines_that_it_printed(site: RestSite, running: Any) -> None:
    path = f"/api/v1/jobs/{running['id']}/logs"
    site.until(lambda: len(site.get(f"{path}?lines=1000")["lines"]) == len(RECORDS), "all lines have arrived")
    body = site.get(f"{path}?lines=3")
    assert (len(body["lines"]), body["complete"], body["dropped"]) == (3, False, 0)
    assert re.fullmatch(r"k\d has \d parts", body["lines"][0]["line"])
    assert body["lines"][-1]["stream"] == "stdout"
    of_lane = site.get(f"{path}?lane=v1/1&lines=1000")
    assert of_lane["complete"] is True
    assert {line["lane"] for line in of_lane["lines"]} == {"v1/1"} and len(of_lane["lines"]) == 100


def test_the_same_submission_again(site: RestSite, running: Any) -> None:
    again = running["submit"].model_copy(update={"request_id": "again"})
    answer = site.submit(again, running["code"])
    # The package lies elsewhere now, so the content is another: a client repeats what it sent, not its upload.
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "job-id-taken")


def test_flinks_view_of_it(site: RestSite, running: Any, taskmanager: str) -> None:
    job = running["id"]
    assert fits(site, "jobs", "/jobs")["jobs"][0] == {"id": job, "status": "RUNNING"}
    listed = fits(site, "jobs-overview", "/jobs/overview")["jobs"][0]
    assert (listed["jid"], listed["tasks"]["running"], listed["tasks"]["total"]) == (job, 4, 4)
    details = fits(site, "job-detail", f"/jobs/{job}")
    assert [vertex["metrics"]["read-records"] for vertex in details["vertices"]] == [200, 200]
    assert [vertex["id"] for vertex in details["vertices"]] == [node["id"] for node in details["plan"]["nodes"]]
    assert fits(site, "job-status", f"/jobs/{job}/status") == {"status": "RUNNING"}
    assert fits(site, "job-config", f"/jobs/{job}/config")["execution-config"]["job-parallelism"] == 2
    fits(site, "job-exceptions", f"/jobs/{job}/exceptions")
    fits(site, "job-execution-result", f"/jobs/{job}/execution-result")
    assert fits(site, "overview", "/overview")["jobs-running"] >= 1
    fits(site, "config", "/config")
    fits(site, "taskmanagers", "/taskmanagers")
    slots = fits(site, "taskmanager", f"/taskmanagers/{taskmanager}")["allocatedSlots"]
    assert [(slot["jobId"], slot["assignedTasks"]) for slot in slots] == [(job, 2), (job, 2)]


def test_metrics_of_it(site: RestSite, running: Any) -> None:
    families = {f.name: f for f in text_string_to_metric_families(site.client.get("/metrics").text)}
    read = [s.value for s in families["headrace_lane_records_in"].samples if s.labels["job_id"] == running["id"]]
    assert sum(read) == 2 * len(RECORDS)
    assert {s.labels["state"]: s.value for s in families["headrace_slots"].samples} == {"free": 0, "occupied": 2}
    assert families["headrace_server_up"].samples[0].value == 1
    assert families["headrace_dead_letters"].samples[0].value >= 0


def test_the_command_line_sees_the_same(site: RestSite, running: Any) -> None:
    """``streamctl`` reads the envelope that it always read."""
    body = site.get(f"/api/v1/jobs/{running['id']}")
    assert {"job", "graph", "metrics"} <= body.keys()
    assert body["metrics"].keys() == {"v1/0", "v1/1", "v2/0", "v2/1"}


def test_why_it_failed(site: RestSite, running: Any) -> None:
    """The last use of the job: a record that its own code cannot take."""
    job = running["id"]
    site.fill(running["names"]["parts"], [POISON], PARTITIONS)
    failed = site.await_status(job, "FAILED")
    assert "ZeroDivisionError" in failed["job"]["reason"]
    body = site.get(f"/api/v1/jobs/{job}/exceptions")
    newest = body["exceptions"][0]
    assert "ZeroDivisionError" in newest["error"] and newest["user"] is True
    assert newest["lane"] in ("v1/0", "v1/1")
    assert len(body["exceptions"]) >= 2 and body["complete"] is True
    assert [each["at_ms"] for each in body["exceptions"]] == sorted(
        (each["at_ms"] for each in body["exceptions"]), reverse=True
    )
    assert "in share" in newest["traceback"]
    assert len(site.get(f"/api/v1/jobs/{job}/exceptions?limit=1")["exceptions"]) == 1
    history = fits(site, "job-exceptions", f"/jobs/{job}/exceptions?maxExceptions=1")["exceptionHistory"]
    assert (len(history["entries"]), history["truncated"]) == (1, True)
    assert history["entries"][0]["exceptionName"] == "ZeroDivisionError"
    result = fits(site, "job-execution-result-failed", f"/jobs/{job}/execution-result")["job-execution-result"]
    assert result["application-status"] == "FAILED"
    assert result["failure-cause"]["class"] == "ZeroDivisionError"
    response = site.ask("PATCH", f"/jobs/{job}?mode=cancel")
    assert (response.status_code, list(response.json())) == (409, ["errors"])


def test_the_life_of_a_job_by_http(site: RestSite) -> None:
    """Without a slot for it: accepted, waiting with a reason, canceled."""
    job = new_job_id()
    body = small_submission(job, "r1")
    assert site.ask("POST", "/api/v1/jobs", json=body).json()["type"] == "ACKNOWLEDGED"
    assert site.ask("POST", "/api/v1/jobs", json=body | {"request_id": "r2"}).status_code == 202
    other = site.ask("POST", "/api/v1/jobs", json=body | {"request_id": "r3", "name": "other"})
    assert (other.status_code, other.json()["error"]["code"]) == (409, "job-id-taken")
    wrong = site.ask("POST", "/api/v1/jobs", json=body | {"colour": "red"})
    assert (wrong.status_code, wrong.json()["error"]["message"]) == (400, "colour: unknown field")
    cancel = site.ask("POST", f"/api/v1/jobs/{job}/cancel")
    assert (cancel.status_code, cancel.json()["type"]) == (202, "DONE")
    site.await_status(job, "CANCELED")
    again = site.ask("POST", f"/api/v1/jobs/{job}/cancel")
    assert (again.status_code, again.json()["error"]["code"]) == (409, "job-ended")
    fits(site, "job-execution-result-canceled", f"/jobs/{job}/execution-result")
    assert site.ask("PATCH", f"/v1/jobs/{job}?mode=cancel").status_code == 202
    unknown = new_job_id()
    assert site.ask("POST", f"/api/v1/jobs/{unknown}/cancel").json()["error"]["code"] == "job-unknown"
    refused = site.ask("PATCH", f"/jobs/{unknown}?mode=cancel")
    assert refused.status_code == 404, refused.text
    assert list(differences(SHAPES["error"], refused.json())) == []


def test_answers_do_not_wait_for_the_network(site: RestSite) -> None:
    """One connection, many requests: with Nagle's algorithm on, each would take 40 ms."""
    took = []
    for _ in range(15):
        began = time.perf_counter()
        assert site.client.get("/config").status_code == 200
        took.append(time.perf_counter() - began)
    assert min(took) < 0.03


def test_other_names_and_sites_are_refused(site: RestSite) -> None:
    for headers in ({"Host": "evil.example"}, {"Origin": "https://evil.example"}):
        for method, path in (("GET", "/api/v1/jobs"), ("POST", "/api/v1/jobs"), ("PATCH", f"/jobs/{new_job_id()}")):
            assert httpx.request(method, site.url + path, headers=headers).status_code == 403
    preflight = {"Origin": "https://evil.example", "Access-Control-Request-Method": "PATCH"}
    answer = httpx.options(f"{site.url}/jobs/x", headers=preflight)
    assert answer.status_code == 403 and "access-control-allow-origin" not in answer.headers


def test_a_dispatcher_with_a_token(tmp_path: Path, kafka: str, redis: str, namespace: str) -> None:
    site = RestSite(tmp_path, kafka, redis, f"{namespace}-token", token="a-secret-for-tests")
    try:
        site.until(lambda: site.dispatcher.get("/health")[0] in (200, 503), "it listens")
        bare = httpx.get(f"{site.url}/api/v1/overview")
        assert (bare.status_code, bare.json()["error"]["code"]) == (401, "rest-unauthorized")
        assert httpx.get(f"{site.url}/metrics").status_code == 401
        assert list(httpx.get(f"{site.url}/jobs").json()) == ["errors"]
        assert httpx.get(f"{site.url}/api/v1/docs").status_code == 200
        assert site.client.get("/api/v1/overview").status_code == 200
        assert site.client.get("/metrics").status_code == 200
        assert "a-secret-for-tests" not in site.dispatcher.output.read_text()
    finally:
        site.close()
