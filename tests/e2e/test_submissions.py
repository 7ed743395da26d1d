"""What comes in at the platform's doors, good and bad, while a job runs that none of it may disturb.

The tests share one platform and one running job (``bystander``). After each test that job must have gone on in the
same processes; at the end its whole result is compared.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient
from tests.accounting import await_rows, read_committed
from tests.e2e.dispatchers import BareClient, free_port, new_job
from tests.e2e.embedded_client import produce
from tests.e2e.platform_job import PlatformJob, running_job
from tests.e2e.platform_site import Site

from streamctl.trial.filling import create_topics

pytestmark = pytest.mark.e2e

JOBS = Path(__file__).parent / "jobs"
CONTRACT = Path(__file__).parents[2] / "docs" / "contract" / "README.md"
WINDOWS, RAISING, UNPICKLABLE = (str(JOBS / f"{name}.py") for name in ("windows", "raising", "unpicklable"))


@pytest.fixture(scope="module")
def bystander(platform: Site) -> Iterator[PlatformJob]:
    """A job that runs through all of this, in one of the two slots."""
    platform.await_healthy()
    with running_job(platform, parallelism=1, rate_per_s=500, seed=9) as job:
        yield job


@pytest.fixture
def site(platform: Site, bystander: PlatformJob) -> Iterator[Site]:
    """The platform; whatever a test does to it, the bystander goes on."""
    owners = bystander.commits.attempts()
    yield platform
    bystander.await_commits(10, "of the job beside it, after this test")
    assert bystander.commits.attempts() == owners
    assert platform.mistakes() == []


@pytest.fixture
def bare(site: Site) -> Iterator[BareClient]:
    """A client of Kafka alone, with nothing of ours."""
    client = BareClient(site.bootstrap, site.namespace)
    yield client
    client.close()


@pytest.fixture
def topics(site: Site) -> tuple[str, str]:
    """An input and an output topic of this test's own, one partition each."""
    name = f"s-{new_job()[:8]}"
    create_topics(site.bootstrap, {f"{name}-in": 1, f"{name}-out": 1})
    return f"{name}-in", f"{name}-out"


def example_of_the_contract(job_id: str, request_id: str, source: str, sink: str, **changes: Any) -> dict[str, Any]:
    """The submission that docs/contract shows, for other topics."""
    text = re.search(r"```json\n(.*?)```", CONTRACT.read_text(encoding="utf-8"), re.DOTALL)
    assert text is not None
    message = json.loads(text[1])
    reads, writes = message["graph"]["vertices"][0]["operators"]
    reads["params"] |= {"topics": [source], "group_id": sink}
    writes["params"] |= {"topic": sink}
    return message | {"job_id": job_id, "request_id": request_id} | changes


def cancel(job_id: str, request_id: str) -> dict[str, Any]:
    return {"version": 1, "type": "cancel", "request_id": request_id, "job_id": job_id}


def statuses(bare: BareClient, job_id: str) -> list[str]:
    """What the job has been so far, from its public events."""
    events = bare.records("job-events")
    return [event["status"] for event in events if event["job_id"] == job_id and event["type"] == "STATUS"]


def topics_of(site: Site, job_id: str) -> list[str]:
    """Exchanges and lane logs of a job."""
    found = AdminClient({"bootstrap.servers": site.bootstrap}).list_topics(timeout=10).topics
    return [name for name in found if job_id in name]


# ---- any Kafka producer


def test_the_example_of_the_contract_from_a_bare_producer(site: Site, bare: BareClient, topics) -> None:
    source, sink = topics
    lines = [f"line {n}" for n in range(500)]
    produce(site.bootstrap, source, lines)
    job = new_job()
    bare.send(example_of_the_contract(job, f"{job}-1", source, sink))
    assert bare.event(f"{job}-1")["type"] == "ACKNOWLEDGED"
    site.until(lambda: "RUNNING" in statuses(bare, job), "the job is RUNNING")
    rows = await_rows(site.bootstrap, sink, lambda found: len(found) >= len(lines), timeout_s=30)
    assert sorted(row.value().decode() for row in rows) == sorted(lines)
    bare.send(cancel(job, f"{job}-2"))
    assert bare.event(f"{job}-2")["type"] == "DONE"
    site.until(lambda: statuses(bare, job)[-1:] == ["CANCELED"], "the job is CANCELED")
    assert len(read_committed(site.bootstrap, sink)) == len(lines)


