"""Slot workers killed one after the other under load: how long until their lanes commit again, and nothing lost."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from pydantic import JsonValue

from headrace import clock
from streamctl.bench.latency import PARALLELISM
from streamctl.bench.pace import USERS
from streamctl.bench.running_sums import RunningSums, running_sums
from streamctl.trial.cluster import kill_worker, load_average, trial_cluster
from streamctl.trial.kill import Kill

#: All lanes of the killed worker commit again, and so much later the next is killed.
PAUSE_S = 1.0
#: Room for each kill in the time that the load lasts.
KILL_S = 4.0
WARM_S = 5.0
SEED = 7


@dataclass(frozen=True)
class Recovery:
    """One run."""

    rate: int
    kills: list[Kill]
    lost: int
    duplicated: int
    wrong: int
    load: float

    @property
    def exact(self) -> bool:
        return not (self.lost or self.duplicated or self.wrong)

    @property
    def first_s(self) -> list[float]:
        return sorted(kill.first_commit_s for kill in self.kills if kill.first_commit_s is not None)

    @property
    def all_s(self) -> list[float]:
        return sorted(kill.last_lane_s for kill in self.kills if kill.last_lane_s is not None)

    def json(self) -> JsonValue:
        return {
            "bench": "recovery",
            "mode": "exactly-once",
            "rate": self.rate,
            "kills": len(self.kills),
            "recovery_p50_s": round(self.first_s[len(self.first_s) // 2], 3),
            "recovery_max_s": round(self.first_s[-1], 3),
            "recovery_all_lanes_p50_s": round(self.all_s[len(self.all_s) // 2], 3),
            "recovery_all_lanes_max_s": round(self.all_s[-1], 3),
            "lost": self.lost,
            "duplicated": self.duplicated,
            "wrong": self.wrong,
            "exact": self.exact,
            "load": self.load,
        }


def run_recovery(rate: int, kills: int, say: Callable[[str], None]) -> Recovery:
    """Kill ``kills`` workers. Raises HeadraceError when it cannot be run to the end."""
    with trial_cluster("recovery", slots=PARALLELISM, say=say) as cluster, running_sums(cluster, USERS, say) as run:
        load = load_average()
        done = _kill_all(run, rate, kills, say)
        for _ in run.drain():
            pass
        say("checking every sum")
        lost, duplicated, wrong = run.account()
        result = Recovery(rate, done, lost, duplicated, wrong, load)
        if not result.exact:
            cluster.keep()
            say(f"kept for a look: {cluster.directory}")
        return result


def _kill_all(run: RunningSums, rate: int, kills: int, say: Callable[[str], None]) -> list[Kill]:
    chance = random.Random(SEED)
    done: list[Kill] = []
    kill: Kill | None = None
    next_s = clock.monotonic_s() + WARM_S
    for commits in run.load(rate, WARM_S + kills * KILL_S):
        for commit in commits:
            kill = kill and kill.after(commit)
        if kill is not None and kill.over:
            say(f"kill {len(done) + 1}: first commit after {kill.first_commit_s:.2f} s, all {kill.last_lane_s:.2f} s")
            done.append(kill)
            kill, next_s = None, clock.monotonic_s() + PAUSE_S
        if kill is None and len(done) < kills and clock.monotonic_s() >= next_s:
            pid = chance.choice(sorted({commit.pid for commit in run.commits.latest.values()}))
            lanes = frozenset(run.commits.lanes_of(pid))
            if kill_worker(pid):
                kill = Kill(pid, lanes, clock.monotonic_s(), 0)
    return done
