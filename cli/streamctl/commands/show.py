"""``streamctl show``."""

from __future__ import annotations

import typer

from streamctl.options import (
    BootstrapOption,
    JobArgument,
    JsonOption,
    NamespaceOption,
    RestOption,
    cluster_of,
    output_of,
)


def show(
    context: typer.Context,
    job: JobArgument,
    json: JsonOption = False,
    bootstrap: BootstrapOption = None,
    rest: RestOption = None,
    namespace: NamespaceOption = None,
) -> None:
    """Show one job: vertices, lanes, the processes that run them, and why any of them waits."""
    from headrace import clock
    from streamctl import rest as rest_client
    from streamctl.job_tables import job_page
    from streamctl.workers import places_of

    cluster = cluster_of(bootstrap, rest, namespace)
    detail = rest_client.job(cluster, rest_client.find_job(cluster, job))
    workers = places_of(detail.record, [] if detail.record.status.ended else rest_client.taskmanagers(cluster))
    output_of(context).result(
        {
            "job": detail.record.model_dump(mode="json"),
            "graph": detail.graph.model_dump(mode="json") if detail.graph else None,
            "metrics": {name: each.model_dump(mode="json") for name, each in detail.metrics.items()},
            "workers": {name: each.model_dump(mode="json") for name, each in workers.items()},
        },
        job_page(detail.record, detail.graph, detail.metrics, clock.now_ms(), workers),
    )
