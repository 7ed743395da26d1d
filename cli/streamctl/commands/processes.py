"""``streamctl dispatcher`` and ``streamctl taskmanager``: processes of a cluster, in the foreground."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from streamctl.options import BootstrapOption, NamespaceOption, RedisOption, SetOption

if TYPE_CHECKING:
    from headrace.settings import Settings


def dispatcher(
    bootstrap: BootstrapOption = None,
    redis: RedisOption = None,
    namespace: NamespaceOption = None,
    set_: SetOption = None,
    rest_host: Annotated[
        str | None, typer.Option(metavar="HOST", help="Address that REST listens on; else 127.0.0.1.")
    ] = None,
    rest_port: Annotated[
        int | None, typer.Option(min=0, max=65535, metavar="PORT", help="Port of REST; else 8081.")
    ] = None,
) -> None:
    """Run a Dispatcher here until it is stopped. Several share the jobs of a cluster."""
    from headrace.dispatcher.service import run_dispatcher

    run_dispatcher(_settings(set_, bootstrap, redis, namespace, rest_host=rest_host, rest_port=rest_port))


def taskmanager(
    slots: Annotated[
        int | None, typer.Option(min=1, max=256, metavar="N", help="Worker processes at most; else 4.")
    ] = None,
    id: Annotated[
        str | None, typer.Option(metavar="ID", help="A stable id; else one kept in the state directory.")
    ] = None,
    bootstrap: BootstrapOption = None,
    redis: RedisOption = None,
    namespace: NamespaceOption = None,
    set_: SetOption = None,
) -> None:
    """Run a TaskManager here until it is stopped. Its slots run lanes of jobs."""
    from headrace.taskmanager.service import run_taskmanager

    run_taskmanager(_settings(set_, bootstrap, redis, namespace, slots=slots, taskmanager_id=id))


def _settings(
    others: list[str] | None,
    bootstrap: str | None,
    redis: str | None,
    namespace: str | None,
    **more: str | int | None,
) -> Settings:
    """Settings with these options over them; an option of its own name wins over ``--set``."""
    from headrace.setting_sources import parse_options
    from headrace.settings import Settings, load_settings

    named = {"bootstrap": bootstrap, "redis": redis, "namespace": namespace, **more}
    given = {name: value for name, value in named.items() if value is not None}
    return load_settings(parse_options(others or (), Settings.model_fields) | given)
