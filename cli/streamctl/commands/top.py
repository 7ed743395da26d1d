"""``streamctl top``."""

from __future__ import annotations

from typing import Annotated

import typer

from streamctl.options import (
    BootstrapOption,
    JsonOption,
    NamespaceOption,
    RestOption,
    cluster_of,
    output_of,
)


def top(
    context: typer.Context,
    once: Annotated[bool, typer.Option("--once", help="Print one sample and end.")] = False,
    interval: Annotated[
        float, typer.Option(min=0.5, max=60, metavar="SECONDS", help="Time between two samples.")
    ] = 2.0,
    json: JsonOption = False,
    bootstrap: BootstrapOption = None,
    rest: RestOption = None,
    namespace: NamespaceOption = None,
) -> None:
    """Watch living jobs: rates, lag, age of the watermark, commits, reasons. q or Ctrl-C ends it.

    Prints one sample when stdout is no terminal, and with --json. WM AGE is how far the watermark is behind now.
    """
    import sys
    import time

    from headrace import clock
    from streamctl.json_schemas import TopSample
    from streamctl.output import Format, stdout_console
    from streamctl.top_sample import Sampler, look
    from streamctl.top_screen import run_top, top_page

    output = output_of(context)
    cluster = cluster_of(bootstrap, rest, namespace)
    sampler = Sampler()

    def take() -> TopSample:
        return sampler.sample(look(cluster), clock.now_ms())

    console = stdout_console()
    if once or output.format is Format.JSON or not sys.stdout.isatty():
        if take().jobs:
            time.sleep(interval)  # rates need two looks
        sample = take()
        output.result(sample.model_dump(mode="json"), top_page(sample, console.width))
        return
    try:
        run_top(take, console, interval)
    except KeyboardInterrupt:
        return  # the usual way to end it
