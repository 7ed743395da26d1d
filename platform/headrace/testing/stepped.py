"""A cluster of one thread: jobs run on the memory log, one lane step at a time, in virtual time.

    cluster = SteppedCluster(seed=7, commit_faults=0.1)
    cluster.topic("out", 1)
    with executor_installed(cluster):
        env.execute()                              # starts the lanes, and returns
    cluster.jobs[-1].run(kill_share=0.02)          # until every lane has finished
    cluster.values("out")

Lanes are those of slot workers. A kill forgets a lane between two of its steps and starts it anew, as if its process
had died; commits fail in every way the memory log knows. The same seed gives the same run.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Any

import msgspec

from headrace.common.job_execution_result import JobExecutionResult
from headrace.common.job_status import JobStatus
from headrace.graph.job_graph import JobGraph
from headrace.jobmaster.job_topics import job_topics
from headrace.log.lane import LaneProducer
from headrace.log.lane_memory import MemoryLaneConnection
from headrace.log.memory.broker import MemoryBroker
from headrace.log.memory.faults import CommitFault, Faults
from headrace.log.memory.time import VirtualTime
from headrace.protocol.submission import Submit
from headrace.protocol.topics import Topics
from headrace.protocol.worker_pipe import LaneTask
from headrace.runtime.commit import Commit, run_transaction
from headrace.runtime.functions import CodeBundle
from headrace.runtime.kafka_input import KafkaInput
from headrace.runtime.lane import Lane
from headrace.runtime.lane_contract import Phase
from headrace.runtime.lane_parts import TaskParts

NAMESPACE = "stepped"
TURNS_MAX = 100_000
#: Time that passes with each turn, at most.
TURN_MS_MAX = 5
#: How often a turn is also a step of a stalled lane, when there are any.
ZOMBIE_SHARE = 0.2
ALIVE = (Phase.STARTING, Phase.RUNNING)


class _SeededFaults(Faults):
    def __init__(self, rng: random.Random, share: float) -> None:
        super().__init__()
        self._rng, self._share = rng, share

    def commit(self, transactional_id: str) -> CommitFault:
        if self._rng.random() >= self._share:
            return super().commit(transactional_id)
        return self._rng.choice([fault for fault in CommitFault if fault is not CommitFault.NONE])

    def abort_lost(self, transactional_id: str) -> bool:
        return super().abort_lost(transactional_id) or self._rng.random() < self._share


class _InlineCommits:
    """A commit is done when it was asked for."""

    call_began_s: float | None = None

    def submit(self, producer: LaneProducer, commit: Commit) -> None:
        commit.outcome = run_transaction(producer, commit, lambda _s: None)
        commit.done.set()

    def close(self) -> None: ...


class _SteppedLane(Lane):
    """Where a lane would sleep, virtual time goes on instead."""

    virtual_time: VirtualTime

    def _wake_wait(self, seconds: float) -> None:
        self.virtual_time.advance(max(1, round(seconds * 1000)))


class SteppedCluster:
    """Takes jobs as an executor does; ``jobs`` are run by the test."""

    def __init__(self, seed: int = 0, *, commit_faults: float = 0.0) -> None:
        """``commit_faults``: the share of commits that fail."""
        self.rng = random.Random(seed)
        self.time = VirtualTime()
        self.broker = MemoryBroker(self.time, _SeededFaults(self.rng, commit_faults))
        self.connection = MemoryLaneConnection(self.broker)
        self.printed: list[str] = []
        self.jobs: list[SteppedJob] = []

    def topic(self, name: str, partitions: int = 1, values: Iterable[Any] = ()) -> None:
        """A topic, with these values as JSON dealt to its partitions in turn."""
        self.broker.create_topics({name: partitions})
        for number, value in enumerate(values):
            self.broker.append(name, msgspec.json.encode(value), partition=number % partitions)

    def values(self, topic: str) -> list[Any]:
        """Values of the committed records, out of JSON."""
        return [msgspec.json.decode(r.value() or b"null") for r in self.broker.read_all(topic, committed=True)]

    def line(self, stream: str, text: str) -> None:
        """Output of print sinks."""
        self.printed.append(text)

    def now_s(self) -> float:
        """Virtual time in seconds."""
        return self.time.now_ms() / 1000

    def submit(self, submit: Submit, code: bytes, *, wait: bool, dependencies: bytes = b"") -> SteppedJob:
        """Start the job's lanes; nothing else happens before ``run``."""
        job = SteppedJob(self, submit, code)
        self.jobs.append(job)
        return job


class _Owner:
    """An attempt of a lane, as its worker would stand for it: LaneHost."""

    def __init__(self, job: SteppedJob, name: str) -> None:
        self._job, self._name = job, name
        self.lane: Lane | None = None

    def running(self) -> None: ...

    def fenced(self) -> None:
        assert self.lane is not None
        if self._job.lanes.get(self._name) is self.lane:
            self.lane.resume()
        else:
            self.lane.stop()