def test_the_same_submission_twice_and_another_under_its_id(site: Site, bare: BareClient, topics) -> None:
    job = new_job()
    for request in ("first", "again"):
        bare.send(example_of_the_contract(job, f"{job}-{request}", *topics))
        assert bare.event(f"{job}-{request}")["type"] == "ACKNOWLEDGED"
    bare.send(example_of_the_contract(job, f"{job}-other", *topics, name="another"))
    rejected = bare.event(f"{job}-other")
    assert (rejected["type"], rejected["code"]) == ("REJECTED", "job-id-taken")
    site.until(lambda: "RUNNING" in statuses(bare, job), "the job is RUNNING")
    assert statuses(bare, job).count("RUNNING") == 1
    bare.send(cancel(job, f"{job}-cancel"))
    site.until(lambda: statuses(bare, job)[-1:] == ["CANCELED"], "the job is CANCELED")
    bare.send(example_of_the_contract(job, f"{job}-late", *topics, name="another"))
    assert bare.event(f"{job}-late")["code"] == "job-id-taken"
    bare.send(example_of_the_contract(job, f"{job}-same", *topics))
    assert bare.event(f"{job}-same")["type"] == "ACKNOWLEDGED"
    assert statuses(bare, job)[-1] == "CANCELED"


def test_what_cannot_be_read_becomes_a_dead_letter(site: Site, bare: BareClient, topics) -> None:
    job = new_job()
    noise = b"\xff\x00" + job.encode()
    bare.send(noise)
    bare.send(example_of_the_contract(job, f"{job}-1", *topics, colour="red"))
    assert bare.event(f"{job}-1")["reason"] == "colour: unknown field"
    letters = {base64.b64decode(letter["value_base64"]): letter["error"] for letter in bare.records("dead-letters")}
    assert letters[noise].startswith("submission-unreadable: ")
    (unknown,) = [error for value, error in letters.items() if job.encode() in value and value != noise]
    assert unknown == "submission-invalid: colour: unknown field"
    assert site.job(job) is None


# ---- streamctl submit


def test_a_function_that_cannot_be_pickled_is_named(site: Site) -> None:
    said = site.streamctl("submit", UNPICKLABLE)
    assert said.status == 2, said
    assert "[function-not-picklable]" in said.stderr
    assert "guard" in said.stderr and "unpicklable.py" in said.stderr
    assert "Traceback" not in said.stderr


def test_a_missing_topic_is_named_before_anything_starts(site: Site, topics) -> None:
    said = site.streamctl("submit", WINDOWS, "--json", "--", "--input", "nowhere", "--output", topics[1])
    assert said.status == 1, said
    assert "no such Kafka topic: 'nowhere'" in said.last["error"]["message"]
    assert "Traceback" not in said.stderr
    assert topics_of(site, said.last["job_id"]) == []


def test_an_exception_in_user_code_is_theirs_to_read(site: Site, topics) -> None:
    source, sink = topics
    produce(site.bootstrap, source, ['{"parts": 4}', '{"parts": 0}'])
    said = site.streamctl("submit", RAISING, "--wait", "--", "--input", source, "--output", sink)
    assert said.status == 1, said
    shown = said.stderr[said.stderr.index("Traceback (most recent call last):") :].splitlines()
    assert "raising.py" in shown[1] and "in share" in shown[1]
    assert "ZeroDivisionError: division by zero" in said.stderr
    assert "[job-failed]" in said.stderr
    job = said.stderr.split("streamctl logs ")[1][:12]
    site.until(lambda: site.streamctl("show", job, "--json").last["job"]["status"] == "FAILED", "it is FAILED")
    record = site.streamctl("show", job, "--json").last["job"]
    assert record["failure"]["user"] is True
    assert record["failure"]["lane"] == "v1/0"
    assert record["lanes"]["v1/0"]["attempt"] == "1.2"  # the third try
    assert read_committed(site.bootstrap, sink) == []


def test_a_record_that_cannot_be_decoded_is_named(site: Site, topics) -> None:
    source, sink = topics
    produce(site.bootstrap, source, ['{"parts": 4}', '{"parts": 5}', "no JSON"])
    said = site.streamctl("submit", RAISING, "--wait", "--json", "--", "--input", source, "--output", sink)
    assert said.status == 1, said
    message = said.last["error"]["message"]
    assert f"{source}/0" in message and "offset 2" in message and "no JSON" in message, message
    record = site.job(said.last["job_id"])
    assert record is not None and record.status == "FAILED"
    assert record.lanes["v1/0"].attempt == "1.0"  # trying again cannot help


