"""What a cluster costs while nobody uses it: Kafka, Redis, a Dispatcher, a TaskManager with four free slots."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import psutil
from pydantic import JsonValue

from headrace import clock
from streamctl.trial.cluster import load_average, trial_cluster

SLOTS = 4
#: The broker's compiler and everybody's start-up work are over by then.
SETTLE_S = 60.0


@dataclass(frozen=True)
class Idle:
    """One run. ``cpu_share``: CPU seconds per second of all processes together; ``memory_mb``: proportional set size,
    so that pages which processes share count once."""

    seconds: float
    cpu_share: dict[str, float]
    memory_mb: dict[str, float]
    load: float

    def json(self) -> JsonValue:
        return {
            "bench": "idle",
            "seconds": self.seconds,
            "slots": SLOTS,
            "cpu_share": round(sum(self.cpu_share.values()), 4),
            "memory_mb": round(sum(self.memory_mb.values()), 1),
            "cpu_share_by_process": {name: round(share, 4) for name, share in self.cpu_share.items()},
            "memory_mb_by_process": {name: round(size, 1) for name, size in self.memory_mb.items()},
            "load": self.load,
        }


def run_idle(seconds: float, say: Callable[[str], None]) -> Idle:
    """Start a cluster, leave it alone, look. Raises HeadraceError when it does not start."""
    with trial_cluster("idle", slots=SLOTS, say=say) as cluster:
        cluster.start()
        load = load_average()
        say(f"settling for {SETTLE_S:.0f} s, then measuring for {seconds:.0f} s")
        time.sleep(SETTLE_S)
        families = cluster.processes()
        before = {name: _cpu_s(members) for name, members in families.items()}
        began_s = clock.monotonic_s()
        time.sleep(seconds)
        took_s = clock.monotonic_s() - began_s
        return Idle(
            seconds=round(took_s, 1),
            cpu_share={name: (_cpu_s(members) - before[name]) / took_s for name, members in families.items()},
            memory_mb={
                name: sum(process.memory_full_info().pss for process in members) / 1e6
                for name, members in families.items()
            },
            load=load,
        )


def _cpu_s(processes: list[psutil.Process]) -> float:
    total_s = 0.0
    for process in processes:
        times = process.cpu_times()
        total_s += times.user + times.system
    return total_s
