"""A keyed window job under load on the platform, and its exact account at the end.

with running_job(site, rate_per_s=2000) as job:
    ... hurt things; job.until(...) ...
    job.require_exact()
"""

from __future__ import annotations

import contextlib
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec
from tests.accounting import Account, Filler, Record, Records, await_rows, compare, input_records, read_committed
from tests.e2e.platform_commits import CommitHistory
from tests.e2e.platform_site import Site

from headrace.errors import HeadraceError
from headrace.ids import new_request_id
from headrace.protocol.states import JobStatus
from streamctl.client import JobsClient, Lifecycle
from streamctl.kafka import Connection
from streamctl.trial.filling import create_topics
from streamctl.trial.job import TrialJob

SCRIPT = Path(__file__).parent / "jobs" / "windows.py"
INPUT_PARTITIONS, OUTPUT_PARTITIONS = 4, 2
SIZE_MS = 500
PER_MS = 2
KEYS = 40
#: More than any test produces: the filler is told when it is enough.
RECORDS_MAX = 10_000_000
#: Event time of the closing records: after every window.
CLOSING_MS = Records().base_ms + RECORDS_MAX
RUNNING_S = 60.0
ENDED_S = 40.0
ROWS_S = 60.0
POLL_S = 0.02
EVENTS_EVERY_S = 0.5


class PlatformJob:
    """One job with its input; made by ``running_job``."""

    def __init__(self, site: Site, trial: TrialJob, filler: Filler, source: str, sink: str) -> None:
        self.site = site
        self.filler = filler
        self.source, self.sink = source, sink
        self.id = trial.submitted.job_id
        self.commits = CommitHistory(site.bootstrap, site.namespace, trial.submitted)
        self.lanes = set(trial.submitted.graph.lane_slots())
        self._trial = trial
        self._looked_s = 0.0

    @property
    def lifecycle(self) -> Lifecycle:
        return self._trial.job.lifecycle

    def until(self, there: Callable[[], object], what: str, deadline_s: float = 30.0) -> None:
        """Wait for a condition while the job goes on; fails when it ends, or with the whole story at the deadline."""
        deadline = time.monotonic() + deadline_s
        while not there():
            self.look()
            status = self.lifecycle.status
            if status is not None and status.ended and status is not JobStatus.CANCELED:
                raise AssertionError(f"the job is {status}: {self.lifecycle.reason}\n{self.story()}")
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {deadline_s:g} s: {what}\n{self.story()}")
            time.sleep(POLL_S)

    def look(self) -> None:
        """Take the job's events, not too often: asking a broker that is away takes its time."""
        if time.monotonic() - self._looked_s > EVENTS_EVERY_S:
            self._trial.take_events(0)
            self._looked_s = time.monotonic()

    def await_commits(self, count: int, what: str, deadline_s: float = 30.0) -> None:
        """Wait until the job has committed ``count`` times more."""
        enough = self.commits.count() + count
        self.until(lambda: self.commits.count() >= enough, f"{count} more commits {what}", deadline_s)

    def await_new_owner(self, lanes: set[str], old: set[int], since_s: float, deadline_s: float) -> dict[str, float]:
        """Wait until other processes have committed for every one of the lanes; seconds that each of them took."""
        self.until(
            lambda: self.commits.first_s(lanes, after_s=since_s, not_by=old).keys() == lanes,
            f"lanes {sorted(lanes)} commit in other processes than {sorted(old)}",
            deadline_s,
        )
        return {
            lane: at_s - since_s for lane, at_s in self.commits.first_s(lanes, after_s=since_s, not_by=old).items()
        }

    def require_exact(self) -> Account:
        """End the input, wait for every window, cancel the job, then compare every key and window."""
        self.filler.enough()
        self.until(lambda: not self.filler.running, "the input is written", 60)
        expected = totals(input_records(self.site.bootstrap, self.source), SIZE_MS)
        rows = await_rows(self.site.bootstrap, self.sink, lambda rows: len(rows) >= len(expected), timeout_s=ROWS_S)
        assert len(rows) >= len(expected), f"{len(rows)} of {len(expected)} rows after {ROWS_S:g} s\n{self.story()}"
        self.cancel()
        self.until(lambda: self.lifecycle.status is JobStatus.CANCELED, "the job is CANCELED", ENDED_S)
        account = compare(expected, sink_rows(read_committed(self.site.bootstrap, self.sink)))
        assert account.exact, f"{account.story()}\n{self.story()}"
        assert self.commits.broken_rules() == []
        return account

    def require_nothing_lost(self) -> int:
        """At least once: every window has a row that counts all its records, if not some twice; how many it counts
        too many. Ends the job."""
        self.filler.enough()
        self.until(lambda: not self.filler.running, "the input is written", 60)
        expected = totals(input_records(self.site.bootstrap, self.source), SIZE_MS)
        seen: Totals = {}

        def complete() -> bool:
            for window, row in sink_rows(read_committed(self.site.bootstrap, self.sink)):
                seen[window] = max(row, seen.get(window, row))
            return all(window in seen and seen[window][0] >= row[0] for window, row in expected.items())

        self.until(complete, "every window has counted all its records", ROWS_S)
        self.cancel()
        self.until(lambda: self.lifecycle.status is JobStatus.CANCELED, "the job is CANCELED", ENDED_S)
        assert seen.keys() == expected.keys()
        assert self.commits.broken_rules() == []
        return sum(row[0] - expected[window][0] for window, row in seen.items())

    def cancel(self) -> None:
        """Ask for the job's end."""
        client = JobsClient(lambda: Connection(self.site.bootstrap, {}), self.site.namespace)
        _, events = client.cancel(self.id, new_request_id())
        events.close()

    def story(self) -> str:
        lifecycle = self.lifecycle
        return "\n".join(
            [
                f"--- job {self.id}: {lifecycle.status} {lifecycle.reason}; {self.filler.sent} records sent",
                self.commits.story(time.monotonic()),
                self.site.story(),
            ]
        )

    def close(self) -> None:
        """Leave nothing of it running, whatever happened; its slots are free a little later."""
        self.commits.close()
        status = self.lifecycle.status
        if status is None or not status.ended:
            with contextlib.suppress(HeadraceError):
                self.cancel()
        self._trial.close()


