"""Submissions, cancels and uploads by HTTP, answered by a Dispatcher that is played."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from tests.unit.dispatcher.submissions import submit
from tests.unit.rest.world import TOPICS, Answer, World, world
from tests.waiting import until

from headrace.protocol.submission import SUBMISSION_BYTES_MAX
from headrace.rest import artifacts
from headrace.rest.inbox import WAITING_MAX

JOB = "a" * 32
JSON = {"Content-Type": "application/json"}


def run(story: Callable[[World], Awaitable[None]], answer: Answer | None = None) -> None:
    async def in_world() -> None:
        async with world(answer) as here:
            await story(here)

    asyncio.run(in_world())


def accept(request: dict[str, Any]) -> dict[str, Any]:
    return {"type": "ACKNOWLEDGED" if request["type"] == "submit" else "DONE"}


def refuse(code: str, reason: str = "") -> Answer:
    refused = {"code": code, "reason": reason}
    return lambda request: {"type": "REJECTED" if request["type"] == "submit" else "REFUSED"} | refused


def test_a_submission_is_answered_by_its_event() -> None:
    async def story(here: World) -> None:
        response = await here.client.post("/api/v1/jobs", json=submit(JOB, "r1"))
        event = response.json()
        assert (response.status_code, event["type"], event["request_id"]) == (202, "ACKNOWLEDGED", "r1")
        assert here.requests == [submit(JOB, "r1")]

    run(story, accept)


def test_refusals_carry_the_dispatchers_code() -> None:
    async def story(here: World) -> None:
        assert await here.error("POST", "/api/v1/jobs", json=submit(JOB)) == (409, "job-id-taken")

    run(story, refuse("job-id-taken"))


NO_SUBMISSIONS = [
    (b"", 400, "submission-unreadable", "empty"),
    (b"\xff\x00", 400, "submission-unreadable", "not JSON"),
    (b"[" * 100_000, 400, "submission-unreadable", "not JSON"),
    (b"{}", 400, "submission-invalid", ""),
    (json.dumps(submit(colour="red")).encode(), 400, "submission-invalid", "colour: unknown field"),
    (json.dumps(submit(job_id="short")).encode(), 400, "submission-invalid", "job_id"),
    (
        json.dumps({"version": 1, "type": "cancel", "request_id": "r", "job_id": JOB}).encode(),
        400,
        "submission-invalid",
        "type",
    ),
    (b" " * (SUBMISSION_BYTES_MAX + 1), 413, "rest-too-large", "900,000"),
]


def test_submissions_that_cannot_be_taken_never_reach_kafka() -> None:
    async def story(here: World) -> None:
        for body, status, code, says in NO_SUBMISSIONS:
            response = await here.client.post("/api/v1/jobs", content=body, headers=JSON)
            error = response.json()["error"]
            assert (response.status_code, error["code"]) == (status, code), body[:200]
            assert says in error["message"]
        assert [await here.log.end_offset(TOPICS.jobs, p) for p in range(2)] == [0, 0]

    run(story)


def test_a_form_of_a_web_page_is_no_submission() -> None:
    async def story(here: World) -> None:
        content = json.dumps(submit(JOB)).encode()
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""):
            found = await here.error("POST", "/api/v1/jobs", content=content, headers={"Content-Type": kind})
            assert found == (400, "rest-request-invalid"), kind

    run(story)


def test_a_body_that_never_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.rest.bodies.BODY_S", 0.2)

    async def story(here: World) -> None:
        async def slow() -> AsyncIterator[bytes]:
            yield b"{"
            await asyncio.Event().wait()

        assert await here.error("POST", "/api/v1/jobs", content=slow(), headers=JSON) == (408, "rest-too-slow")

    run(story)


def test_no_dispatcher_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.rest.inbox.ANSWER_S", 0.2)

    async def story(here: World) -> None:
        assert await here.error("POST", "/api/v1/jobs", json=submit(JOB)) == (503, "no-dispatcher-answer")

    run(story)


def test_too_many_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.rest.inbox.ANSWER_S", 1.0)

    async def story(here: World) -> None:
        found = await asyncio.gather(
            *(here.error("POST", f"/api/v1/jobs/{n:032x}/cancel") for n in range(WAITING_MAX + 3))
        )
        assert sorted(found) == [(503, "no-dispatcher-answer")] * WAITING_MAX + [(503, "rest-busy")] * 3
        assert await here.error("POST", f"/api/v1/jobs/{JOB}/cancel") == (503, "no-dispatcher-answer")  # room again

    run(story)


def test_without_kafka() -> None:
    async def story(here: World) -> None:
        here.kafka.available = False
        assert await here.error("POST", "/api/v1/jobs", json=submit(JOB)) == (503, "kafka-unreachable")
        response = await here.client.patch(f"/jobs/{JOB}?mode=cancel")
        assert (response.status_code, list(response.json())) == (503, ["errors"])

    run(story)


def test_cancel() -> None:
    async def story(here: World) -> None:
        path = f"/api/v1/jobs/{JOB}/cancel"
        assert (await here.client.post(path)).status_code == 202
        assert [(each["type"], each["job_id"]) for each in here.requests] == [("cancel", JOB)]
        assert await here.error("POST", path, json={"reason": "enough"}) == (400, "rest-request-invalid")
        assert await here.error("POST", path, content=b"x" * 100_000) == (413, "rest-too-large")
        assert await here.error("POST", "/api/v1/jobs/x/cancel") == (400, "rest-request-invalid")
        assert len(here.requests) == 1

    run(story, accept)


@pytest.mark.parametrize(("code", "status"), [("job-unknown", 404), ("job-ended", 409), ("cancel-refused", 409)])
def test_a_cancel_that_is_refused(code: str, status: int) -> None:
    async def story(here: World) -> None:
        assert await here.error("POST", f"/api/v1/jobs/{JOB}/cancel") == (status, code)
        response = await here.client.patch(f"/v1/jobs/{JOB}?mode=cancel")
        assert (response.status_code, list(response.json())) == (status, ["errors"])

    run(story, refuse(code, "the job has already ended: FINISHED"))


def test_flinks_cancel() -> None:
    async def story(here: World) -> None:
        for path in (f"/jobs/{JOB}", f"/v1/jobs/{JOB}?mode=cancel", f"/jobs/{JOB.upper()}?mode=cancel"):
            response = await here.client.request("PATCH", path, content=b"{}")
            assert (response.status_code, response.json()) == (202, {})
        assert len(here.requests) == 3
        assert (await here.client.patch(f"/jobs/{JOB}?mode=stop")).status_code == 308
        assert (await here.client.patch(f"/jobs/{JOB}?mode=other")).status_code == 400
        assert (await here.client.patch("/jobs/zzz")).status_code == 400
        assert len(here.requests) == 3

    run(story, accept)


def test_flinks_cancel_of_a_canceled_job_is_fine() -> None:
    async def story(here: World) -> None:
        assert (await here.client.patch(f"/jobs/{JOB}?mode=cancel")).status_code == 202

    run(story, refuse("job-ended", "the job has already ended: CANCELED"))
    run(story, refuse("cancel-refused", "the job is CANCELED already"))  # its JobMaster is still clearing up


# ---- uploads


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


async def chunks(here: World) -> list[tuple[str, bytes | None]]:
    end = await here.log.end_offset(TOPICS.artifacts, 0)
    return [(record.key, record.value) for record in await here.log.read(TOPICS.artifacts, 0, 0, end)]


@pytest.mark.parametrize("size", [0, 2 * artifacts.CHUNK_BYTES, 2 * artifacts.CHUNK_BYTES + 1])
def test_an_upload_lies_in_chunks(size: int) -> None:
    async def story(here: World) -> None:
        await here.log.append(TOPICS.artifacts, 0, "other/0", b"")
        data = os.urandom(size)
        response = await here.client.put(f"/api/v1/artifacts/{sha(data)}", content=data)
        count = max(1, -(-size // artifacts.CHUNK_BYTES))
        assert response.status_code == 201
        assert response.json() == {"sha256": sha(data), "partition": 0, "offset": 1, "chunks": count}
        stored = (await chunks(here))[1:]
        assert [key for key, _ in stored] == [f"{sha(data)}/{n}" for n in range(count)]
        assert b"".join(value or b"" for _, value in stored) == data
        assert max(len(value or b"") for _, value in stored) <= artifacts.CHUNK_BYTES

    run(story)


def test_a_wrong_upload_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifacts, "PACKAGE_BYTES_MAX", 5)

    async def story(here: World) -> None:
        assert await here.error("PUT", f"/api/v1/artifacts/{sha(b'a')}", content=b"b") == (400, "artifact-checksum")
        assert await here.error("PUT", f"/api/v1/artifacts/{'A' * 64}", content=b"b") == (400, "rest-request-invalid")
        assert await here.error("PUT", f"/api/v1/artifacts/{sha(b'a')}", content=b"b" * 6) == (413, "rest-too-large")
        assert await chunks(here) == []

    run(story)


def test_slow_and_many_uploads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifacts, "SILENT_S", 1.0)

    async def story(here: World) -> None:
        began = asyncio.Semaphore(0)

        async def never_ends() -> AsyncIterator[bytes]:
            yield b"a"
            began.release()
            await asyncio.Event().wait()

        path = f"/api/v1/artifacts/{sha(b'a')}"
        slow = [
            asyncio.create_task(here.error("PUT", path, content=never_ends()))
            for _ in range(artifacts.UPLOADS_AT_ONCE_MAX)
        ]
        for _ in slow:
            await began.acquire()
        assert await here.error("PUT", path, content=b"a") == (503, "rest-busy")
        assert await asyncio.gather(*slow) == [(408, "rest-too-slow")] * len(slow)
        await until(lambda: all(task.done() for task in slow))
        assert (await here.client.put(path, content=b"a")).status_code == 201

    run(story)


def test_no_room_for_an_upload(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> object:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(artifacts.tempfile, "SpooledTemporaryFile", full)

    async def story(here: World) -> None:
        assert await here.error("PUT", f"/api/v1/artifacts/{sha(b'a')}", content=b"a") == (503, "rest-no-space")

    run(story)
