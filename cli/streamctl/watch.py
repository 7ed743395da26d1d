"""Following a job's events to a point: until it runs, until it ended; and what its end means for a caller."""

from __future__ import annotations

from collections.abc import Callable

from headrace import clock
from headrace.errors import EXIT_CANCELED, HeadraceError, JobFailedError, StillWaitingError
from headrace.protocol.states import JobStatus
from streamctl.client import JobEvents, Lifecycle
from streamctl.output import Progress

POLL_S = 0.5

CREATE_TOPIC = "create it first; Headrace never creates the topics a program reads or writes"


class JobCanceledError(HeadraceError):
    """The job was cancelled while somebody waited for its end."""

    exit_code = EXIT_CANCELED


def runs(lifecycle: Lifecycle) -> bool:
    """Whether the job got to RUNNING, or already past it to an end."""
    return lifecycle.status is JobStatus.RUNNING or ended(lifecycle)


def ended(lifecycle: Lifecycle) -> bool:
    return lifecycle.status is not None and lifecycle.status.ended


def follow(
    events: JobEvents,
    lifecycle: Lifecycle,
    there: Callable[[Lifecycle], bool],
    *,
    name: str,
    progress: Progress,
    timeout_s: float | None,
) -> Lifecycle:
    """Read events until ``there`` holds or the time is over; the lifecycle then.

    Tells ``progress`` each change of status and reason. None as ``timeout_s`` waits for as long as it takes.
    """
    deadline = None if timeout_s is None else clock.monotonic_s() + timeout_s
    while not there(lifecycle):
        left = POLL_S if deadline is None else min(POLL_S, deadline - clock.monotonic_s())
        if left <= 0:
            return lifecycle
        for event in events.take(left):
            lifecycle = lifecycle.after(event)
            if there(lifecycle):
                break
        progress.say(describe(name, lifecycle, events.broker_away))
    return lifecycle


def describe(name: str, lifecycle: Lifecycle, broker_away: bool = False) -> str:
    """One line: where the job stands and why."""
    status = lifecycle.status or "accepted"
    reason = "Kafka does not answer, trying again" if broker_away else lifecycle.reason
    return f"{name}: {status}" + (f", {reason}" if reason else "")


def require_running(job_id: str, name: str, lifecycle: Lifecycle, timeout_s: float) -> None:
    """Raises StillWaitingError when the job did not get to RUNNING; it stays and may still get there."""
    if runs(lifecycle):
        return
    reason = f": {lifecycle.reason}" if lifecycle.reason else ""
    raise StillWaitingError(
        "job-not-running-yet",
        f"job {name!r} is {lifecycle.status or 'accepted'} after {timeout_s:g} s{reason}",
        hint=f"it stays submitted; follow it with `streamctl show {job_id[:12]}`, "
        f"end it with `streamctl cancel {job_id[:12]}`",
    )


def require_success(job_id: str, name: str, lifecycle: Lifecycle) -> None:
    """Raises JobFailedError or JobCanceledError when the job ended otherwise than FINISHED."""
    if lifecycle.status is JobStatus.FAILED:
        failure = lifecycle.failure
        where = f" in {failure.lane}" if failure is not None and failure.lane else ""
        what = failure.error if failure is not None else lifecycle.reason
        raise JobFailedError(
            "job-failed",
            f"job {name!r} FAILED{where}: {what}",
            hint=CREATE_TOPIC
            if what.startswith("topic-missing:")
            else f"what its tasks printed: `streamctl logs {job_id[:12]}`",
            user_traceback=failure.traceback if failure is not None else "",
        )
    if lifecycle.status is JobStatus.CANCELED:
        raise JobCanceledError("job-canceled", f"job {name!r} was cancelled")
