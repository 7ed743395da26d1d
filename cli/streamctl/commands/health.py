"""``streamctl health``: is the process that runs here well? For containers and service managers."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from headrace.errors import EXIT_UNAVAILABLE
from streamctl.options import JsonOption, SetOption, output_of

if TYPE_CHECKING:
    from headrace.settings import Settings

TIMEOUT_S = 3.0


class Role(StrEnum):
    DISPATCHER = "dispatcher"
    TASKMANAGER = "taskmanager"


def health(
    context: typer.Context,
    role: Annotated[
        Role | None, typer.Argument(help="Which process; else whichever runs on this host.", show_default=False)
    ] = None,
    set_: SetOption = None,
    json: JsonOption = False,
) -> None:
    """Check the Dispatcher or TaskManager on this host. Exit status 0 when it is well, else 3.

    A Dispatcher is well when its /health says so; a TaskManager when its record in Redis is kept up.
    """
    from headrace.setting_sources import parse_options
    from headrace.settings import Settings, load_settings

    settings = load_settings(parse_options(set_ or (), Settings.model_fields))
    if role is None:
        role = Role.DISPATCHER if _listens(settings) else Role.TASKMANAGER
    trouble = _dispatcher(settings) if role is Role.DISPATCHER else _taskmanager(settings)
    output = output_of(context)
    output.result(
        {"role": role.value, "healthy": not trouble, "reason": trouble}, f"{role.value}: {trouble or 'healthy'}"
    )
    if trouble:
        raise typer.Exit(EXIT_UNAVAILABLE)


def _address(settings: Settings) -> tuple[str, int]:
    """Where a Dispatcher of this host is reached from this host."""
    everywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}
    return everywhere.get(settings.rest_host, settings.rest_host), settings.rest_port


def _listens(settings: Settings) -> bool:
    import socket

    try:
        with socket.create_connection(_address(settings), timeout=TIMEOUT_S):
            return True
    except OSError:
        return False


def _dispatcher(settings: Settings) -> str:
    """What is wrong with it; "" when nothing is."""
    import http.client
    import urllib.error
    import urllib.request

    host, port = _address(settings)
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}/health"
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:
            return "" if answer.status == 200 else f"{url} answers {answer.status}"
    except urllib.error.HTTPError as error:
        return f"{url} answers {error.code}: {_troubles(error.read())}"
    except (OSError, http.client.HTTPException) as error:
        return f"{url} does not answer: {getattr(error, 'reason', error)}"


def _troubles(body: bytes) -> str:
    """What /health names besides what is ok."""
    import json

    try:
        found = json.loads(body)
    except ValueError:
        return "unreadable"
    named = {name: found.get(name) for name in ("kafka", "redis")} if isinstance(found, dict) else {}
    return "; ".join(f"{name}: {text}" for name, text in named.items() if text != "ok") or "not a member yet"


def _taskmanager(settings: Settings) -> str:
    """What is wrong with it; "" when a TaskManager of this host keeps its record up."""
    import socket

    import psutil
    import redis
    from pydantic import ValidationError

    from headrace.protocol.control import TaskManagerRecord
    from headrace.protocol.redis_keys import RedisKeys

    if settings.redis is None:
        return "Redis is not named (HEADRACE_REDIS)"
    keys, host = RedisKeys(settings.namespace), socket.gethostname()
    try:
        with redis.Redis.from_url(settings.redis, socket_timeout=TIMEOUT_S, decode_responses=True) as client:
            ids = sorted(client.smembers(keys.taskmanagers))
            records = client.mget([keys.taskmanager(each) for each in ids]) if ids else []
        found = [TaskManagerRecord.model_validate_json(record) for record in records if record]
    except redis.RedisError as error:
        return f"Redis does not answer: {error}"
    except ValidationError:
        return "a record in Redis is unreadable"
    if settings.taskmanager_id is not None:
        found = [record for record in found if record.id == settings.taskmanager_id]
    here = [record for record in found if record.host == host]
    if not here:
        return f"no TaskManager of host {host} is registered"
    dead = all(not psutil.pid_exists(record.pid) for record in here)
    return f"TaskManager {here[0].id} was process {here[0].pid}, which is gone" if dead else ""
