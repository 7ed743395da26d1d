"""A workload that is drained: topics filled, a bounded job over them, every row of its sink topic compared.

Records per second per core are input records over the CPU seconds of the slot workers between the first record
read and the last commit. Broker CPU of the same span stands beside it. The machine's other load shows in ``load``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from pydantic import JsonValue

from headrace import clock
from headrace.embedded.cluster import Addresses
from headrace.errors import StillWaitingError
from headrace.protocol.control import LaneMetrics
from streamctl.trial.cluster import TrialCluster, load_average, trial_cluster
from streamctl.trial.cpu import CpuSampler
from streamctl.trial.filling import create_topics, fill
from streamctl.trial.job import TrialJob
from streamctl.trial.memory import MemorySampler
from streamctl.trial.metrics import last_metrics
from streamctl.trial.sink import read_committed
from streamctl.watch import describe, ended, require_success

PARTITIONS = 4
PARALLELISM = 2
#: A run may take this long per million records, and as long at least.
JOB_S = 300.0

#: (key, value) of the committed records of the sink topic.
Rows = Iterator[tuple[bytes | None, bytes]]


class Workload(Protocol):
    """What is drained. ``exact`` comes after ``inputs`` has been gone through."""

    name: str
    script: Path
    records: int
    output: str

    def inputs(self) -> Mapping[str, Iterable[tuple[int, bytes]]]:
        """By topic: (partition, value) of every record."""

    def arguments(self) -> list[str]:
        """What the script is given."""

    def exact(self, rows: Rows) -> bool:
        """Whether the sink topic holds what it must, no row missing, doubled or wrong."""

    def facts(self) -> dict[str, JsonValue]:
        """What describes it, for the JSON."""


@dataclass(frozen=True)
class Drained:
    """One run."""

    name: str
    mode: str
    records: int
    facts: dict[str, JsonValue]
    exact: bool
    seconds: float
    task_cpu_s: float
    broker_cpu_s: float
    state_mb: float
    load: float
    parallelism: int = field(default=PARALLELISM)

    def json(self) -> JsonValue:
        return {
            "bench": self.name,
            "mode": self.mode,
            "records": self.records,
            **self.facts,
            "parallelism": self.parallelism,
            "records_per_s": round(self.records / self.seconds),
            "records_per_s_per_core": round(self.records / self.task_cpu_s),
            "seconds": round(self.seconds, 3),
            "task_cpu_s": round(self.task_cpu_s, 3),
            "broker_cpu_s": round(self.broker_cpu_s, 3),
            "state_mb": round(self.state_mb, 1),
            "exact": self.exact,
            "load": self.load,
        }


def job_file(name: str) -> Path:
    """A job that exists for a measurement only."""
    return Path(__file__).with_name("jobs") / name


def run_drain(
    workload: Workload, say: Callable[[str], None], *, mode: str = "exactly-once", options: Mapping[str, str] = {}
) -> Drained:
    """Run it on a cluster of its own. Raises HeadraceError when it cannot be run to the end."""
    with ThreadPoolExecutor(1) as pool, trial_cluster("bench", slots=PARALLELISM, say=say) as cluster:
        starting = pool.submit(cluster.start)
        bootstrap = cluster.await_kafka(starting)
        say(f"producing {workload.records:,} records")
        inputs = workload.inputs()
        create_topics(bootstrap, {**dict.fromkeys(inputs, PARTITIONS), workload.output: PARALLELISM})
        for topic, records in inputs.items():
            fill(bootstrap, topic, records)
        addresses = starting.result()
        trial = TrialJob(addresses, parallelism=PARALLELISM, options={"execution.delivery": mode, **options})
        load = load_average()
        with (
            CpuSampler(cluster.workers) as workers,
            CpuSampler(lambda: [cluster.broker()]) as broker,
            MemorySampler(cluster.workers) as memory,
        ):
            try:
                trial.run(workload.script, workload.arguments())
                _until_ended(trial, cluster, workload, say)
                metrics = last_metrics(addresses, trial.submitted.job_id)
            finally:
                trial.close()
        first_ms, last_ms = _span(metrics)
        say("checking every row")
        measured = Drained(
            name=workload.name,
            mode=mode,
            records=workload.records,
            facts=workload.facts(),
            exact=_exact(workload, addresses),
            seconds=(last_ms - first_ms) / 1000,
            task_cpu_s=workers.seconds(first_ms, last_ms),
            broker_cpu_s=broker.seconds(first_ms, last_ms),
            state_mb=memory.growth_mb(),
            load=load,
        )
        if not measured.exact:
            cluster.keep()
            say(f"kept for a look: {cluster.directory}")
    return measured


def _exact(workload: Workload, addresses: Addresses) -> bool:
    return workload.exact(read_committed(addresses.bootstrap, workload.output))


def _until_ended(trial: TrialJob, cluster: TrialCluster, workload: Workload, say: Callable[[str], None]) -> None:
    limit_s = JOB_S * max(workload.records / 1e6, 1.0)
    deadline_s = clock.monotonic_s() + limit_s
    while not ended(lifecycle := trial.take_events(0.2)):
        say(describe(workload.name, lifecycle))
        if clock.monotonic_s() > deadline_s:
            cluster.keep()
            raise StillWaitingError(
                "trial-too-slow",
                f"the job has not ended after {limit_s:.0f} s: {describe(workload.name, lifecycle)}",
                hint=f"the servers' output is in {cluster.directory}",
            )
    require_success(trial.submitted.job_id, workload.name, lifecycle)


def _span(metrics: Mapping[str, LaneMetrics]) -> tuple[int, int]:
    """From the first record read to the last commit of any lane, wall-clock ms."""
    reads = [each.first_read_ms for each in metrics.values() if each.first_read_ms]
    return min(reads), max(each.last_commit_ms for each in metrics.values())
