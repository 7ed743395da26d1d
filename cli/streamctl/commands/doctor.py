"""``streamctl doctor``."""

from __future__ import annotations

from typing import Annotated

import typer

from streamctl.options import (
    BootstrapOption,
    JsonOption,
    NamespaceOption,
    RedisOption,
    RestOption,
    cluster_of,
    output_of,
)

#: Exit status when something failed.
EXIT_SICK = 1


def doctor(
    context: typer.Context,
    repair: Annotated[
        bool, typer.Option("--repair", help="End hanging transactions whose outcome is known.")
    ] = False,
    json: JsonOption = False,
    bootstrap: BootstrapOption = None,
    rest: RestOption = None,
    redis: RedisOption = None,
    namespace: NamespaceOption = None,
) -> None:
    """Look at a whole cluster and say what to do. Exit status 0 when nothing failed, else 1.

    Kafka, hanging transactions, topics, Redis, Dispatcher, TaskManagers, clocks, versions, disks. Reads only,
    but for --repair.
    """
    from headrace.embedded.cluster import find_running
    from streamctl.cluster import load_settings
    from streamctl.diagnosis import diagnosis, diagnosis_page
    from streamctl.doctor import Patient, examine

    output = output_of(context)
    cluster = cluster_of(bootstrap, rest, namespace)
    settings = load_settings()
    running = find_running(settings)
    ours = running.redis if running is not None and running.bootstrap == cluster.bootstrap else None
    with output.progress(f"looking at {cluster.bootstrap}"):
        report = diagnosis(examine(Patient(cluster, redis or settings.redis or ours, settings, repair)))
    output.result(report.model_dump(mode="json"), diagnosis_page(report))
    if not report.ok:
        raise typer.Exit(EXIT_SICK)
