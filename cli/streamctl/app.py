"""The command ``streamctl`` and its sub-commands.

Commands import what they need when they run, so that ``streamctl --help`` is quick.
"""

from __future__ import annotations

from collections.abc import Callable

import typer

from streamctl.commands.cancel import cancel
from streamctl.commands.completion import completion
from streamctl.commands.config import config
from streamctl.commands.doctor import doctor
from streamctl.commands.down import down
from streamctl.commands.health import health
from streamctl.commands.list import list_jobs
from streamctl.commands.logs import logs
from streamctl.commands.processes import dispatcher, taskmanager
from streamctl.commands.show import show
from streamctl.commands.status import status
from streamctl.commands.submit import submit
from streamctl.commands.top import top
from streamctl.commands.topics import topics
from streamctl.commands.up import up
from streamctl.commands.version import version
from streamctl.completions import enable_completions
from streamctl.speaking import CONTEXT, SpeakingCommand, SpeakingGroup

NAME = "streamctl"
CLUSTER = "Local cluster"
JOBS = "Jobs"
PROCESSES = "Processes of a cluster"


app = typer.Typer(
    name=NAME,
    cls=SpeakingGroup,
    help="Stream processing jobs in Python on Apache Kafka.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
    context_settings=CONTEXT,
)
_PANELS: dict[str, dict[str, Callable[..., None]]] = {
    JOBS: {
        "submit": submit,
        "list": list_jobs,
        "top": top,
        "show": show,
        "cancel": cancel,
        "logs": logs,
        "topics": topics,
    },
    CLUSTER: {"up": up, "down": down, "status": status},
    PROCESSES: {
        "dispatcher": dispatcher,
        "taskmanager": taskmanager,
        "health": health,
        "doctor": doctor,
        "completion": completion,
        "version": version,
    },
}
for panel, commands in _PANELS.items():
    for name, command in commands.items():
        app.command(name, cls=SpeakingCommand, rich_help_panel=panel)(command)
app.add_typer(config, name="config", rich_help_panel=PROCESSES)


def main() -> None:
    """Entry point of the command ``streamctl``."""
    enable_completions()
    app(prog_name=NAME)
