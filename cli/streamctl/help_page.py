"""The help of a command as plain text: what it does, then its arguments and options under their headings.

Typer's own drawing of help imports more than the rest of the command line together, so this page writes lines.
"""

from __future__ import annotations

import os
import sys
from typing import Any

OPTIONS = "Options"
ARGUMENTS = "Arguments"
COLUMNS_MAX = 100
#: A command's first sentence is shown whole.
SUMMARY_MAX = 200


def heading(text: str) -> str:
    """A heading, bold on a terminal that wants colours."""
    bold = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return f"\x1b[1m{text}\x1b[0m" if bold else text


def write_options(command: Any, context: Any, formatter: Any) -> None:
    """Arguments, then options by their panels; the panel "Options" first."""
    panels: dict[str, list[tuple[str, str]]] = {ARGUMENTS: [], OPTIONS: []}
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None:
            default = ARGUMENTS if parameter.param_type_name == "argument" else OPTIONS
            panels.setdefault(getattr(parameter, "rich_help_panel", None) or default, []).append(record)
    _write(formatter, panels)


def write_commands(group: Any, context: Any, formatter: Any) -> None:
    """Commands by their panels, in their order."""
    panels: dict[str, list[tuple[str, str]]] = {}
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is not None and not command.hidden:
            panel = getattr(command, "rich_help_panel", None) or "Commands"
            panels.setdefault(panel, []).append((name, command.get_short_help_str(limit=SUMMARY_MAX)))
    width = max((len(name) for commands in panels.values() for name, _ in commands), default=0)
    _write(formatter, {panel: [(n.ljust(width), text) for n, text in rows] for panel, rows in panels.items()})


def _write(formatter: Any, panels: dict[str, list[tuple[str, str]]]) -> None:
    for panel, rows in panels.items():
        if rows:
            with formatter.section(heading(panel)):
                formatter.write_dl(rows)
