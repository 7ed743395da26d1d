"""What a shell offers after TAB. Asks REST with a short time-out; if that fails, it offers nothing, in silence."""

from __future__ import annotations

import os

#: A shell waits for the answer with every TAB.
TIMEOUT_S = 1.0
JOBS_MAX = 50
#: Variables of Typer's protocol between a shell and the program.
COMPLETE_VARIABLE = "_STREAMCTL_COMPLETE"


def complete_job(incomplete: str) -> list[tuple[str, str]]:
    """Ids that begin so, then names; the newest first. Each with what a shell may show beside it.

    A name with a space in it would fall apart in a shell, and is left out.
    """
    from headrace.errors import HeadraceError
    from streamctl import rest
    from streamctl.options import cluster_of
    from streamctl.render import ID_DIGITS

    try:
        cluster = cluster_of(None, None, None)
        found = rest.get(cluster.rest, f"/api/v1/jobs?limit={JOBS_MAX}", cluster.token, timeout_s=TIMEOUT_S)["jobs"]
        jobs = [(str(job["job_id"]), str(job["name"]), str(job["status"])) for job in found]
    except (HeadraceError, KeyError, TypeError, OSError):
        return []
    ids = [
        (job_id[: max(ID_DIGITS, len(incomplete))], f"{name} ({status})")
        for job_id, name, status in jobs
        if job_id.startswith(incomplete)
    ]
    if not incomplete:
        return ids
    names = {
        name: f"{status}, {job_id[:ID_DIGITS]}"
        for job_id, name, status in reversed(jobs)  # of jobs with one name, the newest is shown
        if name.startswith(incomplete) and len(name.split()) == 1
    }
    return [*ids, *names.items()]


def enable_completions() -> None:
    """Answer the shell when it is a shell that asks; the cost of that is paid only then."""
    if COMPLETE_VARIABLE in os.environ:
        from typer.completion import completion_init  # type: ignore[attr-defined]

        completion_init()
