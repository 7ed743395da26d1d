"""What job events say about a job: status, reason, failure, and which events no longer count."""

import pytest

from headrace.errors import JobFailedError, StillWaitingError
from headrace.protocol.control import Failure, JobEvent
from headrace.protocol.states import JobStatus
from streamctl.client import Lifecycle
from streamctl.watch import JobCanceledError, describe, ended, require_running, require_success, runs

JOB = "0" * 32


def event(type: str, status: JobStatus | None = None, reason: str = "", epoch: int = 5, **more: object) -> JobEvent:
    return JobEvent(job_id=JOB, type=type, status=status, reason=reason, epoch=epoch, at_ms=1, **more)


def after(*events: JobEvent) -> Lifecycle:
    lifecycle = Lifecycle()
    for each in events:
        lifecycle = lifecycle.after(each)
    return lifecycle


def test_lifecycle_when_waiting_then_keeps_the_status_and_takes_the_reason() -> None:
    lifecycle = after(event("STATUS", JobStatus.CREATED), event("WAITING", reason="waiting for 2 slots: 0 of 4 free"))
    assert lifecycle.status is JobStatus.CREATED
    assert lifecycle.reason == "waiting for 2 slots: 0 of 4 free"
    assert not runs(lifecycle)
    assert describe("flights", lifecycle) == "flights: CREATED, waiting for 2 slots: 0 of 4 free"


def test_lifecycle_when_running_then_drops_the_reason_it_waited_for() -> None:
    lifecycle = after(event("WAITING", reason="slots"), event("STATUS", JobStatus.RUNNING))
    assert runs(lifecycle) and not ended(lifecycle)
    assert lifecycle.reason == ""


def test_lifecycle_when_an_older_jobmaster_speaks_then_nothing_changes() -> None:
    lifecycle = after(event("STATUS", JobStatus.RUNNING, epoch=9), event("STATUS", JobStatus.FAILING, epoch=4))
    assert lifecycle.status is JobStatus.RUNNING


def test_lifecycle_when_ended_then_nothing_changes_any_more() -> None:
    lifecycle = after(event("STATUS", JobStatus.FINISHED), event("STATUS", JobStatus.RUNNING, epoch=7))
    assert lifecycle.status is JobStatus.FINISHED


def test_lifecycle_when_acknowledged_again_then_takes_the_status_of_the_answer() -> None:
    """A repeated submission of a running job sees no new transition: the answer says where it stands."""
    assert runs(after(event("ACKNOWLEDGED", JobStatus.RUNNING, epoch=-1)))


def test_require_running_when_it_still_waits_then_says_for_what_and_exits_4() -> None:
    lifecycle = after(event("WAITING", reason="waiting for 2 slots: 0 of 4 free"))
    with pytest.raises(StillWaitingError, match="accepted after 60 s: waiting for 2 slots") as raised:
        require_running(JOB, "flights", lifecycle, 60)
    assert raised.value.exit_code == 4


def test_require_success_when_failed_then_carries_the_users_traceback_and_exits_1() -> None:
    failure = Failure(error="ValueError: bad row", traceback="Traceback ...\n  job.py", user=True, lane="v1/0")
    with pytest.raises(JobFailedError, match="FAILED in v1/0: ValueError: bad row") as raised:
        require_success(JOB, "flights", after(event("STATUS", JobStatus.FAILED, failure=failure)))
    assert raised.value.exit_code == 1
    assert raised.value.user_traceback == failure.traceback


def test_require_success_when_cancelled_then_exits_5() -> None:
    with pytest.raises(JobCanceledError) as raised:
        require_success(JOB, "flights", after(event("STATUS", JobStatus.CANCELED)))
    assert raised.value.exit_code == 5
