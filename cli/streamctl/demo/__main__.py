"""``./dev demo [--json]``: exit status 0 only when every row is right and the killed worker came back."""

from __future__ import annotations

import typer

from headrace.errors import EXIT_JOB_FAILED
from streamctl.options import JsonOption, output_of
from streamctl.speaking import SpeakingCommand

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(cls=SpeakingCommand)
def demo(context: typer.Context, json: JsonOption = False) -> None:
    """A year of real flights through a cluster of its own, a worker killed on the way, every row compared."""
    from streamctl.demo.run import run_demo
    from streamctl.demo.screen import screen
    from streamctl.demo.summary import summary

    with screen() as shown:
        outcome = run_demo(shown)
    output_of(context).result(outcome.json(), summary(outcome))
    if not outcome.exact:
        raise typer.Exit(EXIT_JOB_FAILED)


if __name__ == "__main__":
    app()
