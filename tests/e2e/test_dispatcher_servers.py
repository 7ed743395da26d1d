"""A Dispatcher outlives its servers: Kafka and Redis of this module are killed and stopped under it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import pytest
from tests.e2e.dispatchers import BareClient, DispatcherProcess, new_job
from tests.unit.dispatcher.submissions import cancel, submit
from tests.waiting import wait_until

from headrace.embedded import EmbeddedCluster

pytestmark = [pytest.mark.e2e, pytest.mark.chaos]  # for time


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedCluster]:
    with EmbeddedCluster(tmp_path_factory.mktemp("cluster"), platform=False) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def dispatcher(cluster, tmp_path_factory) -> Iterator[DispatcherProcess]:
    addresses = cluster.addresses
    one = DispatcherProcess(tmp_path_factory.mktemp("out"), "one", addresses.bootstrap, addresses.redis, "servers")
    one.wait_acting()
    yield one
    assert one.process.poll() is None, one.output.read_text(errors="replace")[-4000:]
    assert one.stop() == 0


@pytest.fixture
def client(cluster, dispatcher) -> Iterator[BareClient]:
    client = BareClient(cluster.addresses.bootstrap, "servers")
    yield client
    client.close()


def well(dispatcher: DispatcherProcess) -> bool:
    return dispatcher.get("/health")[0] == 200 and dispatcher.phases() == ["ACTING"] * 4


def running_job(dispatcher: DispatcherProcess, client: BareClient, request: str) -> tuple[str, int]:
    """A job that a JobMaster commands, and the epoch."""
    job = new_job()
    client.send(submit(job, request))
    assert client.event(request)["type"] == "ACKNOWLEDGED"
    wait_until(lambda: (record_of(dispatcher, job) or {"epoch": -1})["epoch"] >= 0)
    record = record_of(dispatcher, job)
    assert record is not None
    return job, record["epoch"]


def record_of(dispatcher: DispatcherProcess, job: str) -> dict | None:
    status, body = dispatcher.get(f"/api/v1/jobs/{job}")
    return body["job"] if status == 200 else None


@pytest.mark.parametrize("round_", range(3))
def test_kafka_is_killed(cluster, dispatcher, client, round_):
    job, epoch = running_job(dispatcher, client, f"before-{round_}")
    lines = len(dispatcher.said())
    os.kill(cluster.pids["kafka"], signal.SIGKILL)
    client.send_later(submit(new_job(), f"meanwhile-{round_}"))
    wait_until(lambda: dispatcher.get("/health")[0] == 503, deadline_s=30)
    wait_until(lambda: well(dispatcher), deadline_s=60)
    client.flush()
    assert client.event(f"meanwhile-{round_}", deadline_s=30)["type"] == "ACKNOWLEDGED"
    client.send(cancel(job, f"cancel-{round_}"))
    assert client.event(f"cancel-{round_}", deadline_s=30)["type"] == "DONE"
    record = record_of(dispatcher, job)
    assert record is not None and record["epoch"] == epoch  # its JobMaster rode it out
    said = [line for line in dispatcher.said()[lines:] if line.startswith("Kafka")]
    assert len(said) == 2 and said[1].endswith("answers again")


def test_redis_is_killed(cluster, dispatcher, client):
    job, epoch = running_job(dispatcher, client, "before-redis")
    os.kill(cluster.pids["redis"], signal.SIGKILL)
    wait_until(lambda: well(dispatcher), deadline_s=30)
    client.send(cancel(job, "cancel-redis"))
    assert client.event("cancel-redis")["type"] == "DONE"
    wait_until(lambda: (record_of(dispatcher, job) or {})["status"] == "CANCELED")


def test_redis_is_stopped_for_a_while(cluster, dispatcher, client):
    """Past the lease: JobMasters stop and start again, with a higher epoch. Past ten seconds: without Redis."""
    job, epoch = running_job(dispatcher, client, "before-stop")
    pid = cluster.pids["redis"]
    os.kill(pid, signal.SIGSTOP)
    try:
        stopped = time.monotonic()
        wait_until(lambda: dispatcher.phases() == ["STANDBY"] * 4)
        assert time.monotonic() - stopped < 8
        wait_until(lambda: dispatcher.phases() == ["ACTING"] * 4, deadline_s=30)
        client.send(submit(new_job(), "without-redis"))
        assert client.event("without-redis")["type"] == "ACKNOWLEDGED"
    finally:
        os.kill(pid, signal.SIGCONT)
    wait_until(lambda: well(dispatcher), deadline_s=30)
    wait_until(lambda: (record_of(dispatcher, job) or {"epoch": -1})["epoch"] > epoch)
    wait_until(lambda: len(dispatcher.get("/api/v1/jobs")[1]["jobs"]) >= 9)
