"""The running sum under load, for measurements that break something while it runs.

Records come at an even rate from a process of their own; every fiftieth sum goes to a topic. In the end each must
have come once, with the amount that a plain sum gives.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from headrace import clock
from headrace.errors import StillWaitingError, UnavailableError
from streamctl.bench.drain import job_file
from streamctl.bench.latency import (
    EVERY,
    INPUT,
    OUTPUT,
    PARALLELISM,
    PARTITIONS,
    TotalsReader,
    expected_totals,
    until_running,
)
from streamctl.trial.cluster import TrialCluster
from streamctl.trial.commits import Commit, CommitReader
from streamctl.trial.filling import create_topics
from streamctl.trial.job import TrialJob
from streamctl.watch import ended, require_success

DRAIN_S = 60.0


class RunningSums:
    """The job while it runs. ``commits`` and ``totals`` are read by ``turn``."""

    def __init__(self, cluster: TrialCluster, trial: TrialJob, users: int) -> None:
        self._bootstrap = cluster.addresses.bootstrap
        self._trial = trial
        self._users = users
        self._sent = 0
        self.totals = TotalsReader(self._bootstrap, committed=True)
        self.commits = CommitReader(self._bootstrap, cluster.addresses.namespace, trial.submitted)
        self.commits.begin()

    def turn(self) -> list[Commit]:
        """Commits that became visible; what the sink got is taken too. Raises when the job has ended."""
        self.totals.take(0)
        found = self.commits.take(0.02)
        if ended(lifecycle := self._trial.take_events(0)):
            require_success(self._trial.submitted.job_id, "running sums", lifecycle)
        return found

    def load(self, rate: int, seconds: float) -> Iterator[list[Commit]]:
        """Send at ``rate`` for ``seconds``; a ``turn`` for each step until all is sent."""
        command = [sys.executable, "-m", "streamctl.bench.pace", self._bootstrap, INPUT, str(PARTITIONS), str(rate)]
        pace = subprocess.Popen(
            [*command, str(seconds), str(self._users), str(self._sent)], stdout=subprocess.PIPE, text=True
        )
        while pace.poll() is None:
            yield self.turn()
        answer, _ = pace.communicate()
        if pace.returncode:
            raise UnavailableError("trial-input", f"the producer ended with exit status {pace.returncode}")
        self._sent += int(answer)

    def drain(self) -> Iterator[list[Commit]]:
        """A ``turn`` for each step until everything that was sent is committed as read."""
        deadline_s = clock.monotonic_s() + DRAIN_S
        while self.commits.committed(INPUT) < self._sent:
            if clock.monotonic_s() > deadline_s:
                raise StillWaitingError("trial-too-slow", f"not all {self._sent:,} records read in {DRAIN_S:.0f} s")
            yield self.turn()

    def account(self) -> tuple[int, int, int]:
        """Sums that are missing, that came more than once, and that are wrong; waits for those still to come."""
        due = expected_totals(self._sent, self._users)
        deadline_s = clock.monotonic_s() + DRAIN_S
        while len(self.totals.totals) < len(range(0, self._sent, EVERY)) and clock.monotonic_s() < deadline_s:
            self.turn()
        found = self.totals.totals
        doubled = sum(len(amounts) > 1 for amounts in found.values())
        wrong = sum(amounts[0] != due.get(number) for number, amounts in found.items())
        return len(due.keys() - found.keys()), doubled, wrong

    def close(self) -> None:
        self.totals.close()
        self.commits.close()


@contextmanager
def running_sums(cluster: TrialCluster, users: int, say: Callable[[str], None]) -> Iterator[RunningSums]:
    """The job on a cluster that has not been started yet, RUNNING."""
    addresses = cluster.start()
    create_topics(addresses.bootstrap, {INPUT: PARTITIONS, OUTPUT: PARALLELISM})
    trial = TrialJob(addresses, parallelism=PARALLELISM)
    try:
        trial.run(job_file("running_sums.py"), ["--input", INPUT, "--output", OUTPUT])
        until_running(trial, say)
        run = RunningSums(cluster, trial, users)
        try:
            yield run
        finally:
            run.close()
    except BaseException:
        cluster.keep()
        raise
    finally:
        trial.close()
