"""How reading a job's results ends when the job ended otherwise than well: with its own error, not a reader's."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from headrace.errors import JobFailedError, UnavailableError
from headrace.log.lane import LogError, Remedy
from headrace.protocol.control import Failure, JobEvent
from headrace.protocol.states import JobStatus
from headrace.protocol.topics import Topics
from streamctl import results
from streamctl.results import ClusterResults
from streamctl.watch import JobCanceledError

JOB = "0" * 32


class GoneReader:
    """Of a topic that was deleted."""

    def __init__(self, *_: Any) -> None: ...

    def take(self, timeout_s: float) -> list[Any]:
        raise LogError("UNKNOWN_TOPIC_OR_PART", "no such topic", Remedy.REBUILD)


def of_a_job(monkeypatch: pytest.MonkeyPatch, status: JobStatus, failure: Failure | None = None) -> ClusterResults:
    ended = JobEvent(job_id=JOB, type="STATUS", status=status, failure=failure, epoch=1, at_ms=1)
    waiting = [ended]

    def take(timeout_s: float) -> list[JobEvent]:
        return [waiting.pop()] if waiting else []

    connection = SimpleNamespace(bootstrap="nowhere:1", options={})
    events = SimpleNamespace(connection=connection, take=take)
    client: Any = SimpleNamespace(topics=Topics("t"), watch=lambda job_id, start: events)
    monkeypatch.setattr(results, "KafkaLaneConnection", lambda *_: SimpleNamespace(reader=lambda: None))
    monkeypatch.setattr(results, "ResultReader", GoneReader)
    return ClusterResults(client, JOB, "job", 0)


def test_a_failed_job_whose_topics_are_gone_says_why_it_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    found = of_a_job(monkeypatch, JobStatus.FAILED, Failure(error="too far", lane="v0/0", user=True))
    assert found.take() == []
    with pytest.raises(JobFailedError, match="too far"):
        found.take()


def test_a_job_somebody_cancelled_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    found = of_a_job(monkeypatch, JobStatus.CANCELED)
    assert found.take() == []
    with pytest.raises(JobCanceledError):
        found.take()


def test_results_of_a_finished_job_that_are_gone_are_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnavailableError) as raised:
        of_a_job(monkeypatch, JobStatus.FINISHED).take()
    assert raised.value.code == "results-lost"
