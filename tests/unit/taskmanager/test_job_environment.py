"""Jobs with files and requirements: their environment comes before their workers; other jobs do not notice."""

from __future__ import annotations

from tests.unit.taskmanager.plans import JOB, OTHER, Story, both, plan

from headrace.protocol.control import LaneStateChanged, Plan
from headrace.protocol.states import LaneState
from headrace.protocol.submission import ClientInfo, UploadedCode
from headrace.protocol.worker_pipe import StartLane
from headrace.taskmanager.model import (
    Environment,
    EnvironmentDelayed,
    EnvironmentFailed,
    EnvironmentReady,
    PlanChanged,
    PrepareEnvironment,
    StartWorker,
    WorkerExited,
)

S = LaneState
DEPENDENCIES = UploadedCode(sha256="d" * 64, offset=7, chunks=1)
ELSEWHERE = Environment("/envs/1/bin/python", ("/files/0",))


def with_dependencies(**more: object) -> Plan:
    return both(**more).model_copy(update={"dependencies": DEPENDENCIES})


def test_workers_start_in_the_environment_once_it_is_there() -> None:
    story = Story().planned(with_dependencies())
    assert story.effects == [PrepareEnvironment(DEPENDENCIES)]
    assert not story.state.workers
    story.tell(EnvironmentReady(DEPENDENCIES.sha256, ELSEWHERE))
    assert [e.python for e in story.effects if isinstance(e, StartWorker)] == [ELSEWHERE.python] * 2
    tasks = [message.task for _, message in story.sent if isinstance(message, StartLane)]
    assert [task.paths for task in tasks] == [["/files/0"]] * 2


def test_a_job_without_dependencies_takes_this_python_and_waits_for_nothing() -> None:
    story = Story().planned(both())
    assert [e.python for e in story.effects if isinstance(e, StartWorker)] == ["", ""]
    assert not [e for e in story.effects if isinstance(e, PrepareEnvironment)]


def test_how_far_it_is_becomes_the_reason_of_the_waiting_lanes() -> None:
    story = Story().planned(with_dependencies())
    story.tell(EnvironmentDelayed(DEPENDENCIES.sha256, "installing: Resolved 3 packages"))
    assert {r.reason for r in story.reports if isinstance(r, LaneStateChanged)} == {"installing: Resolved 3 packages"}
    assert story.lane("v0/0").state is S.SCHEDULED
    story.tell(EnvironmentReady(DEPENDENCIES.sha256, ELSEWHERE))
    assert story.lane("v0/0").reason == ""


def test_one_that_cannot_be_made_fails_the_job_for_good_and_no_other() -> None:
    story = Story().fresh()
    story.tell(PlanChanged(OTHER, plan({"v0/0": ("tm1", 0, 1)}, job=OTHER)))
    mine = plan({"v0/1": ("tm1", 1, 1)}).model_copy(update={"dependencies": DEPENDENCIES})
    story.tell(PlanChanged(JOB, mine))
    story.tell(EnvironmentFailed(DEPENDENCIES.sha256, "requirements-failed: no such package"))
    (report,) = story.reports
    assert isinstance(report, LaneStateChanged)
    assert (report.job_id, report.state, report.fatal) == (JOB, S.FAILED, True)
    assert report.failure is not None and report.failure.error == "requirements-failed: no such package"
    assert report.failure.user and not report.failure.retryable and report.failure.code == "requirements-failed"
    story.tell(PlanChanged(OTHER, plan({"v0/0": ("tm1", 0, 1)}, job=OTHER, number=2)))
    assert story.lane("v0/0", OTHER).state is S.DEPLOYING
    assert not [e for e in story.effects if isinstance(e, PrepareEnvironment)], "not tried again by itself"


def test_a_dead_worker_is_replaced_after_the_environment_was_looked_up_again() -> None:
    """It may have been removed from the disk meanwhile."""
    story = Story().planned(with_dependencies())
    story.tell(EnvironmentReady(DEPENDENCIES.sha256, ELSEWHERE))
    story.say("v0/0", S.RUNNING)
    story.tell(WorkerExited(story.serial("v0/0"), "SIGKILL"), after_ms=20_000)
    assert [e for e in story.effects if isinstance(e, PrepareEnvironment)] == [PrepareEnvironment(DEPENDENCIES)]
    assert story.started == []
    story.tell(EnvironmentReady(DEPENDENCIES.sha256, ELSEWHERE))
    assert story.started == [0]


def test_another_minor_version_of_python_is_refused_before_any_process_starts() -> None:
    code = UploadedCode(sha256="c" * 64, offset=0, chunks=1)
    story = Story()
    story.state = story.state.__class__("tm1", "i1", 2, python="3.11.7")
    theirs = both(code=code).model_copy(update={"client": ClientInfo(python="3.12.1")})
    story.planned(theirs)
    assert {(r.lane, r.state, r.fatal) for r in story.reports if isinstance(r, LaneStateChanged)} == {
        ("v0/0", S.FAILED, True),
        ("v0/1", S.FAILED, True),
    }
    error = story.reports[0].failure.error  # type: ignore[union-attr]
    assert story.reports[0].failure.code == "python-version"  # type: ignore[union-attr]
    assert error.startswith("python-version: ") and "3.12.1" in error and "3.11.7" in error and "tm1" in error
    assert story.started == []


def test_another_patch_version_and_a_job_without_code_are_fine() -> None:
    for client, code in (("3.11.2", UploadedCode(sha256="c" * 64, offset=0, chunks=1)), ("3.12.1", None), ("", None)):
        story = Story()
        story.state = story.state.__class__("tm1", "i1", 2, python="3.11.7")
        story.planned(both(code=code).model_copy(update={"client": ClientInfo(python=client)}))
        assert story.started == [0, 1]
