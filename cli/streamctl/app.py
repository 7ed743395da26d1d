"""The command ``streamctl``: its sub-commands, and how an error becomes a line and an exit status.

A HeadraceError is said in one line with its hint and ends with its own status; an interrupt ends with 130.
Anything else is a mistake of ours and shows its traceback. Commands import what they need when they run, so
that ``streamctl --help`` is quick.
"""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

from headrace.errors import EXIT_INTERRUPTED, HeadraceError
from streamctl.commands.cancel import cancel
from streamctl.commands.down import down
from streamctl.commands.list import list_jobs
from streamctl.commands.logs import logs
from streamctl.commands.processes import dispatcher, taskmanager
from streamctl.commands.show import show
from streamctl.commands.status import status
from streamctl.commands.submit import submit
from streamctl.commands.up import up
from streamctl.commands.version import version
from streamctl.output import Output

CLUSTER = "Local cluster"
JOBS = "Jobs"
PROCESSES = "Processes of a cluster"


class Commands(TyperGroup):
    """Runs a command and says its errors."""

    def invoke(self, ctx: Any) -> Any:
        output = Output()
        ctx.obj = output
        try:
            return super().invoke(ctx)
        except HeadraceError as error:
            output.error(error)
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            output.note("interrupted" + (f"; {output.after_interrupt}" if output.after_interrupt else ""))
            raise typer.Exit(EXIT_INTERRUPTED) from None


app = typer.Typer(
    name="streamctl",
    cls=Commands,
    help="Stream processing jobs in Python on Apache Kafka.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for panel, commands in {
    JOBS: {"submit": submit, "list": list_jobs, "show": show, "cancel": cancel, "logs": logs},
    CLUSTER: {"up": up, "down": down, "status": status},
    PROCESSES: {"dispatcher": dispatcher, "taskmanager": taskmanager, "version": version},
}.items():
    for name, command in commands.items():
        app.command(name, rich_help_panel=panel)(command)


def main() -> None:
    """Entry point of the command ``streamctl``."""
    app()
