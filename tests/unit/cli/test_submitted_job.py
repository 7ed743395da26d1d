"""The result of a job that is followed: whoever waits for it hears, whatever happens to the follower."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from headrace.protocol.control import JobEvent
from headrace.protocol.states import JobStatus
from streamctl.client import Lifecycle
from streamctl.submitted_job import SubmittedJob

JOB = "0" * 32
FINISHED = JobEvent(job_id=JOB, type="STATUS", status=JobStatus.FINISHED, epoch=1, at_ms=1)


class Events:
    start = 0

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.closed = False

    def take(self, timeout_s: float) -> list[JobEvent]:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return [answer]

    def close(self) -> None:
        self.closed = True


def submitted(own: Events, followed: Events) -> SubmittedJob:
    submit: Any = SimpleNamespace(job_id=JOB, name="job")
    client: Any = SimpleNamespace(watch=lambda job_id, start: followed)
    return SubmittedJob(submit, client, own, Lifecycle())  # type: ignore[arg-type]


def test_an_error_of_the_client_library_reaches_who_waits() -> None:
    followed = Events(KafkaException(KafkaError(KafkaError._FATAL)))
    job = submitted(Events(), followed)
    with pytest.raises(KafkaException):
        job.get_job_execution_result().result(20)
    assert followed.closed


def test_the_end_may_be_seen_twice() -> None:
    job = submitted(Events(FINISHED), Events(FINISHED))
    result = job.get_job_execution_result()
    assert result.result(20).status == "FINISHED"
    progress: Any = SimpleNamespace(say=lambda text: None)
    job.lifecycle = Lifecycle().after(FINISHED)
    job.follow(lambda lifecycle: True, progress=progress, timeout_s=1)
    job._result.settle(RuntimeError("too late"))
    assert result.result(0).status == "FINISHED"