def test_too_few_slots_are_waited_for_and_said(site: Site, topics) -> None:
    source, sink = topics
    where = ("--", "--input", source, "--output", sink)
    said = site.streamctl("submit", WINDOWS, "-p", "3", "--timeout", "3", "--json", *where)
    assert said.status == 4, said
    assert said.last["error"]["code"] == "job-not-running-yet"
    job = said.last["job_id"]
    shown = site.streamctl("show", job, "--json").last["job"]
    assert (shown["status"], shown["reason"]) == ("CREATED", "waiting for 3 slots: 1 of 2 free")
    with site.taskmanager("joined", slots=2):
        site.until(lambda: (found := site.job(job)) is not None and found.status == "RUNNING", "it runs")
        assert site.streamctl("cancel", job, "--wait", "--json").last["status"] == "CANCELED"


def test_a_watermark_that_is_held_names_the_idle_partition_and_the_windows_that_wait(site: Site) -> None:
    name = f"held-{new_job()[:8]}"
    create_topics(site.bootstrap, {f"{name}-in": 2, f"{name}-out": 1})
    said = site.streamctl("submit", WINDOWS, "--json", "--", "--input", f"{name}-in", "--output", f"{name}-out")
    assert said.last["status"] == "RUNNING", said
    job = said.last["job_id"]
    records = [json.dumps({"k": "a", "v": 1, "t": 1_000 * n, "n": n}) for n in range(100)]
    produce(site.bootstrap, f"{name}-in", records, partition=0)

    def reasons() -> list[str]:
        shown = site.streamctl("show", job, "--json").last
        return [metrics["reason"] for _, metrics in sorted(shown["metrics"].items())]

    site.until(lambda: all(reasons()), "both lanes say why event time stands still", 60)
    source, windows = reasons()
    assert source == (
        f"watermark held by idle partition 1 of topic {name}-in: no record yet "
        "(WatermarkStrategy.with_idleness lets the others go on)"
    )
    assert windows == "watermark held by lane v1/0: none yet"
    assert "idle partition 1" in site.streamctl("show", job).stdout
    produce(site.bootstrap, f"{name}-in", records, partition=1)
    site.until(lambda: not any(reasons()), "event time goes on")
    assert site.streamctl("cancel", job, "--wait", "--json").last["status"] == "CANCELED"


def test_cancel_ends_a_job_and_frees_what_it_had(site: Site, topics) -> None:
    source, sink = topics
    said = site.streamctl("submit", WINDOWS, "--json", "--", "--input", source, "--output", sink)
    assert (said.status, said.last["status"]) == (0, "RUNNING")
    job = said.last["job_id"]
    assert topics_of(site, job) != [] and site.free_slots() == 0
    ended = site.streamctl("cancel", job, "--wait", "--json")
    assert (ended.status, ended.last["status"]) == (0, "CANCELED")
    site.until(lambda: topics_of(site, job) == [], "its topics are deleted")
    site.until(lambda: site.free_slots() == 1, "its slot is free")
    again = site.streamctl("cancel", job, "--json")
    assert (again.status, again.last["error"]["code"]) == (2, "job-ended")


def test_a_broker_that_is_not_there_is_one_line(site: Site, topics) -> None:
    address = f"127.0.0.1:{free_port()}"
    where = ("--", "--input", topics[0], "--output", topics[1])
    said = site.streamctl("submit", WINDOWS, "--bootstrap", address, *where)
    assert said.status == 3, said
    first, *more = said.stderr.strip().splitlines()[-2:]
    assert first == f"error: Kafka at {address} does not answer: Connection refused [kafka-unreachable]"
    assert len(more) == 1 and more[0].startswith("  ")
    assert "Traceback" not in said.stderr


# ---- and all the time


def test_the_job_beside_all_of_it_is_exact(bystander: PlatformJob) -> None:
    """The last test: it ends the job."""
    assert {by.split(":")[0] for by in bystander.commits.attempts().values()} == {"1.0"}
    bystander.await_commits(10, "before its end")
    account = bystander.require_exact()
    assert account.expected > 50
