"""State of many keys: how long a restart takes with it, and how long outputs wait while a snapshot is written.

Every key gets a value first; then the load goes on at a moderate rate until each lane of the keyed vertex has
written a snapshot, and the longest time between two commits of a lane meanwhile is kept. Then all workers are killed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pydantic import JsonValue

from headrace import clock
from headrace.errors import StillWaitingError
from streamctl.bench.latency import PARALLELISM
from streamctl.bench.running_sums import RunningSums, running_sums
from streamctl.trial.cluster import TrialCluster, kill_worker, load_average, trial_cluster
from streamctl.trial.commits import Commit
from streamctl.trial.kill import Kill
from streamctl.trial.memory import MemorySampler

FILL_RATE, RATE = 40_000, 10_000
#: The load goes on so long at most for snapshots to be written, and after the kill for lanes to come back.
SNAPSHOT_S, BACK_S = 120.0, 30.0
KEYED = "v2"


@dataclass(frozen=True)
class Restore:
    """One run."""

    keys: int
    restore_s: float
    gap_max_ms: float
    snapshots: int
    state_mb: float
    lost: int
    duplicated: int
    wrong: int
    load: float

    @property
    def exact(self) -> bool:
        return not (self.lost or self.duplicated or self.wrong)

    def json(self) -> JsonValue:
        return {
            "bench": "restore",
            "mode": "exactly-once",
            "keys": self.keys,
            "rate": RATE,
            "restore_s": round(self.restore_s, 3),
            "gap_max_ms": round(self.gap_max_ms, 1),
            "snapshots": self.snapshots,
            "state_mb": round(self.state_mb, 1),
            "lost": self.lost,
            "duplicated": self.duplicated,
            "wrong": self.wrong,
            "exact": self.exact,
            "load": self.load,
        }


class Gaps:
    """The longest time between two commits of a lane of the keyed vertex, and the snapshots that were finished."""

    def __init__(self) -> None:
        self._last_s: dict[str, float] = {}
        self._from: dict[str, int] = {}
        self.max_s = 0.0
        self.snapshots: dict[str, int] = {}

    def take(self, commit: Commit) -> None:
        if not commit.lane.startswith(f"{KEYED}/"):
            return
        if commit.lane in self._last_s:
            self.max_s = max(self.max_s, commit.at_s - self._last_s[commit.lane])
        self._last_s[commit.lane] = commit.at_s
        if self._from.setdefault(commit.lane, commit.snapshot_from) != commit.snapshot_from:
            self._from[commit.lane] = commit.snapshot_from
            self.snapshots[commit.lane] = self.snapshots.get(commit.lane, 0) + 1

    @property
    def enough(self) -> bool:
        """Each lane has finished one."""
        return len(self.snapshots) == PARALLELISM


def run_restore(keys: int, say: Callable[[str], None]) -> Restore:
    """Run it on a cluster of its own. Raises HeadraceError when it cannot be run to the end."""
    with trial_cluster("restore", slots=PARALLELISM, say=say) as cluster, running_sums(cluster, keys, say) as run:
        load = load_average()
        with MemorySampler(cluster.workers) as memory:
            say(f"{keys:,} keys at {FILL_RATE:,} records/s")
            for _ in run.load(FILL_RATE, keys / FILL_RATE + 1):
                pass
            for _ in run.drain():
                pass
            gaps = _snapshots(run, say)
        restore_s = _restart(run, cluster, say)
        say("checking every sum")
        for _ in run.drain():
            pass
        lost, duplicated, wrong = run.account()
        result = Restore(
            keys,
            restore_s,
            gaps.max_s * 1000,
            sum(gaps.snapshots.values()),
            memory.growth_mb(),
            lost,
            duplicated,
            wrong,
            load,
        )
        if not result.exact:
            cluster.keep()
            say(f"kept for a look: {cluster.directory}")
        return result


def _snapshots(run: RunningSums, say: Callable[[str], None]) -> Gaps:
    gaps = Gaps()
    deadline_s = clock.monotonic_s() + SNAPSHOT_S
    while not gaps.enough:
        say(f"{RATE:,} records/s until a snapshot is written")
        for commits in run.load(RATE, 10.0):
            for commit in commits:
                gaps.take(commit)
        if clock.monotonic_s() > deadline_s:
            raise StillWaitingError("trial-too-slow", f"no snapshot of each lane within {SNAPSHOT_S:.0f} s")
    return gaps


def _restart(run: RunningSums, cluster: TrialCluster, say: Callable[[str], None]) -> float:
    """Kill all workers of the job under load; seconds until each of their lanes has committed again."""
    kills: list[Kill] = []
    began_s = clock.monotonic_s()
    for commits in run.load(RATE, BACK_S):
        if not kills and clock.monotonic_s() - began_s > 2.0:
            pids = {commit.pid for commit in run.commits.latest.values()}
            kills = [
                Kill(pid, frozenset(run.commits.lanes_of(pid)), clock.monotonic_s(), 0)
                for pid in pids
                if kill_worker(pid)
            ]
        for commit in commits:
            kills = [kill.after(commit) for kill in kills]
    if not kills or not all(kill.over for kill in kills):
        raise StillWaitingError("trial-too-slow", f"the lanes were not back within {BACK_S:.0f} s")
    restore_s = max(kill.last_lane_s or 0.0 for kill in kills)
    say(f"all lanes commit again after {restore_s:.2f} s")
    return restore_s
