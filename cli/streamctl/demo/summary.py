"""The demo's last words. Pure."""

from __future__ import annotations

from rich.console import RenderableType
from rich.text import Text

from streamctl.demo.machine import Machine
from streamctl.demo.run import Outcome
from streamctl.render import facts, sections


def summary(outcome: Outcome, machine: Machine | None) -> RenderableType:
    """A few lines that say what ran, what was killed, whether every row is right, and what the monitoring saw."""
    kill = outcome.kill
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
    lines.append(("Verdict", verdict(outcome)))
    if machine is not None:
        lines.append(("Monitoring", f"{machine.count} windows of {len(machine.windows)} metrics, {_alerts(machine)}"))
    return sections(facts(lines))


def verdict(outcome: Outcome) -> Text:
    """Whether every row is right."""
    rows = outcome.comparison
    if rows.exact:
        return Text(f"EXACT: all {rows.expected:,} rows are right, none lost, none twice", style="bold green")
    return Text(f"NOT EXACT: {rows.lost} lost, {rows.duplicated} twice, {rows.wrong} wrong", style="bold red")


def _alerts(machine: Machine) -> str:
    raised = sum(alert.raised for alert in machine.alerts)
    cleared = len(machine.alerts) - raised
    return f"{raised} {'alert' if raised == 1 else 'alerts'} raised, {cleared} cleared"
