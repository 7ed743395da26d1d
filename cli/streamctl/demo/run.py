"""The demo from start to verdict: cluster, input, job, SIGKILL of a worker, end, comparison of every row."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import msgspec
from pydantic import JsonValue

from headrace import clock
from headrace.embedded.cluster import Addresses
from headrace.errors import StillWaitingError
from streamctl.demo.data import Flight, load_airlines, load_flights
from streamctl.demo.expected import Comparison, Row, compare, expected_rows
from streamctl.demo.screen import Screen
from streamctl.trial.cluster import TrialCluster, example_file, kill_worker, load_average
from streamctl.trial.commits import Commit, CommitReader
from streamctl.trial.filling import create_topics, fill
from streamctl.trial.job import TrialJob
from streamctl.trial.kill import Kill
from streamctl.trial.sink import SinkWatch, read_committed
from streamctl.watch import describe, ended, require_success, runs

FLIGHTS, AIRLINES, DAYS = "flights", "airlines", "carrier-days"
#: Partitions of the topics.
PARTITIONS = {FLIGHTS: 4, AIRLINES: 1, DAYS: 2}
PARALLELISM = 2
#: From the submission to the end of the job.
JOB_S = 240.0
KILL_AT_SHARE = 0.5


@dataclass(frozen=True)
class Outcome:
    """What the demo found."""

    comparison: Comparison
    records: int
    records_per_s: float
    first_result_s: float
    kill: Kill | None
    seconds: float

    @property
    def exact(self) -> bool:
        return self.comparison.exact and self.kill is not None and self.kill.first_commit_s is not None

    def json(self) -> JsonValue:
        """The object of ``--json``; times in seconds."""
        kill = self.kill
        return {
            "exact": self.exact,
            "lost": self.comparison.lost,
            "duplicated": self.comparison.duplicated,
            "wrong": self.comparison.wrong,
            "records": self.records,
            "windows": self.comparison.found,
            "records_per_s": round(self.records_per_s),
            "first_result_s": round(self.first_result_s, 2),
            "recovery_s": _rounded(kill.first_commit_s if kill else None),
            "recovery_all_lanes_s": _rounded(kill.last_lane_s if kill else None),
            "killed_lanes": [*sorted(kill.lanes)] if kill else [],
            "killed_at_records": kill.committed_at_kill if kill else None,
            "seconds": round(self.seconds, 1),
            "load": load_average(),
        }


def run_flights(cluster: TrialCluster, screen: Screen) -> Outcome:
    """Start the cluster and run it. Raises HeadraceError when something needed does not work."""
    begin_s = clock.monotonic_s()
    script = example_file("flights.py")
    with ThreadPoolExecutor(2) as pool:
        loading = pool.submit(_load)
        starting = pool.submit(cluster.start)
        flights, airlines = _fill(cluster, starting, loading, screen)
        expecting = pool.submit(expected_rows, flights, airlines)
        addresses = starting.result()
        screen.done(f"Dispatcher and TaskManager run ({clock.monotonic_s() - begin_s:.1f} s)")
        run = _Run(cluster, addresses, len(flights), begin_s, screen)
        run.to_the_end(script)
        screen.step("comparing every row")
        outcome = run.outcome(compare(expecting.result(), _rows(addresses.bootstrap)))
        if not outcome.exact:
            cluster.keep()
            screen.done(f"kept for a look: {cluster.directory}")
    return outcome


def _load() -> tuple[list[Flight], dict[str, str]]:
    return load_flights(), load_airlines()


def _fill(
    cluster: TrialCluster,
    starting: Future[Addresses],
    loading: Future[tuple[list[Flight], dict[str, str]]],
    screen: Screen,
) -> tuple[list[Flight], dict[str, str]]:
    """Fill the topics as soon as Kafka answers; the rest of the cluster starts meanwhile."""
    bootstrap = cluster.await_kafka(starting)
    screen.done(f"Kafka runs at {bootstrap}")
    begin_s = clock.monotonic_s()
    flights, airlines = loading.result()
    create_topics(bootstrap, PARTITIONS)
    encode = msgspec.json.encode
    names = ((0, encode({"carrier": code, "name": name})) for code, name in airlines.items())
    fill(bootstrap, AIRLINES, names)
    values = ((n % PARTITIONS[FLIGHTS], encode(flight._asdict())) for n, flight in enumerate(flights))
    fill(bootstrap, FLIGHTS, values)
    screen.done(f"{len(flights):,} flights of 2013 are in Kafka ({clock.monotonic_s() - begin_s:.1f} s)")
    return flights, airlines


def _rows(bootstrap: str) -> Iterator[Row]:
    for _, value in read_committed(bootstrap, DAYS):
        yield msgspec.json.decode(value, type=Row)


class _Run:
    """The job while it runs, watched through its events, its lane logs and its sink."""

    def __init__(
        self, cluster: TrialCluster, addresses: Addresses, records: int, begin_s: float, screen: Screen
    ) -> None:
        self._cluster = cluster
        self._addresses = addresses
        self._records = records
        self._begin_s = begin_s
        self._screen = screen
        self._kill: Kill | None = None
        self._running_s = 0.0
        self._last_commit_s = 0.0
        self._first_result_s: float | None = None

    def to_the_end(self, script: Path) -> None:
        """Submit, and follow the job until it FINISHED."""
        self._screen.step("submitting examples/flights.py")
        trial = TrialJob(self._addresses, parallelism=PARALLELISM)
        sink = SinkWatch(self._addresses.bootstrap, DAYS)
        try:
            trial.run(script, ["--flights", FLIGHTS, "--airlines", AIRLINES, "--days", DAYS])
            deadline_s = clock.monotonic_s() + JOB_S
            self._until_running(trial, deadline_s)
            commits = CommitReader(self._addresses.bootstrap, self._addresses.namespace, trial.submitted)
            try:
                commits.begin()
                self._follow(trial, commits, sink, deadline_s)
            finally:
                commits.close()
        except BaseException:
            self._cluster.keep()
            raise
        finally:
            sink.close()
            trial.close()

    def _until_running(self, trial: TrialJob, deadline_s: float) -> None:
        lifecycle = trial.job.lifecycle
        while not runs(lifecycle):
            lifecycle = trial.take_events(0.2)
            self._screen.step(describe("flights", lifecycle))
            self._check(trial, deadline_s)
        self._running_s = clock.monotonic_s()
        self._screen.done(f"job {trial.submitted.job_id[:12]} is RUNNING in {PARALLELISM} slots")

    def _follow(self, trial: TrialJob, commits: CommitReader, sink: SinkWatch, deadline_s: float) -> None:
        while not ended(trial.take_events(0)):
            for commit in commits.take(0.02):
                self._last_commit_s = commit.at_s
                if self._kill is not None:
                    self._note_recovery(commit)
            committed = commits.committed(FLIGHTS)
            rows = sink.poll()
            if rows and self._first_result_s is None:
                self._first_result_s = clock.monotonic_s() - self._begin_s
            self._screen.progress(committed, self._records, rows)
            if self._kill is None and committed >= self._records * KILL_AT_SHARE:
                self._kill_one(commits, committed)
            self._check(trial, deadline_s)
        require_success(trial.submitted.job_id, "flights", trial.job.lifecycle)
        self._screen.done("the job FINISHED")

    def _kill_one(self, commits: CommitReader, committed: int) -> None:
        """SIGKILL the worker that has the most lanes still at work."""
        pids = {commit.pid for commit in commits.latest.values() if not commit.finished}
        for pid in sorted(pids, key=lambda each: len(commits.lanes_of(each)), reverse=True):
            lanes = commits.lanes_of(pid)
            if kill_worker(pid):
                self._kill = Kill(pid, frozenset(lanes), clock.monotonic_s(), committed)
                share = committed / self._records
                self._screen.done(
                    f"SIGKILL to slot worker {pid} at {share:.0%}; its lanes: {', '.join(sorted(lanes))}"
                )
                return

    def _note_recovery(self, commit: Commit) -> None:
        assert self._kill is not None
        before = self._kill
        self._kill = before.after(commit)
        if before.first_commit_s is None and self._kill.first_commit_s is not None:
            self._screen.done(f"lane {commit.lane} commits again after {self._kill.first_commit_s:.2f} s")

    def _check(self, trial: TrialJob, deadline_s: float) -> None:
        lifecycle = trial.job.lifecycle
        if ended(lifecycle):
            require_success(trial.submitted.job_id, "flights", lifecycle)
        elif clock.monotonic_s() > deadline_s:
            raise StillWaitingError(
                "trial-too-slow",
                f"the job has not ended after {JOB_S:.0f} s: {describe('flights', lifecycle)}",
                hint=f"the servers' output is in {self._cluster.directory}",
            )

    def outcome(self, comparison: Comparison) -> Outcome:
        now_s = clock.monotonic_s()
        return Outcome(
            comparison=comparison,
            records=self._records,
            records_per_s=self._records / max(self._last_commit_s - self._running_s, 0.001),
            first_result_s=self._first_result_s if self._first_result_s is not None else now_s - self._begin_s,
            kill=self._kill,
            seconds=now_s - self._begin_s,
        )


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
