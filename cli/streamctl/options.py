"""Options that several commands share, and what they mean together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from streamctl.completions import complete_job
from streamctl.output import Format, Output

if TYPE_CHECKING:
    from streamctl.cluster import Cluster
    from streamctl.kafka import Connection

_PANEL = "Cluster"


def output_of(context: typer.Context) -> Output:
    """The Output of this run of the command line."""
    output = context.find_root().obj
    assert isinstance(output, Output)
    return output


def _set_format(context: typer.Context, value: bool) -> bool:
    if value:
        output_of(context).format = Format.JSON
    return value


JsonOption = Annotated[
    bool, typer.Option("--json", help="Print JSON objects, one a line.", callback=_set_format, is_eager=True)
]
BootstrapOption = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT", help="Kafka; else HEADRACE_BOOTSTRAP, else the local one.", rich_help_panel=_PANEL
    ),
]
RestOption = Annotated[
    str | None,
    typer.Option(metavar="URL", help="A Dispatcher's REST; else HEADRACE_REST.", rich_help_panel=_PANEL),
]
NamespaceOption = Annotated[
    str | None,
    typer.Option(
        metavar="PREFIX", help="Prefix of the cluster's topics; else HEADRACE_NAMESPACE.", rich_help_panel=_PANEL
    ),
]
RedisOption = Annotated[
    str | None,
    typer.Option(metavar="URL", help="Redis as redis://HOST:PORT; else HEADRACE_REDIS.", rich_help_panel=_PANEL),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Any setting, as `streamctl config show` lists them."),
]
JobArgument = Annotated[
    str, typer.Argument(metavar="JOB", help="Job id, its first digits, or its name.", autocompletion=complete_job)
]


def cluster_of(bootstrap: str | None, rest: str | None, namespace: str | None) -> Cluster:
    """The cluster that these options, the environment or ``streamctl up`` name."""
    from headrace.embedded.cluster import find_running
    from streamctl.cluster import find_cluster, load_settings

    settings = load_settings()
    return find_cluster(
        bootstrap=bootstrap,
        rest=rest,
        namespace=namespace,
        settings=settings,
        embedded=lambda: find_running(settings),
    )


def connect_to(cluster: Cluster) -> Connection:
    """A fresh Kafka connection."""
    from streamctl.kafka import Connection

    return Connection(cluster.bootstrap, cluster.kafka)
