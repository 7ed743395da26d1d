"""Dispatchers on real Kafka and Redis, spoken to by a client that has only a Kafka producer."""

from __future__ import annotations

import base64
import signal
import socket
import time
from collections.abc import Iterator

import pytest
from tests.e2e.dispatchers import BareClient, DispatcherProcess, forget_everything, free_port, new_job
from tests.unit.dispatcher.submissions import cancel, submit
from tests.waiting import wait_until

pytestmark = pytest.mark.e2e


class Site:
    """Dispatchers of one namespace, and a client."""

    def __init__(self, directory, kafka: str, redis: str, namespace: str) -> None:
        self._directory, self.kafka, self.redis, self.namespace = directory, kafka, redis, namespace
        self.processes: list[DispatcherProcess] = []
        self.client = BareClient(kafka, namespace)

    def start(self, **settings: str) -> DispatcherProcess:
        kafka, redis = settings.pop("kafka", self.kafka), settings.pop("redis", self.redis)
        name = f"{self.namespace}-{len(self.processes)}"
        self.processes.append(DispatcherProcess(self._directory, name, kafka, redis, self.namespace, **settings))
        return self.processes[-1]

    def close(self) -> None:
        for each in self.processes:
            if each.process.poll() is None:
                each.stop(signal.SIGKILL)
        self.client.close()


@pytest.fixture
def site(tmp_path, kafka, redis, request) -> Iterator[Site]:
    site = Site(tmp_path, kafka, redis, f"d{time.time_ns():x}")
    yield site
    site.close()
    if request.session.testsfailed:
        for each in site.processes:
            print(each.output.read_text(errors="replace")[-6000:])


def test_a_bare_producer_submits_and_cancels(site):
    dispatcher = site.start()
    dispatcher.wait_acting()
    job = new_job()
    site.client.send(submit(job, "r1"))
    assert site.client.event("r1")["type"] == "ACKNOWLEDGED"
    wait_until(lambda: dispatcher.get(f"/api/v1/jobs/{job}")[1]["job"]["epoch"] >= 0)
    wait_until(lambda: "no TaskManager" in dispatcher.get(f"/api/v1/jobs/{job}")[1]["job"]["reason"])
    status, body = dispatcher.get(f"/api/v1/jobs/{job}")
    assert (status, body["job"]["status"], body["graph"]["vertices"][0]["id"]) == (200, "CREATED", "v1")
    assert [each["job_id"] for each in dispatcher.get("/api/v1/jobs")[1]["jobs"]] == [job]
    assert dispatcher.get(f"/api/v1/jobs/{job}/lanes")[1]["lanes"]["v1/0"]["status"]["state"] == "CREATED"
    assert dispatcher.get("/api/v1/overview")[1]["jobs"] == {"CREATED": 1}
    site.client.send(cancel(job, "c1"))
    assert site.client.event("c1")["type"] == "DONE"
    wait_until(lambda: dispatcher.get(f"/api/v1/jobs/{job}")[1]["job"]["status"] == "CANCELED")
    site.client.send(cancel(job, "c2"))
    assert site.client.event("c2")["code"] == "job-ended"
    site.client.send(cancel(new_job(), "c3"))
    assert site.client.event("c3")["code"] == "job-unknown"


def test_same_other_and_unreadable_submissions(site):
    dispatcher = site.start()
    dispatcher.wait_acting()
    job = new_job()
    site.client.send(submit(job, "r1"))
    assert site.client.event("r1")["type"] == "ACKNOWLEDGED"
    site.client.send(b"\xff\x00 nothing that can be read")
    site.client.send(submit(job, "r2"))
    site.client.send(submit(job, "r3", name="other"))
    site.client.send(submit(new_job(), "r4", colour="red"))
    assert site.client.event("r2")["type"] == "ACKNOWLEDGED"
    other, unknown = site.client.event("r3"), site.client.event("r4")
    assert (other["type"], other["code"]) == ("REJECTED", "job-id-taken")
    assert (unknown["type"], unknown["code"], unknown["reason"]) == (
        "REJECTED",
        "submission-invalid",
        "colour: unknown field",
    )
    wait_until(lambda: len(site.client.records("dead-letters")) == 2)
    letters = {letter["error"].split(":")[0]: letter for letter in site.client.records("dead-letters")}
    assert set(letters) == {"submission-unreadable", "submission-invalid"}
    assert base64.b64decode(letters["submission-unreadable"]["value_base64"]).startswith(b"\xff\x00")
    site.client.send(cancel(job, "c1"))
    assert site.client.event("c1")["type"] == "DONE"
    wait_until(lambda: dispatcher.get(f"/api/v1/jobs/{job}")[1]["job"]["status"] == "CANCELED")
    site.client.send(submit(job, "r5", name="other"))
    assert site.client.event("r5")["code"] == "job-id-taken"
    assert dispatcher.get("/health")[0] == 200


