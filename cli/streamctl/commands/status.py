"""``streamctl status``."""

from __future__ import annotations

from typing import Annotated

import typer

from headrace.errors import EXIT_UNAVAILABLE
from streamctl.cluster import load_settings
from streamctl.options import JsonOption, output_of


def status(
    context: typer.Context,
    name: Annotated[str, typer.Option(help="Which local cluster.")] = "default",
    json: JsonOption = False,
) -> None:
    """Show the local cluster's processes. Exit status 0 when all are healthy, else 3."""
    from headrace.embedded import EmbeddedCluster, cluster_directory
    from streamctl.local_cluster import report_of, report_page

    settings = load_settings()
    report = report_of(name, EmbeddedCluster(cluster_directory(settings, name), name=name, settings=settings))
    output_of(context).result(report.json(), report_page(report))
    if not report.healthy:
        raise typer.Exit(EXIT_UNAVAILABLE)
