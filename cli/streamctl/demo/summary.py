"""The demo's last words. Pure."""

from __future__ import annotations

from rich.console import RenderableType
from rich.text import Text

from streamctl.demo.run import Outcome
from streamctl.render import facts, sections


def summary(outcome: Outcome) -> RenderableType:
    """A few lines that say what ran, what was killed, and whether every row is right."""
    rows, kill = outcome.comparison, outcome.kill
    verdict = (
        Text(f"EXACT: all {rows.expected:,} rows are right, none lost, none twice", style="bold green")
        if rows.exact
        else Text(f"NOT EXACT: {rows.lost} lost, {rows.duplicated} twice, {rows.wrong} wrong", style="bold red")
    )
    lines: list[tuple[str, RenderableType]] = [
        ("Input", f"{outcome.records:,} flights, {outcome.records_per_s:,.0f} a second with the outage"),
        ("First result", f"{outcome.first_result_s:.1f} s after the start"),
    ]
    if kill is None:
        lines.append(("Kill", Text("no worker was killed", style="red")))
    elif kill.first_commit_s is None:
        lines.append(("Kill", Text(f"worker {kill.pid} never committed again", style="red")))
    else:
        share = kill.committed_at_kill / outcome.records
        lines.append(
            ("Kill", f"SIGKILL at {share:.0%} of the input, committed again after {kill.first_commit_s:.2f} s")
        )
    lines.append(("Verdict", verdict))
    return sections(facts(lines))
