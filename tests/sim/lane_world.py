"""A world of lanes on the memory log, driven one step at a time by a seeded choice.

    in (2 partitions) ─► v0: filter ─► e0, hash ─► v1: 10 s tumbling sum ─► sink

No threads, no waiting: commits run inline, time moves when the driver says so. Faults are commits that abort,
lose their answer or their producer, markers that come late, owners that die or wake up as zombies.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cloudpickle

from headrace.graph.job_graph import Edge, JobGraph, Operator, OperatorKind, Ship, Vertex
from headrace.log.lane import LaneProducer
from headrace.log.lane_memory import MemoryLaneConnection
from headrace.log.memory.broker import MemoryBroker
from headrace.log.memory.faults import CommitFault, Faults
from headrace.protocol.topics import Topics
from headrace.protocol.worker_pipe import LaneTask
from headrace.runtime.commit import Commit, run_transaction
from headrace.runtime.functions import CodeBundle
from headrace.runtime.lane import Lane
from headrace.runtime.lane_contract import Phase
from headrace.runtime.lane_parts import TaskParts
from headrace.runtime.output import OutputFile

JOB = "0" * 32
LANES = 2
WINDOW_MS = 10_000


class InlineCommits:
    """Runs a commit in the lane's own step, at once or when the driver lets it."""

    def __init__(self) -> None:
        self.call_began_s: float | None = None

    def submit(self, producer: LaneProducer, commit: Commit) -> None:
        commit.outcome = run_transaction(producer, commit, lambda _s: None)
        commit.done.set()

    def close(self) -> None: ...


class RandomFaults(Faults):
    """Each commit fails with this probability, in any of the ways a commit can."""

    def __init__(self, rng: random.Random, share: float) -> None:
        super().__init__()
        self._rng, self.share = rng, share
        self.counts: Counter[str] = Counter()

    def commit(self, transactional_id: str) -> CommitFault:
        if self._rng.random() >= self.share:
            return CommitFault.NONE
        fault = self._rng.choice([f for f in CommitFault if f is not CommitFault.NONE])
        self.counts[fault.name] += 1
        return fault

    def abort_lost(self, transactional_id: str) -> bool:
        return self._rng.random() < self.share


class ManualTime:
    """Time of the memory broker: moves only when told; a wait moves it."""

    def __init__(self) -> None:
        self.ms = 1_000_000

    def now_ms(self) -> int:
        return self.ms

    def now_s(self) -> float:
        return self.ms / 1000

    def wait(self, _condition: object, seconds: float) -> None:
        self.ms += max(1, round(seconds * 1000))


@dataclass
class Owner:
    """One attempt of a lane somewhere in the world; answers for itself when fenced."""

    name: str
    lane: Lane
    planned: Callable[[Owner], bool]

    def running(self) -> None: ...

    def fenced(self) -> None:
        if self.planned(self):
            self.lane.resume()
        else:
            self.lane.stop()


def functions() -> dict[str, bytes]:
    return {
        "timestamp": cloudpickle.dumps(lambda value, _record_time: value["t"]),
        "keep": cloudpickle.dumps(lambda value: value["v"] < 90),
        "key": cloudpickle.dumps(lambda value: value["k"]),
        "add": cloudpickle.dumps(lambda a, b: {"k": a["k"], "v": a["v"] + b["v"], "n": a["n"] + b["n"]}),
        "one": cloudpickle.dumps(lambda value: {"k": value["k"], "v": value["v"], "n": 1}),
        "window": cloudpickle.dumps(
            lambda key, context, elements: [
                {"k": key, "w": context.window().start, "v": e["v"], "n": e["n"]} for e in elements
            ]
        ),
    }


def graph() -> JobGraph:
    source = Operator(
        uid="in",
        kind=OperatorKind.KAFKA_SOURCE,
        name="in",
        params={
            "topics": ["in"],
            "group_id": "",
            "starting": {"kind": "earliest"},
            "bounded": {"kind": "latest"},
            "format": {"kind": "json"},
            "properties": {},
            "watermark": {"kind": "bounded_out_of_orderness", "delay_ms": 1000, "idleness_ms": 0},
        },
        functions={"timestamp": "timestamp"},
    )
    keep = Operator(uid="keep", kind=OperatorKind.FILTER, name="keep", input=0, functions={"filter": "keep"})
    one = Operator(uid="one", kind=OperatorKind.MAP, name="one", input=1, functions={"map": "one"})
    window = Operator(
        uid="window",
        kind=OperatorKind.WINDOW,
        name="window",
        params={
            "assigner": {"kind": "tumbling_event_time", "size_ms": WINDOW_MS, "offset_ms": 0},
            "evaluation": ["reduce", "process"],
            "allowed_lateness_ms": 0,
        },
        functions={"reduce": "add", "process": "window"},
    )
    sink = Operator(
        uid="sink",
        kind=OperatorKind.KAFKA_SINK,
        name="sink",
        input=0,
        params={"topic": "sink", "partitioner": "murmur2_random", "value_format": "json", "properties": {}},
    )
    return JobGraph(
        vertices=(
            Vertex(id="v0", name="in", operators=(source, keep, one), parallelism=LANES, lanes=LANES),
            Vertex(id="v1", name="window", operators=(window, sink), parallelism=LANES, lanes=LANES),
        ),
        edges=(Edge(id="e0", source="v0", operator=2, target="v1", ship=Ship.HASH, key="key"),),
    )


