"""How long a user waits for a whole result: ``streamctl submit`` of the keyed count, to the last committed row."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from headrace import clock
from headrace.embedded.cluster import Addresses
from headrace.errors import StillWaitingError
from streamctl.bench.drain import PARALLELISM, PARTITIONS
from streamctl.bench.w1 import INPUT, OUTPUT, KeyedCount
from streamctl.trial.cluster import example_file, load_average, trial_cluster
from streamctl.trial.filling import create_topics, fill
from streamctl.trial.memory import MemorySampler
from streamctl.trial.sink import SinkWatch, read_committed

DEADLINE_S = 300.0


@dataclass(frozen=True)
class Startup:
    """One run."""

    records: int
    seconds: float
    workers_mb: float
    exact: bool
    load: float

    def json(self) -> JsonValue:
        return {
            "bench": "startup",
            "mode": "exactly-once",
            "records": self.records,
            "seconds": round(self.seconds, 2),
            "workers_mb": round(self.workers_mb, 1),
            "exact": self.exact,
            "load": self.load,
        }


def run_startup(records: int, say: Callable[[str], None]) -> Startup:
    """Run it on a cluster of its own, warmed up by hello. Raises HeadraceError when it cannot be run to the end."""
    workload = KeyedCount(records, 1000, typed=False)
    with ThreadPoolExecutor(1) as pool, trial_cluster("startup", slots=PARALLELISM, say=say) as cluster:
        starting = pool.submit(cluster.start)
        bootstrap = cluster.await_kafka(starting)
        say(f"producing {records:,} records")
        inputs = workload.inputs()
        create_topics(bootstrap, {INPUT: PARTITIONS, OUTPUT: PARALLELISM})
        fill(bootstrap, INPUT, inputs[INPUT])
        addresses = starting.result()
        _submit(addresses, example_file("hello.py"), "--wait")
        load = load_average()
        sink = SinkWatch(bootstrap, OUTPUT)
        with MemorySampler(cluster.workers) as memory:
            began_s = clock.monotonic_s()
            submitting = pool.submit(_submit, addresses, workload.script, "--", *workload.arguments())
            while sink.poll() < workload.windows:
                if clock.monotonic_s() - began_s > DEADLINE_S:
                    cluster.keep()
                    raise StillWaitingError("trial-too-slow", f"no whole result within {DEADLINE_S:.0f} s")
            seconds = clock.monotonic_s() - began_s
            submitting.result()
        sink.close()
        say("checking every row")
        exact = workload.exact(read_committed(bootstrap, OUTPUT))
        return Startup(records, seconds, memory.peak_mb, exact, load)


def _submit(addresses: Addresses, script: Path, *arguments: str) -> None:
    command = [str(Path(sys.executable).with_name("streamctl")), "submit", "--bootstrap", addresses.bootstrap]
    options = ["-p", str(PARALLELISM), str(script), *arguments]
    subprocess.run([*command, *options], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
