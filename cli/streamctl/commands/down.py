"""``streamctl down``."""

from __future__ import annotations

from typing import Annotated

import typer

from streamctl.cluster import load_settings
from streamctl.options import JsonOption, output_of


def down(
    context: typer.Context,
    name: Annotated[str, typer.Option(help="Which local cluster.")] = "default",
    json: JsonOption = False,
) -> None:
    """Stop the local cluster; its data and ports stay for the next `up`. Jobs go on then where they stopped."""
    from headrace.embedded import EmbeddedCluster, cluster_directory

    output = output_of(context)
    settings = load_settings()
    with output.progress("stopping the local cluster") as progress:
        cluster = EmbeddedCluster(
            cluster_directory(settings, name), name=name, settings=settings, progress=progress.say
        )
        stopped = cluster.stop()
    text = f"cluster {name} is down (stopped {', '.join(stopped)})" if stopped else f"cluster {name} was not up"
    output.result({"name": name, "stopped": list(stopped)}, text)
