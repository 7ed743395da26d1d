"""``streamctl dispatcher`` and ``streamctl taskmanager``: processes of a cluster, in the foreground."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from streamctl.options import BootstrapOption, NamespaceOption, RedisOption

if TYPE_CHECKING:
    from headrace.settings import Settings


def dispatcher(
    bootstrap: BootstrapOption = None,
    redis: RedisOption = None,
    namespace: NamespaceOption = None,
    rest_host: Annotated[
        str | None, typer.Option(metavar="HOST", help="Address that REST listens on; else 127.0.0.1.")
    ] = None,
    rest_port: Annotated[
        int | None, typer.Option(min=0, max=65535, metavar="PORT", help="Port of REST; else 8081.")
    ] = None,
) -> None:
    """Run a Dispatcher here until it is stopped. Several share the jobs of a cluster."""
    from headrace.dispatcher.service import run_dispatcher

    run_dispatcher(_settings(bootstrap, redis, namespace, rest_host=rest_host, rest_port=rest_port))


def taskmanager(
    slots: Annotated[int, typer.Option(min=1, max=256, metavar="N", help="Worker processes at most.")] = 4,
    id: Annotated[
        str | None, typer.Option(metavar="ID", help="A stable id; else one kept in the state directory.")
    ] = None,
    bootstrap: BootstrapOption = None,
    redis: RedisOption = None,
    namespace: NamespaceOption = None,
) -> None:
    """Run a TaskManager here until it is stopped. Its slots run lanes of jobs."""
    from headrace.taskmanager.service import run_taskmanager

    run_taskmanager(_settings(bootstrap, redis, namespace), slots=slots, tm_id=id)


def _settings(bootstrap: str | None, redis: str | None, namespace: str | None, **more: str | int | None) -> Settings:
    """Settings with these options over them."""
    from streamctl.cluster import load_settings

    given = {"bootstrap": bootstrap, "redis": redis, "namespace": namespace, **more}
    return load_settings().model_copy(update={name: value for name, value in given.items() if value is not None})
