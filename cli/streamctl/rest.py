"""Look-ups through a Dispatcher's REST: jobs, one job, and which job a person means."""

from __future__ import annotations

import json
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote
from urllib.request import Request, urlopen

from headrace.errors import HeadraceError, UnavailableError, UsageError
from headrace.graph.job_graph import JobGraph
from headrace.ids import is_job_id
from headrace.protocol.control import JobRecord, LaneMetrics, TaskManagerRecord
from streamctl.cluster import Cluster
from streamctl.render import ID_DIGITS

CALL_S = 5.0
CANDIDATES_MAX = 5


@dataclass(frozen=True)
class JobDetail:
    """One job with all that REST knows of it."""

    record: JobRecord
    graph: JobGraph | None
    metrics: dict[str, LaneMetrics]


def jobs(cluster: Cluster) -> list[JobRecord]:
    """Every job the registry knows, ended ones included."""
    body = get(cluster.rest, "/api/v1/jobs", cluster.token)
    return [JobRecord.model_validate(each) for each in body["jobs"]]


def job(cluster: Cluster, job_id: str) -> JobDetail:
    """One job. Raises UsageError ("job-unknown")."""
    body = get(cluster.rest, f"/api/v1/jobs/{quote(job_id, safe='')}", cluster.token)
    return JobDetail(
        record=JobRecord.model_validate(body["job"]),
        graph=JobGraph.model_validate(body["graph"]) if body.get("graph") else None,
        metrics={name: LaneMetrics.model_validate(each) for name, each in body.get("metrics", {}).items()},
    )


def taskmanagers(cluster: Cluster) -> list[TaskManagerRecord]:
    """TaskManagers alive."""
    body = get(cluster.rest, "/api/v1/taskmanagers", cluster.token)
    return [TaskManagerRecord.model_validate(each) for each in body["taskmanagers"]]


def find_job(cluster: Cluster, text: str) -> str:
    """The id of the job that ``text`` means: a whole id, its first digits, or a name.

    A whole id is taken as it is, without asking REST. Raises UsageError ("job-unknown", "job-ambiguous").
    """
    if is_job_id(text):
        return text
    return choose(jobs(cluster), text)


def choose(records: list[JobRecord], text: str) -> str:
    """The one job whose id begins with ``text`` or whose name it is; of several, the only one not ended."""
    found = [r for r in records if r.name == text] or [r for r in records if text and r.job_id.startswith(text)]
    alive = [r for r in found if not r.status.ended]
    if len(found) == 1 or len(alive) == 1:
        return (alive if len(alive) == 1 else found)[0].job_id
    if not found:
        raise UsageError("job-unknown", f"no job has the id or name {text!r}", hint="`streamctl list` shows all jobs")
    candidates = (alive or found)[:CANDIDATES_MAX]
    raise UsageError(
        "job-ambiguous",
        f"{len(alive or found)} jobs fit {text!r}",
        hint="say one by its id: " + ", ".join(f"{r.job_id[:ID_DIGITS]} ({r.status})" for r in candidates),
    )


def get(base: str, path: str, token: str | None = None, *, timeout_s: float = CALL_S) -> Any:
    """GET a JSON object, with the bearer token if there is one.

    Raises UnavailableError ("rest-unreachable") or the error that the server answered.
    """
    request = Request(base + path, headers={"Accept": "application/json"})
    if token:
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    try:
        with urlopen(request, timeout=timeout_s) as answer:
            return json.load(answer)
    except HTTPError as error:
        raise refused(base, error.code, error.read()) from None
    except (URLError, HTTPException, OSError) as error:
        reason = getattr(error, "reason", None) or error
        raise unreachable(base, getattr(reason, "strerror", None) or str(reason)) from None
    except json.JSONDecodeError:
        raise UnavailableError(
            "rest-unreachable",
            f"what answers at {base} is not a Dispatcher",
            hint="name a Dispatcher's REST with --rest or HEADRACE_REST",
        ) from None


def unreachable(base: str, reason: str) -> UnavailableError:
    return UnavailableError(
        "rest-unreachable",
        f"the Dispatcher's REST at {base} does not answer: {reason}",
        hint="is the cluster up? `streamctl status` shows the local one; --rest names another",
    )


def refused(base: str, status: int, body: bytes) -> HeadraceError:
    """The server's own error, or its status when the body is not ours."""
    try:
        error = json.loads(body)["error"]
        code, message, hint = str(error["code"]), str(error["message"]), str(error.get("hint", ""))
    except (ValueError, KeyError, TypeError, AttributeError):
        code, message, hint = "rest-refused", f"{base} answered HTTP status {status}", ""
    kind = UsageError if 400 <= status < 500 else UnavailableError
    return kind(code, message, hint=hint)