class LaneWorld:
    """All lanes of the job, their owners past and present, and the truth."""

    def __init__(
        self, seed: int, records: int, fault_share: float, output: Path, delivery: str = "exactly-once"
    ) -> None:
        self.delivery = delivery
        self.rng = random.Random(seed)
        self.time = ManualTime()
        self.faults = RandomFaults(self.rng, fault_share)
        self.broker = MemoryBroker(self.time, self.faults)
        self.connection = MemoryLaneConnection(self.broker)
        topics = Topics("sim")
        self.broker.create_topics(
            {
                "in": 2,
                "sink": 2,
                topics.exchange(JOB, 1, "e0"): LANES,
                topics.lane_log(JOB, 1, "v0"): LANES,
                topics.lane_log(JOB, 1, "v1"): LANES,
            }
        )
        self.output = OutputFile(output)
        self.bundle = CodeBundle("")
        self.bundle.add(functions())
        self.graph_json = graph().model_dump_json().encode()
        self.truth: Counter[tuple[str, int]] = Counter()
        self.counts: Counter[tuple[str, int]] = Counter()
        self._fill(records)
        self.attempts: Counter[str] = Counter()
        self.owners: dict[str, Owner] = {}
        self.zombies: list[Owner] = []
        self.trims = 0
        for vertex in ("v0", "v1"):
            for lane in range(LANES):
                self.start(f"{vertex}/{lane}")

    def _fill(self, records: int) -> None:
        for n in range(records):
            key, value, time_ms = (
                f"{self.rng.randrange(9)}k",  # in both lanes
                self.rng.randrange(100),
                n * 137 - self.rng.randrange(900),
            )
            body = {"k": key, "v": value, "t": time_ms}
            self.broker.append("in", json.dumps(body).encode(), partition=n % 2)
            if value < 90:
                at = (key, time_ms // WINDOW_MS * WINDOW_MS)
                self.truth[at] += value
                self.counts[at] += 1

    def start(self, name: str) -> None:
        """A new owner of the lane takes over; the one before is simply forgotten (or kept as a zombie)."""
        self.attempts[name] += 1
        task = LaneTask(
            job=JOB,
            name="sim",
            incarnation=1,
            lane=name,
            attempt=f"{self.attempts[name]}.0",
            graph=self.graph_json,
            code="",
            delivery=self.delivery,
            config={"execution.commit-interval-ms": "5"},
            source_partitions={"in": {"in": 2}},
        )
        parts = TaskParts(task, "sim", self.output, self.bundle)
        parts.inputs.messages_max = self.rng.randrange(1, 20)  # many small commits
        owner: Owner = Owner.__new__(Owner)
        owner.name = name
        owner.planned = lambda me: self.owners.get(name) is me
        owner.lane = Lane(
            parts,
            self.connection,
            parts.transactional_id,
            owner,
            clock=self.time.now_s,
            helper=InlineCommits(),
            back_off_s=lambda: 0.0,
        )
        self.owners[name] = owner
        owner.lane.start()

    def turn(self, kill_share: float) -> None:
        """One thing happens: a lane steps, an owner dies, or a zombie wakes up."""
        self.time.ms += self.rng.randrange(5)
        name = self.rng.choice(list(self.owners))
        if self.rng.random() < kill_share:
            if self.rng.random() < 0.5:
                self.zombies.append(self.owners[name])
            self.start(name)
        if self.zombies and self.rng.random() < 0.2:
            zombie = self.rng.choice(self.zombies)
            if zombie.lane.phase in (Phase.STARTING, Phase.RUNNING):
                zombie.lane.step()
        lane = self.owners[name].lane
        if lane.phase in (Phase.STARTING, Phase.RUNNING):
            lane.step()
        if self.rng.random() < 0.1:
            self.trim()

    def trim(self) -> None:
        """What the owners have read for good leaves the exchange; a zombie may have wanted it still."""
        for name, owner in self.owners.items():
            vertex, _, lane = name.partition("/")
            split = (Topics("sim").exchange(JOB, 1, "e0"), int(lane))
            read = owner.lane.committed.positions.get(f"{split[0]}/{lane}", 0)
            if vertex == "v1" and read > self.broker.partition(split).start:
                self.broker.delete_before({split: read})
                self.trims += 1

    def finished(self) -> bool:
        return all(owner.lane.phase is Phase.FINISHED for owner in self.owners.values())

    def results(self) -> list[dict[str, Any]]:
        return [json.loads(record.value() or b"") for record in self.broker.read_all("sink", committed=True)]
