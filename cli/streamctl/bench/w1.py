"""W1, the keyed count: JSON, filter, exchange, windows of 10 s, sink topic; exactly-once, every count checked.

Records per second per core are input records over the CPU seconds of the slot workers between the first record
read and the last commit. Broker CPU of the same span stands beside it. The machine's other load shows in ``load``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import msgspec
from pydantic import JsonValue

from headrace import clock
from headrace.embedded.cluster import Addresses
from headrace.errors import StillWaitingError
from headrace.protocol.control import LaneMetrics
from streamctl.bench.workload import PARTITIONS, Counts, KeyedViews
from streamctl.trial.cluster import TrialCluster, example_file, load_average, trial_cluster
from streamctl.trial.cpu import CpuSampler
from streamctl.trial.filling import create_topics, fill
from streamctl.trial.job import TrialJob
from streamctl.trial.metrics import last_metrics
from streamctl.trial.sink import read_committed
from streamctl.watch import describe, ended, require_success

INPUT, OUTPUT = "events", "counts"
PARALLELISM = 2
#: A run may take this long per million records, and as long at least.
JOB_S = 300.0


@dataclass(frozen=True)
class Measurement:
    """One run."""

    records: int
    keys: int
    windows: int
    exact: bool
    seconds: float
    task_cpu_s: float
    broker_cpu_s: float
    load: float

    def json(self) -> JsonValue:
        return {
            "bench": "w1",
            "mode": "exactly-once",
            "records": self.records,
            "keys": self.keys,
            "windows": self.windows,
            "parallelism": PARALLELISM,
            "records_per_s": round(self.records / self.seconds),
            "records_per_s_per_core": round(self.records / self.task_cpu_s),
            "seconds": round(self.seconds, 3),
            "task_cpu_s": round(self.task_cpu_s, 3),
            "broker_cpu_s": round(self.broker_cpu_s, 3),
            "exact": self.exact,
            "load": self.load,
        }


def run_w1(records: int, keys: int, say: Callable[[str], None]) -> Measurement:
    """Run it on a cluster of its own. Raises HeadraceError when it cannot be run to the end."""
    script = example_file("keyed_count.py")
    with ThreadPoolExecutor(1) as pool, trial_cluster("bench", slots=PARALLELISM, say=say) as cluster:
        starting = pool.submit(cluster.start)
        bootstrap = cluster.await_kafka(starting)
        views = KeyedViews(records, keys)
        say(f"producing {records:,} records")
        create_topics(bootstrap, {INPUT: PARTITIONS, OUTPUT: PARALLELISM})
        fill(bootstrap, INPUT, views)
        addresses = starting.result()
        trial = TrialJob(addresses, parallelism=PARALLELISM)
        load = load_average()
        with CpuSampler(cluster.workers) as workers, CpuSampler(lambda: [cluster.broker()]) as broker:
            try:
                trial.run(script, ["--input", INPUT, "--output", OUTPUT])
                _until_ended(trial, cluster, records, say)
                metrics = last_metrics(addresses, trial.submitted.job_id)
            finally:
                trial.close()
        first_ms, last_ms = _span(metrics)
        say("checking every count")
        found, rows = counted(addresses)
        measured = Measurement(
            records=records,
            keys=keys,
            windows=rows,
            exact=rows == len(views.truth) and found == views.truth,
            seconds=(last_ms - first_ms) / 1000,
            task_cpu_s=workers.seconds(first_ms, last_ms),
            broker_cpu_s=broker.seconds(first_ms, last_ms),
            load=load,
        )
        if not measured.exact:
            cluster.keep()
            say(f"kept for a look: {cluster.directory}")
    return measured


def _until_ended(trial: TrialJob, cluster: TrialCluster, records: int, say: Callable[[str], None]) -> None:
    limit_s = JOB_S * max(records / 1e6, 1.0)
    deadline_s = clock.monotonic_s() + limit_s
    while not ended(lifecycle := trial.take_events(0.2)):
        say(describe("keyed count", lifecycle))
        if clock.monotonic_s() > deadline_s:
            cluster.keep()
            raise StillWaitingError(
                "trial-too-slow",
                f"the job has not ended after {limit_s:.0f} s: {describe('keyed count', lifecycle)}",
                hint=f"the servers' output is in {cluster.directory}",
            )
    require_success(trial.submitted.job_id, "keyed count", lifecycle)


def _span(metrics: dict[str, LaneMetrics]) -> tuple[int, int]:
    """From the first record read to the last commit of any lane, wall-clock ms."""
    reads = [each.first_read_ms for each in metrics.values() if each.first_read_ms]
    return min(reads), max(each.last_commit_ms for each in metrics.values())


def counted(addresses: Addresses) -> tuple[Counts, int]:
    """What the sink holds: counts by user and window, and how many rows that were."""

    class CountRow(msgspec.Struct):
        user: str
        start: int
        count: int

    decode = msgspec.json.Decoder(CountRow).decode
    found: Counts = Counter()
    rows = 0
    for _, value in read_committed(addresses.bootstrap, OUTPUT):
        row = decode(value)
        found[row.user, row.start] += row.count
        rows += 1
    return found, rows
