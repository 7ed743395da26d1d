"""The states a job walks through: every legal edge, and the error for any other.

    INITIALIZING ─► CREATED ─► RUNNING ─► FINISHED
         │             │          │
         └► RECONCILING┼──────────┤           a plan exists: the job is adopted, nothing restarts
                       ├──────────┼─► FAILING ─────► FAILED
                       └──────────┴─► CANCELLING ──► CANCELED

Pure: no I/O.
"""

from __future__ import annotations

from headrace.protocol.states import JobStatus

S = JobStatus
TRANSITIONS: dict[JobStatus, frozenset[JobStatus]] = {
    S.INITIALIZING: frozenset({S.CREATED, S.RECONCILING}),
    S.CREATED: frozenset({S.RUNNING, S.FAILING, S.CANCELLING}),
    S.RECONCILING: frozenset({S.RUNNING, S.FAILING, S.CANCELLING, S.FINISHED}),
    S.RUNNING: frozenset({S.FINISHED, S.FAILING, S.CANCELLING}),
    S.FAILING: frozenset({S.FAILED}),
    S.CANCELLING: frozenset({S.CANCELED}),
    S.FINISHED: frozenset(),
    S.FAILED: frozenset(),
    S.CANCELED: frozenset(),
}


class IllegalEventError(Exception):
    """An event that cannot happen in this state: a mistake of ours, never of a user. Nothing was changed."""

    def __init__(self, job_id: str, event: object, story: str) -> None:
        super().__init__(f"job {job_id}: {type(event).__name__} {story}; event: {event}")


def checked(job_id: str, before: JobStatus, after: JobStatus, event: object) -> JobStatus:
    """``after``, when the table has this edge. Raises IllegalEventError."""
    if after not in TRANSITIONS[before]:
        legal = ", ".join(sorted(TRANSITIONS[before])) or "nothing: it is an end"
        raise IllegalEventError(job_id, event, f"would move {before} to {after}; legal is {legal}")
    return after
