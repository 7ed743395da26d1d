"""Latency over two hops: a record's send time to the moment a reader of the sink topic has it.

Source topic, filter, exchange, running total per user, sink topic; every fiftieth total is written and measured.
Exactly once, the reader sees committed records only. The first WARM_S seconds are left out of the times, and
of nothing else: every total that was due must have come with the right amount, exactly once or at least once.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass

import msgspec
from confluent_kafka import Consumer, TopicPartition
from pydantic import JsonValue

from headrace import clock
from headrace.embedded.cluster import Addresses
from headrace.errors import StillWaitingError, UnavailableError
from streamctl.bench.pace import USERS, amount
from streamctl.trial.cluster import TrialCluster, example_file, load_average, trial_cluster
from streamctl.trial.cpu import CpuSampler
from streamctl.trial.filling import create_topics
from streamctl.trial.job import TrialJob
from streamctl.watch import describe, ended, require_success, runs

INPUT, OUTPUT = "events", "totals"
PARTITIONS = 4
PARALLELISM = 2
WARM_S, DRAIN_S, START_S = 10.0, 5.0, 120.0
EVERY = 50


@dataclass(frozen=True)
class Latency:
    """One run; times in ms."""

    mode: str
    rate: int
    records: int
    samples: list[float]
    seconds: float
    task_cpu_s: float
    broker_cpu_s: float
    load: float
    exact: bool

    def percentile(self, share: float) -> float:
        ordered = sorted(self.samples)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else float("nan")

    def json(self) -> JsonValue:
        return {
            "bench": "latency",
            "mode": self.mode,
            "rate": self.rate,
            "records": self.records,
            "records_per_s": round(self.records / self.seconds),
            "records_per_s_per_core": round(self.records / self.task_cpu_s) if self.task_cpu_s else None,
            "task_cpu_s": round(self.task_cpu_s, 3),
            "broker_cpu_s": round(self.broker_cpu_s, 3),
            "samples": len(self.samples),
            "latency_p50_ms": round(self.percentile(0.5), 1),
            "latency_p90_ms": round(self.percentile(0.9), 1),
            "latency_p99_ms": round(self.percentile(0.99), 1),
            "exact": self.exact,
            "load": self.load,
        }


def run_latency(rate: int, seconds: float, mode: str, say: Callable[[str], None]) -> Latency:
    """Run it on a cluster of its own. Raises HeadraceError when it cannot be run to the end."""
    script = example_file("running_totals.py")
    with trial_cluster("latency", slots=PARALLELISM, say=say) as cluster:
        addresses = cluster.start()
        create_topics(addresses.bootstrap, {INPUT: PARTITIONS, OUTPUT: PARALLELISM})
        trial = TrialJob(addresses, parallelism=PARALLELISM, options={"execution.delivery": mode})
        try:
            trial.run(script, ["--input", INPUT, "--output", OUTPUT])
            until_running(trial, say)
            return _measure(cluster, addresses, rate, seconds, mode, say)
        finally:
            trial.close()


def until_running(trial: TrialJob, say: Callable[[str], None]) -> None:
    deadline_s = clock.monotonic_s() + START_S
    while not runs(lifecycle := trial.take_events(0.2)):
        say(describe("running totals", lifecycle))
        if ended(lifecycle):
            require_success(trial.submitted.job_id, "running totals", lifecycle)
        if clock.monotonic_s() > deadline_s:
            raise StillWaitingError("trial-too-slow", f"the job does not run after {START_S:.0f} s")


def _measure(
    cluster: TrialCluster, addresses: Addresses, rate: int, seconds: float, mode: str, say: Callable[[str], None]
) -> Latency:
    reader = TotalsReader(addresses.bootstrap, committed=mode == "exactly-once")
    load = load_average()
    say(f"{rate:,} records/s for {WARM_S + seconds:.0f} s")
    command = [sys.executable, "-m", "streamctl.bench.pace", addresses.bootstrap, INPUT, str(PARTITIONS), str(rate)]
    with CpuSampler(cluster.workers) as workers, CpuSampler(lambda: [cluster.broker()]) as broker:
        began_ms = clock.now_ms()
        pace = subprocess.Popen([*command, str(WARM_S + seconds)], stdout=subprocess.PIPE, text=True)
        while pace.poll() is None:
            reader.take()
        answer, _ = pace.communicate()
        if pace.returncode:
            raise UnavailableError("trial-input", f"the producer ended with exit status {pace.returncode}")
        sent = int(answer)
        ended_ms = clock.now_ms()
        deadline_s = clock.monotonic_s() + DRAIN_S
        while len(reader.totals) < len(range(0, sent, EVERY)) and clock.monotonic_s() < deadline_s:
            reader.take()
        task_cpu_s, broker_cpu_s = workers.seconds(began_ms, ended_ms), broker.seconds(began_ms, ended_ms)
    reader.close()
    due = expected_totals(sent)
    if missing := due.keys() - reader.totals.keys():
        raise UnavailableError("trial-sink", f"{len(missing)} of {len(due)} totals did not come in time")
    return Latency(
        mode=mode,
        rate=rate,
        records=sent,
        samples=[took for at, took in reader.samples if at >= began_ms + WARM_S * 1000],
        seconds=(ended_ms - began_ms) / 1000,
        task_cpu_s=task_cpu_s,
        broker_cpu_s=broker_cpu_s,
        load=load,
        exact=right(reader.totals, due, once=mode == "exactly-once"),
    )


def expected_totals(sent: int, users: int = USERS) -> dict[int, int]:
    """Of every record whose total is written: its id and its user's amounts so far."""
    sums = [0] * users
    due: dict[int, int] = {}
    for number in range(sent):
        sums[number % users] += amount(number)
        if number % EVERY == 0:
            due[number] = sums[number % users]
    return due


def right(found: dict[int, list[int]], due: dict[int, int], *, once: bool) -> bool:
    """Whether the amounts found by id are those due: each once, or each at least once and not too small."""
    if found.keys() != due.keys():
        return False
    if once:
        return all(amounts == [due[number]] for number, amounts in found.items())
    return all(max(amounts) >= due[number] for number, amounts in found.items())


class _Total(msgspec.Struct):
    id: int
    amount: int
    at: float


class TotalsReader:
    """Reads the sink topic as it grows; notes amounts by id, and (send time, latency) of every total."""

    def __init__(self, bootstrap: str, *, committed: bool) -> None:
        self.totals: dict[int, list[int]] = {}
        self.samples: list[tuple[float, float]] = []
        self._decode = msgspec.json.Decoder(_Total).decode
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": "latency",
                "log_level": 0,
                "enable.auto.commit": False,
                "isolation.level": "read_committed" if committed else "read_uncommitted",
                "fetch.wait.max.ms": 20,
            }
        )
        self._consumer.list_topics(OUTPUT, timeout=10)
        self._consumer.assign([TopicPartition(OUTPUT, p, 0) for p in range(PARALLELISM)])

    def take(self, timeout_s: float = 0.05) -> None:
        """What has come, waiting at most ``timeout_s`` for the first."""
        message = self._consumer.poll(timeout_s)
        while message is not None:
            if message.error() is None:
                now_ms = clock.now_ms()
                total = self._decode(message.value() or b"")
                self.totals.setdefault(total.id, []).append(total.amount)
                self.samples.append((total.at, now_ms - total.at))
            message = self._consumer.poll(0)

    def close(self) -> None:
        self._consumer.close()
