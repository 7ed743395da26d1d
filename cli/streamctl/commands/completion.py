"""``streamctl completion``."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer


class Shell(StrEnum):
    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def completion(
    shell: Annotated[Shell, typer.Argument(help="The shell that is to know the commands.", show_default=False)],
) -> None:
    """Print the script that teaches a shell to complete commands, options and jobs.

    Bash: put `eval "$(streamctl completion bash)"` into ~/.bashrc. docs/cli.md has the others.
    """
    from typer.completion import get_completion_script  # type: ignore[attr-defined]

    from streamctl.completions import COMPLETE_VARIABLE

    script = get_completion_script(prog_name="streamctl", complete_var=COMPLETE_VARIABLE, shell=shell.value)
    typer.echo(script.strip())
