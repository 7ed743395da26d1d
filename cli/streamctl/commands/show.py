"""``streamctl show``."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

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

if TYPE_CHECKING:
    from streamctl.rest import JobDetail


class Plan(StrEnum):
    """Other forms of a job's plan."""

    CODE = "code"


def show(
    context: typer.Context,
    job: JobArgument,
    plan: Annotated[Plan | None, typer.Option(help="The functions that each vertex runs, as Python.")] = None,
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
    if plan is Plan.CODE:
        _show_code(context, detail)
        return
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


def _show_code(context: typer.Context, detail: JobDetail) -> None:
    """Print what the lanes of each vertex run, made from the graph as the workers make it."""
    from headrace.runtime.operators.source_code import vertex_source
    from streamctl.job_tables import code_page

    vertices = detail.graph.vertices if detail.graph else ()
    sources = {vertex.id: vertex_source(detail.graph, vertex.id).build() for vertex in vertices if detail.graph}
    output_of(context).result(
        {"job_id": detail.record.job_id, "code": {**sources}},
        code_page(vertices, sources),
    )