def test_kill_of_a_dispatcher(site):
    one = site.start()
    one.wait_acting()
    jobs = [new_job() for _ in range(6)]
    for job in jobs:
        site.client.send(submit(job, job))
    for job in jobs:
        assert site.client.event(job)["type"] == "ACKNOWLEDGED"
    two = site.start()
    wait_until(lambda: one.phases() == two.phases() == ["ACTING"] * 2, deadline_s=40)
    before = {job: one.get(f"/api/v1/jobs/{job}")[1]["job"] for job in jobs}
    killed = time.monotonic()
    one.stop(signal.SIGKILL)
    two.wait_acting(deadline_s=20)
    took_s = time.monotonic() - killed
    print(f"kill -9 to all partitions acting: {took_s:.1f} s")
    assert took_s < 20  # about 7 s on a quiet machine: 6 s session and the lease

    def adopted() -> bool:
        now = {job: two.get(f"/api/v1/jobs/{job}")[1]["job"] for job in jobs}
        mine = two.get("/health")[1]["dispatcher"]
        return all(now[job]["dispatcher"] == mine and now[job]["epoch"] >= before[job]["epoch"] for job in jobs)

    wait_until(adopted)
    site.client.send(submit(jobs[0], "again"))
    assert site.client.event("again")["type"] == "ACKNOWLEDGED"
    site.client.send(submit(jobs[0], "other", name="other"))
    assert site.client.event("other")["type"] == "REJECTED"


@pytest.mark.chaos  # for time
def test_a_dispatcher_that_was_stopped_for_a_while_stands_back(site):
    one = site.start()
    one.wait_acting()
    job = new_job()
    site.client.send(submit(job, "r1"))
    assert site.client.event("r1")["type"] == "ACKNOWLEDGED"
    two = site.start()
    wait_until(lambda: one.phases() == two.phases() == ["ACTING"] * 2, deadline_s=40)
    one.process.send_signal(signal.SIGSTOP)
    two.wait_acting(deadline_s=20)
    one.process.send_signal(signal.SIGCONT)
    wait_until(lambda: one.phases() == two.phases() == ["ACTING"] * 2, deadline_s=40)
    assert one.stop() == 0
    two.wait_acting(deadline_s=5)
    site.client.send(submit(job, "r2"))
    assert site.client.event("r2")["type"] == "ACKNOWLEDGED"


def test_the_registry_is_rebuilt_after_redis_lost_everything(site):
    dispatcher = site.start()
    dispatcher.wait_acting()
    running, ended = new_job(), new_job()
    for job in (running, ended):
        site.client.send(submit(job, job))
        assert site.client.event(job)["type"] == "ACKNOWLEDGED"
    site.client.send(cancel(ended, "c1"))

    def complete() -> bool:
        found = {each["job_id"]: each["status"] for each in dispatcher.get("/api/v1/jobs")[1]["jobs"]}
        return found == {running: "CREATED", ended: "CANCELED"}

    wait_until(complete)
    epoch = dispatcher.get(f"/api/v1/jobs/{running}")[1]["job"]["epoch"]
    forget_everything(site.redis, site.namespace)
    wait_until(complete)
    assert dispatcher.get(f"/api/v1/jobs/{ended}")[1]["graph"]["vertices"][0]["id"] == "v1"
    wait_until(lambda: dispatcher.get(f"/api/v1/jobs/{running}")[1]["job"]["epoch"] >= epoch)


@pytest.mark.chaos  # for time
def test_without_redis_submissions_are_taken_after_a_while(site):
    dispatcher = site.start(redis=f"redis://127.0.0.1:{free_port()}/0")
    dispatcher.wait_acting()
    assert any("Redis at redis://127.0.0.1" in line and "does not answer" in line for line in dispatcher.said())
    site.client.send(submit(new_job(), "r1"))
    assert site.client.event("r1")["type"] == "ACKNOWLEDGED"
    status, body = dispatcher.get("/api/v1/jobs")
    assert (status, body["error"]["code"]) == (503, "redis-unreachable")
    assert dispatcher.get("/health")[0] == 503
    assert dispatcher.stop() == 0


def test_it_waits_for_kafka_with_one_line_and_stops_cleanly(site):
    dispatcher = site.start(kafka=f"127.0.0.1:{free_port()}")
    wait_until(lambda: len(dispatcher.said()) == 1, deadline_s=30)
    assert dispatcher.said()[0].startswith("Kafka at 127.0.0.1:")
    wait_until(lambda: dispatcher.get("/health")[0] == 503)
    assert len(dispatcher.said()) == 1
    assert dispatcher.stop() == 0
    lines = dispatcher.output.read_text().splitlines()
    assert [line for line in lines if not line.startswith("dispatcher: ")] == []


def test_a_taken_port_is_named(site):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        dispatcher = site.start(rest_port=str(port))
        assert dispatcher.process.wait(30) == 2
    assert dispatcher.output.read_text().startswith(f"port-taken: REST cannot listen on 127.0.0.1:{port}")
