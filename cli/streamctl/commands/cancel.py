"""``streamctl cancel``."""

from __future__ import annotations

from typing import Annotated

import typer

from streamctl.options import (
    BootstrapOption,
    JobArgument,
    JsonOption,
    NamespaceOption,
    RestOption,
    cluster_of,
    connect_to,
    output_of,
)


def cancel(
    context: typer.Context,
    job: JobArgument,
    wait: Annotated[bool, typer.Option("--wait", help="Return when the job has ended.")] = False,
    json: JsonOption = False,
    bootstrap: BootstrapOption = None,
    rest: RestOption = None,
    namespace: NamespaceOption = None,
) -> None:
    """End a job now. What it committed stands."""
    from headrace.ids import new_request_id
    from streamctl.client import JobsClient, Lifecycle
    from streamctl.rest import find_job
    from streamctl.watch import ended, follow

    output = output_of(context)
    cluster = cluster_of(bootstrap, rest, namespace)
    job_id = find_job(cluster, job)
    output.facts["job_id"] = job_id
    client = JobsClient(lambda: connect_to(cluster), cluster.namespace)
    output.after_interrupt = "the job may have been asked to end; asking again is safe"
    answer, events = client.cancel(job_id, new_request_id())
    output.after_interrupt = "the job was asked to end and does so by itself"
    lifecycle = Lifecycle().after(answer)
    try:
        if wait:
            with output.progress(f"{job}: cancelling") as progress:
                lifecycle = follow(events, lifecycle, ended, name=job, progress=progress, timeout_s=None)
    finally:
        events.close()
    status = str(lifecycle.status or "CANCELLING")
    output.result({"job_id": job_id, "status": status}, f"Job {job_id}: {status}")
