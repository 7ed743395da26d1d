"""``./dev bench NAME``: exit status 0 only when the results were exact."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from headrace.errors import EXIT_JOB_FAILED
from streamctl.options import JsonOption, output_of
from streamctl.speaking import SpeakingGroup

if TYPE_CHECKING:
    from streamctl.bench.drain import Workload

app = typer.Typer(cls=SpeakingGroup, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def bench() -> None:
    """Measurements on a cluster of their own, results checked exactly."""


class _Progress:
    """Lines on standard error; one that only repeats the last is not shown."""

    last = ""

    def __call__(self, text: str) -> None:
        if text != self.last:
            self.last = text
            sys.stderr.write(f"{text}\n")


_say = _Progress()


class Mode(StrEnum):
    EXACTLY_ONCE = "exactly-once"
    AT_LEAST_ONCE = "at-least-once"


RecordsOption = Annotated[int, typer.Option(min=1000, metavar="N", help="Input records.")]
KeysOption = Annotated[int, typer.Option(min=1, max=10_000_000, metavar="N", help="Different users.")]
ModeOption = Annotated[Mode, typer.Option(help="Delivery guarantee.")]


def _drain(context: typer.Context, workload: Workload, mode: Mode) -> None:
    """Run it and say what was measured."""
    from streamctl.bench.drain import run_drain
    from streamctl.render import facts

    measured = run_drain(workload, _say, mode=mode.value)
    output_of(context).result(
        measured.json(),
        facts(
            [
                ("Records", f"{measured.records:,}, {mode.value}"),
                ("Throughput", f"{measured.records / measured.seconds:,.0f} records/s"),
                ("Per core", f"{measured.records / measured.task_cpu_s:,.0f} records/s of slot worker CPU"),
                ("CPU", f"{measured.task_cpu_s:.1f} s workers, {measured.broker_cpu_s:.1f} s broker"),
                ("Memory", f"{measured.state_mb:.0f} MB more than idle workers hold"),
                ("Exact", "yes" if measured.exact else "NO"),
                ("Load", f"{measured.load} before the job"),
            ]
        ),
    )
    if not measured.exact:
        raise typer.Exit(EXIT_JOB_FAILED)


@app.command()
def w1(
    context: typer.Context,
    records: RecordsOption = 1_000_000,
    keys: KeysOption = 1000,
    typed: Annotated[bool, typer.Option("--typed", help="With a declared row type.")] = False,
    mode: ModeOption = Mode.EXACTLY_ONCE,
    json: JsonOption = False,
) -> None:
    """Keyed count: JSON, filter, exchange, 10 s windows, sink; Python lambdas on dicts, or on typed rows."""
    from streamctl.bench.w1 import KeyedCount

    _drain(context, KeyedCount(records, keys, typed=typed), mode)


@app.command()
def w2(
    context: typer.Context,
    records: RecordsOption = 1_000_000,
    mode: ModeOption = Mode.EXACTLY_ONCE,
    json: JsonOption = False,
) -> None:
    """Running word count: every update of 5,000 words goes to a topic."""
    from streamctl.bench.w2 import RunningWordCount

    _drain(context, RunningWordCount(records), mode)


@app.command()
def stateless(
    context: typer.Context,
    records: RecordsOption = 1_000_000,
    mode: ModeOption = Mode.EXACTLY_ONCE,
    json: JsonOption = False,
) -> None:
    """Map and filter, topic to topic, text in and out."""
    from streamctl.bench.stateless import Stateless

    _drain(context, Stateless(records), mode)


@app.command()
def process(
    context: typer.Context,
    records: RecordsOption = 1_000_000,
    keys: KeysOption = 1000,
    mode: ModeOption = Mode.EXACTLY_ONCE,
    json: JsonOption = False,
) -> None:
    """Keyed count by a KeyedProcessFunction: state, and one timer for each key and window."""
    from streamctl.bench.process import TimedCount

    _drain(context, TimedCount(records, keys), mode)


@app.command()
def join(
    context: typer.Context,
    records: RecordsOption = 1_000_000,
    mode: ModeOption = Mode.EXACTLY_ONCE,
    json: JsonOption = False,
) -> None:
    """Interval join of two topics, bounds of 10 s."""
    from streamctl.bench.join import IntervalJoin

    _drain(context, IntervalJoin(records), mode)


@app.command()
def startup(context: typer.Context, records: RecordsOption = 1_000_000, json: JsonOption = False) -> None:
    """`streamctl submit` of w1 on a warm cluster to its whole committed result; the workers' memory."""
    from streamctl.bench.startup import run_startup
    from streamctl.render import facts

    measured = run_startup(records, _say)
    output_of(context).result(
        measured.json(),
        facts(
            [
                ("Whole result", f"{measured.seconds:.1f} s for {measured.records:,} records"),
                ("Memory", f"{measured.workers_mb:.0f} MB, all slot workers"),
                ("Exact", "yes" if measured.exact else "NO"),
                ("Load", f"{measured.load} before"),
            ]
        ),
    )
    if not measured.exact:
        raise typer.Exit(EXIT_JOB_FAILED)


