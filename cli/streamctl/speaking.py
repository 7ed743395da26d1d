"""Commands that say their errors: a HeadraceError becomes a line and its exit status, an interrupt becomes 130.

Anything else is a mistake of ours and shows its traceback.
"""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from headrace.errors import EXIT_INTERRUPTED, HeadraceError
from streamctl.help_page import COLUMNS_MAX, write_commands, write_options
from streamctl.output import Output


class _Speaking:
    """Gives the outermost command an Output, and its errors to it; writes help as plain text."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        write_options(self, ctx, formatter)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if ctx.parent is None:
            ctx.obj = Output()
        left: list[str] = super().parse_args(ctx, args)  # type: ignore[misc]
        return left

    def invoke(self, ctx: Any) -> Any:
        if ctx.parent is not None:
            return super().invoke(ctx)  # type: ignore[misc]
        output = ctx.obj
        try:
            return super().invoke(ctx)  # type: ignore[misc]
        except HeadraceError as error:
            output.error(error)
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            output.interrupted()
            raise typer.Exit(EXIT_INTERRUPTED) from None


class SpeakingCommand(_Speaking, TyperCommand):
    """A program of one command."""


class SpeakingGroup(_Speaking, TyperGroup):
    """A program of several commands."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        write_options(self, ctx, formatter)
        write_commands(self, ctx, formatter)


#: For every command: help pages as wide as the terminal, to a bound that is still read with ease.
CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": COLUMNS_MAX}