@contextlib.contextmanager
def running_job(
    site: Site,
    *,
    parallelism: int = 2,
    rate_per_s: float = 2000.0,
    seed: int = 7,
    delivery: Literal["exactly-once", "at-least-once"] = "exactly-once",
) -> Iterator[PlatformJob]:
    """Topics, input and the job, RUNNING and committing; all of it ended afterwards."""
    name = f"w{uuid.uuid4().hex[:8]}"
    source, sink = f"{name}-in", f"{name}-out"
    create_topics(site.bootstrap, {source: INPUT_PARTITIONS, sink: OUTPUT_PARTITIONS})
    records = Records(seed=seed, keys=KEYS, per_ms=PER_MS)
    filler = Filler(
        site.bootstrap,
        source,
        records,
        count=RECORDS_MAX,
        partitions=INPUT_PARTITIONS,
        rate_per_s=rate_per_s,
        closing_ms=CLOSING_MS,
    )
    trial = TrialJob(site.cluster.addresses, parallelism=parallelism, options={"execution.delivery": delivery})
    trial.run(SCRIPT, ["--input", source, "--output", sink, "--size-ms", str(SIZE_MS)])
    job = PlatformJob(site, trial, filler, source, sink)
    try:
        with filler:
            try:
                job.until(lambda: job.lifecycle.status is JobStatus.RUNNING, "the job is RUNNING", RUNNING_S)
                job.commits.begin()
                job.until(lambda: job.commits.latest().keys() == job.lanes, "every lane has committed")
                yield job
            finally:
                filler.enough()
    finally:
        job.close()


Totals = dict[tuple[str, int], tuple[int, int, int]]


def totals(records: list[Record], size_ms: int) -> Totals:
    """What the job must have written: (key, window start) to count, sum of values, sum of numbers."""
    found: dict[tuple[str, int], list[int]] = defaultdict(lambda: [0, 0, 0])
    for record in records:
        row = found[record.k, record.t // size_ms * size_ms]
        row[0] += 1
        row[1] += record.v
        row[2] += record.n
    return {key: (row[0], row[1], row[2]) for key, row in found.items()}


def sink_rows(messages: list[Any]) -> Iterator[tuple[tuple[str, int], tuple[int, int, int]]]:
    """Rows of the sink as ``totals`` has them."""
    for message in messages:
        row = msgspec.json.decode(message.value())
        yield (row["k"], row["start"]), (row["count"], row["values"], row["numbers"])
