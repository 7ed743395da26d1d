"""``./dev demo [--json]``: exit status 0 only when every row is right and the killed worker came back."""

from __future__ import annotations

import typer

from headrace.errors import EXIT_JOB_FAILED
from streamctl.options import JsonOption, output_of
from streamctl.speaking import SpeakingCommand

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(cls=SpeakingCommand)
def demo(context: typer.Context, json: JsonOption = False) -> None:
    """A year of real flights through a cluster of its own, a worker killed on the way, every row compared.

    Then, without --json, this machine is monitored live for 15 s, on the same cluster.
    """
    from streamctl.demo.board import board
    from streamctl.demo.monitoring import Timetable, watch_machine
    from streamctl.demo.run import PARALLELISM, run_flights
    from streamctl.demo.screen import screen
    from streamctl.demo.summary import summary, verdict
    from streamctl.trial.cluster import trial_cluster

    machine = None
    with screen() as shown, trial_cluster("demo", slots=PARALLELISM, say=shown.step) as cluster:
        outcome = run_flights(cluster, shown)
        if outcome.exact and not json:
            shown.done(verdict(outcome).plain)
            shown.step("submitting examples/monitoring.py")
            shown.rest()
            with board() as view:
                machine = watch_machine(cluster.addresses, view, Timetable())
    output_of(context).result(outcome.json(), summary(outcome, machine))
    if not outcome.exact:
        raise typer.Exit(EXIT_JOB_FAILED)


if __name__ == "__main__":
    app()
