"""What ``up`` and ``status`` say about the local cluster."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.text import Text

from headrace import clock
from headrace.embedded.cluster_files import ClusterSpec, ClusterState, ServiceState, ServiceStatus, read_spec
from headrace.embedded.services import KAFKA, REDIS, services_of
from streamctl.render import NOTHING, duration, facts, plain_table, sections

if TYPE_CHECKING:
    from pydantic import JsonValue

    from headrace.embedded import EmbeddedCluster


class ClusterHealth(StrEnum):
    """The local cluster in one word."""

    DOWN = "DOWN"  #: no process of it is alive
    STARTING = "STARTING"  #: a server does not answer yet
    HEALTHY = "HEALTHY"
    DEGRADED = "DEGRADED"  #: a server ended and is being restarted
    UNSUPERVISED = "UNSUPERVISED"  #: servers run, nobody restarts them; `up` mends it


STYLES = {
    ClusterHealth.DOWN: "dim",
    ClusterHealth.STARTING: "yellow",
    ClusterHealth.HEALTHY: "bold green",
    ClusterHealth.DEGRADED: "red",
    ClusterHealth.UNSUPERVISED: "yellow",
}


@dataclass(frozen=True)
class ClusterReport:
    """One look at a local cluster. ``spec`` None: it was never started."""

    name: str
    health: ClusterHealth
    spec: ClusterSpec | None
    state: ClusterState
    alive: dict[str, bool]

    @property
    def healthy(self) -> bool:
        return self.health is ClusterHealth.HEALTHY

    def json(self) -> dict[str, JsonValue]:
        """Addresses, and pid and state of each process."""
        report: dict[str, JsonValue] = {"name": self.name, "state": self.health.value}
        if self.spec is not None:
            report |= {
                "bootstrap": self.spec.bootstrap,
                "redis": self.spec.redis,
                "rest": self.spec.rest if self.spec.platform else None,
                "namespace": self.spec.namespace,
                "directory": str(self.spec.directory),
                "slots": self.spec.slots if self.spec.platform else 0,
            }
        processes: dict[str, JsonValue] = {}
        for name, status in self._processes():
            processes[name] = {
                "pid": status.pid if self.alive[name] else None,
                "state": self._state_of(name, status),
                "reason": status.reason,
                "starts": status.starts,
            }
        return {**report, "processes": processes, "warnings": list(self.state.warnings)}

    def _processes(self) -> list[tuple[str, ServiceStatus]]:
        return [("supervisor", self.state.supervisor), *self.state.services.items()]

    def _state_of(self, name: str, status: ServiceStatus) -> str:
        """As written down, unless the process has gone since."""
        return status.state.value if self.alive[name] or status.pid is None else "GONE"

    def rows(self) -> list[tuple[str, str, str, str, str, str]]:
        """Name, state, pid, age, address and reason of each process."""
        titles = {name: service.title for name, service in services_of(self.spec).items()} if self.spec else {}
        rows = []
        for name, status in self._processes():
            alive = self.alive[name]
            rows.append(
                (
                    titles.get(name, name.capitalize()),
                    self._state_of(name, status),
                    str(status.pid) if alive else NOTHING,
                    duration(clock.now_ms() - int(status.started_s * 1000)) if alive else NOTHING,
                    self._address_of(name),
                    status.reason,
                )
            )
        return rows

    def _address_of(self, name: str) -> str:
        if self.spec is None:
            return ""
        addresses = {KAFKA: self.spec.bootstrap, REDIS: self.spec.redis, "dispatcher": self.spec.rest}
        if name == "taskmanager":
            return f"{self.spec.slots} slots"
        return addresses.get(name, "")


def report_of(name: str, cluster: EmbeddedCluster) -> ClusterReport:
    """Look at the files and at the processes they name."""
    state = cluster.state
    alive = {"supervisor": state.supervisor.alive}
    alive |= {service: status.alive for service, status in state.services.items()}
    return ClusterReport(name, _health(state, alive), read_spec(cluster.directory), state, alive)


def _health(state: ClusterState, alive: dict[str, bool]) -> ClusterHealth:
    if not any(alive.values()):
        return ClusterHealth.DOWN
    if not alive["supervisor"]:
        return ClusterHealth.UNSUPERVISED
    if state.healthy:
        return ClusterHealth.HEALTHY
    restarting = any(each.state is ServiceState.RESTARTING or each.failures for each in state.services.values())
    return ClusterHealth.DEGRADED if restarting else ClusterHealth.STARTING


def report_page(report: ClusterReport) -> RenderableType:
    """The report for a person."""
    head = Text.assemble(f"cluster {report.name}: ", (report.health.value, STYLES[report.health]))
    if report.spec is None or report.health is ClusterHealth.DOWN:
        return sections(head, *([Text("`streamctl up` starts it")] if report.health is ClusterHealth.DOWN else []))
    table = plain_table("process", "state", "pid", "age", "address", "")
    for row in report.rows():
        table.add_row(*row)
    parts: list[RenderableType] = [head, table]
    if report.health is ClusterHealth.UNSUPERVISED:
        parts.append(Text("its supervisor is gone: nothing restarts what ends; `streamctl up` mends that", "yellow"))
    parts += [Text(f"warning: {warning}", "yellow") for warning in report.state.warnings]
    parts.append(facts([("directory", str(report.spec.directory))]))
    return sections(*parts)