@app.command()
def recovery(
    context: typer.Context,
    rate: Annotated[int, typer.Option(min=100, metavar="N", help="Records per second.")] = 20_000,
    kills: Annotated[int, typer.Option(min=1, max=1000, metavar="N", help="Workers to kill.")] = 20,
    json: JsonOption = False,
) -> None:
    """SIGKILL of slot workers under load, one after the other: time to their lanes' next commits."""
    from streamctl.bench.recovery import run_recovery
    from streamctl.render import facts

    measured = run_recovery(rate, kills, _say)
    output_of(context).result(
        measured.json(),
        facts(
            [
                ("Kills", f"{len(measured.kills)} at {measured.rate:,} records/s"),
                (
                    "First commit",
                    f"p50 {measured.first_s[len(measured.kills) // 2]:.2f} s, max {measured.first_s[-1]:.2f} s",
                ),
                (
                    "All lanes",
                    f"p50 {measured.all_s[len(measured.kills) // 2]:.2f} s, max {measured.all_s[-1]:.2f} s",
                ),
                ("Lost, doubled, wrong", f"{measured.lost}, {measured.duplicated}, {measured.wrong}"),
                ("Load", f"{measured.load} before"),
            ]
        ),
    )
    if not measured.exact or len(measured.kills) < kills:
        raise typer.Exit(EXIT_JOB_FAILED)


@app.command()
def restore(context: typer.Context, keys: KeysOption = 1_000_000, json: JsonOption = False) -> None:
    """Restart of all workers with state of many keys; the longest pause while a snapshot is written."""
    from streamctl.bench.restore import run_restore
    from streamctl.render import facts

    measured = run_restore(keys, _say)
    output_of(context).result(
        measured.json(),
        facts(
            [
                ("Restore", f"{measured.restore_s:.2f} s until every lane commits again, {measured.keys:,} keys"),
                ("Longest gap", f"{measured.gap_max_ms:.0f} ms between commits, {measured.snapshots} snapshots"),
                ("Memory", f"{measured.state_mb:.0f} MB more than idle workers hold"),
                ("Lost, doubled, wrong", f"{measured.lost}, {measured.duplicated}, {measured.wrong}"),
                ("Load", f"{measured.load} before"),
            ]
        ),
    )
    if not measured.exact:
        raise typer.Exit(EXIT_JOB_FAILED)


@app.command()
def latency(
    context: typer.Context,
    rate: Annotated[int, typer.Option(min=100, metavar="N", help="Records per second.")] = 10_000,
    seconds: Annotated[float, typer.Option(min=1, metavar="S", help="Measured time, after 10 s to warm up.")] = 20,
    mode: ModeOption = Mode.EXACTLY_ONCE,
    json: JsonOption = False,
) -> None:
    """Send time to sink reader over two hops: filter, exchange, running total, sink topic."""
    from streamctl.bench.latency import run_latency
    from streamctl.render import facts

    measured = run_latency(rate, seconds, mode.value, _say)
    output_of(context).result(
        measured.json(),
        facts(
            [
                ("Mode", measured.mode),
                ("Rate", f"{measured.rate:,} records/s, {len(measured.samples):,} measured"),
                ("p50", f"{measured.percentile(0.5):.0f} ms"),
                ("p90", f"{measured.percentile(0.9):.0f} ms"),
                ("p99", f"{measured.percentile(0.99):.0f} ms"),
                ("Exact", "yes" if measured.exact else "NO"),
                ("Load", f"{measured.load} before the load"),
            ]
        ),
    )
    if not measured.exact:
        raise typer.Exit(EXIT_JOB_FAILED)


@app.command()
def idle(
    context: typer.Context,
    seconds: Annotated[float, typer.Option(min=1, metavar="S", help="Measured time, after 60 s to settle.")] = 30,
    json: JsonOption = False,
) -> None:
    """CPU and memory of a cluster that nobody uses: all servers, four free slots."""
    from streamctl.bench.idle import run_idle
    from streamctl.render import facts

    measured = run_idle(seconds, _say)
    output_of(context).result(
        measured.json(),
        facts(
            [
                *(
                    (name, f"{share:6.1%} of a core, {measured.memory_mb[name]:5.0f} MB")
                    for name, share in measured.cpu_share.items()
                ),
                (
                    "All",
                    f"{sum(measured.cpu_share.values()):6.1%} of a core, {sum(measured.memory_mb.values()):5.0f} MB",
                ),
                ("Load", f"{measured.load} before"),
            ]
        ),
    )


@app.command()
def submit(
    context: typer.Context,
    times: Annotated[int, typer.Option(min=1, metavar="N", help="Submissions, after one to warm up.")] = 5,
    json: JsonOption = False,
) -> None:
    """From `streamctl submit examples/hello.py` to RUNNING, and to the first line of output."""
    from streamctl.bench.submit import run_submit
    from streamctl.render import facts

    measured = run_submit(times, _say)
    output_of(context).result(
        measured.json(),
        facts(
            [
                ("RUNNING", " ".join(f"{s:.2f}" for s in measured.running_s) + " s"),
                ("First output", " ".join(f"{s:.2f}" for s in measured.output_s) + " s"),
                ("Load", f"{measured.load} before"),
            ]
        ),
    )


if __name__ == "__main__":
    app()
