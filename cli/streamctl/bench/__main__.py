"""``./dev bench NAME``: exit status 0 only when the results were exact."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from headrace.errors import EXIT_JOB_FAILED
from streamctl.options import JsonOption, output_of
from streamctl.speaking import SpeakingGroup

app = typer.Typer(cls=SpeakingGroup, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def bench() -> None:
    """Measurements on a cluster of their own, results checked exactly."""


@app.command()
def w1(
    context: typer.Context,
    records: Annotated[int, typer.Option(min=1000, metavar="N", help="Input records.")] = 1_000_000,
    keys: Annotated[int, typer.Option(min=1, max=10_000_000, metavar="N", help="Different users.")] = 1000,
    json: JsonOption = False,
) -> None:
    """Keyed count: JSON, filter, exchange, 10 s windows, sink; exactly-once, Python lambdas on dicts."""
    from streamctl.bench.w1 import run_w1
    from streamctl.render import facts

    last = ""

    def say(text: str) -> None:
        nonlocal last
        if text != last:
            last = text
            sys.stderr.write(f"{text}\n")

    measured = run_w1(records, keys, say)
    output_of(context).result(
        measured.json(),
        facts(
            [
                ("Records", f"{measured.records:,} of 100 bytes, {measured.keys:,} keys"),
                ("Throughput", f"{measured.records / measured.seconds:,.0f} records/s"),
                ("Per core", f"{measured.records / measured.task_cpu_s:,.0f} records/s of slot worker CPU"),
                ("CPU", f"{measured.task_cpu_s:.1f} s workers, {measured.broker_cpu_s:.1f} s broker"),
                ("Exact", "yes" if measured.exact else "NO"),
                ("Load", f"{measured.load} before the job"),
            ]
        ),
    )
    if not measured.exact:
        raise typer.Exit(EXIT_JOB_FAILED)


if __name__ == "__main__":
    app()
