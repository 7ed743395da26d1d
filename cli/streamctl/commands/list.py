"""``streamctl list``."""

from __future__ import annotations

import typer

from streamctl.options import (
    BootstrapOption,
    JsonOption,
    NamespaceOption,
    RestOption,
    cluster_of,
    output_of,
)


def list_jobs(
    context: typer.Context,
    json: JsonOption = False,
    bootstrap: BootstrapOption = None,
    rest: RestOption = None,
    namespace: NamespaceOption = None,
) -> None:
    """List the jobs of a cluster, newest first."""
    from headrace import clock
    from streamctl.job_tables import jobs_table
    from streamctl.output import stdout_console
    from streamctl.rest import jobs

    records = jobs(cluster_of(bootstrap, rest, namespace))
    output_of(context).result(
        {"jobs": [record.model_dump(mode="json") for record in records]},
        jobs_table(records, clock.now_ms(), stdout_console().width),
    )