class SteppedJob:
    """A job and its lanes; JobClient.

    ``zombies``: a killed lane is not forgotten but stalled; it takes a step now and then until it is fenced.
    """

    def __init__(self, cluster: SteppedCluster, submit: Submit, code: bytes) -> None:
        self.lanes: dict[str, Lane] = {}
        self.kills = 0
        self.zombies = False
        self._stalled: list[Lane] = []
        self._cluster = cluster
        self._submit = submit
        self._bundle = CodeBundle("")
        if code:
            self._bundle.add(msgspec.msgpack.decode(code, type=dict[str, bytes]))
        self._attempts: Counter[str] = Counter()
        self._result: Future[JobExecutionResult] = Future()
        cluster.broker.create_topics(job_topics(Topics(NAMESPACE), submit.graph, submit.job_id, 1))
        for name in submit.graph.lane_slots():
            self.kill(name)

    # ---- JobClient

    def get_job_id(self) -> str:
        return self._submit.job_id

    def get_job_status(self) -> Future[JobStatus]:
        status: Future[JobStatus] = Future()
        status.set_result(JobStatus.FINISHED if self.finished() else JobStatus.RUNNING)
        return status

    def get_job_execution_result(self) -> Future[JobExecutionResult]:
        return self._result

    def cancel(self) -> Future[None]:
        """Stop every lane after its commit."""
        for lane in self.lanes.values():
            lane.stop()
            if lane.phase in ALIVE:
                lane.step()
        asked: Future[None] = Future()
        asked.set_result(None)
        return asked

    # ---- running

    def run(self, until: Callable[[], object] | None = None, *, kill_share: float = 0.0) -> int:
        """Turns until the condition holds (None: all lanes have finished), and how many; after half no more kills.

        In a turn one lane takes one step or, with probability ``kill_share``, is killed. Raises AssertionError
        after TURNS_MAX turns, and what a lane failed with.
        """
        done = until or self.finished
        for turn in range(TURNS_MAX):
            if done():
                if self.finished() and not self._result.done():
                    self._result.set_result(JobExecutionResult(self._submit.job_id, "FINISHED", 0))
                return turn
            self.turn(kill_share if turn < TURNS_MAX // 2 else 0.0)
        raise AssertionError(f"not done: { {name: (lane.phase, lane.reason) for name, lane in self.lanes.items()} }")

    def turn(self, kill_share: float = 0.0) -> None:
        """One thing happens."""
        rng = self._cluster.rng
        self._cluster.time.advance(rng.randrange(TURN_MS_MAX))
        name = rng.choice(list(self.lanes))
        if rng.random() < kill_share:
            if self.zombies:
                self._stalled.append(self.lanes[name])
            self.kill(name)
            self.kills += 1
        if self._stalled and rng.random() < ZOMBIE_SHARE:
            self._step_zombie(rng.choice(self._stalled))
        lane = self.lanes[name]
        if lane.phase in ALIVE:
            lane.step()
        if lane.phase is Phase.RUNNING and isinstance(lane.parts.inputs, KafkaInput):
            lane.parts.inputs.discover(self._cluster.connection)

    def _step_zombie(self, zombie: Lane) -> None:
        try:
            if zombie.phase in ALIVE:
                zombie.step()
        except OSError:
            self._stalled.remove(zombie)  # what it had on the disk is its successor's: it fails, and nobody minds

    def kill(self, name: str) -> None:
        """Forget the lane as its process's death would, and start it anew."""
        self._attempts[name] += 1
        task = LaneTask(
            job=self._submit.job_id,
            name=self._submit.name,
            incarnation=1,
            lane=name,
            attempt=f"{self._attempts[name]}.0",
            graph=self._submit.graph.model_dump_json().encode(),
            code="",
            delivery=self._submit.delivery,
            config=self._submit.config,
            source_partitions=self._source_partitions(self._submit.graph),
        )
        cluster = self._cluster
        parts = TaskParts(task, NAMESPACE, cluster, self._bundle, cluster.time.now_ms, cluster.now_s)
        owner = _Owner(self, name)
        self.lanes[name] = owner.lane = lane = _SteppedLane(
            parts,
            cluster.connection,
            parts.transactional_id,
            owner,
            clock=cluster.now_s,
            helper=_InlineCommits(),
            back_off_s=lambda: 0.0,
        )
        lane.virtual_time = cluster.time
        lane.start()

    def finished(self) -> bool:
        return all(lane.phase is Phase.FINISHED for lane in self.lanes.values())

    def _source_partitions(self, graph: JobGraph) -> dict[str, dict[str, int]]:
        counts = self._cluster.broker.topics()
        return {
            operator.uid: {str(topic): counts[str(topic)] for topic in topics}
            for vertex in graph.vertices
            for operator in vertex.operators[:1]
            if isinstance(topics := operator.params.get("topics"), list)
        }
