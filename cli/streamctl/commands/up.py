"""``streamctl up``."""

from __future__ import annotations

from typing import Annotated

import typer

from streamctl.cluster import load_settings
from streamctl.options import JsonOption, output_of

PortOption = Annotated[int | None, typer.Option(min=0, max=65535, help="Port; 0: a free one. Kept from then on.")]


def up(
    context: typer.Context,
    name: Annotated[str, typer.Option(help="Which local cluster.")] = "default",
    slots: Annotated[int | None, typer.Option(min=1, help="Slots of the TaskManager; 4 if never given.")] = None,
    kafka_port: PortOption = None,
    redis_port: PortOption = None,
    rest_port: PortOption = None,
    no_platform: Annotated[
        bool, typer.Option("--no-platform", help="Kafka and Redis only, no Dispatcher and TaskManager.")
    ] = False,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds to wait until all is healthy.")] = 180.0,
    json: JsonOption = False,
) -> None:
    """Start the local cluster: Kafka, Redis, one Dispatcher, one TaskManager. Waits until all are healthy."""
    from headrace import clock
    from headrace.embedded import EmbeddedCluster, cluster_directory
    from streamctl.local_cluster import report_of, report_page

    output = output_of(context)
    settings = load_settings()
    begin = clock.monotonic_s()
    with output.progress("starting the local cluster") as progress:
        cluster = EmbeddedCluster(
            cluster_directory(settings, name),
            name=name,
            slots=slots,
            platform=not no_platform,
            kafka_port=kafka_port,
            redis_port=redis_port,
            rest_port=rest_port,
            settings=settings,
            progress=progress.say,
        )
        output.after_interrupt = "the servers go on starting; `streamctl down` ends them"
        cluster.start(timeout)
    report = report_of(name, cluster)
    output.result({**report.json(), "start_s": round(clock.monotonic_s() - begin, 2)}, report_page(report))
