"""Runs submitted programs to their end in this process: the runtime's own lanes, one step each in turn, on the
memory log. An executor, so that programs call ``execute`` as anywhere."""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path
from typing import Any

import msgspec

from headrace.common import JobExecutionResult
from headrace.graph.job_graph import JobGraph, OperatorKind
from headrace.jobmaster import job_topics
from headrace.log.lane import LaneProducer
from headrace.log.lane_memory import MemoryLaneConnection
from headrace.log.memory.broker import MemoryBroker
from headrace.protocol.submission import Submit
from headrace.protocol.topics import Topics
from headrace.protocol.worker_pipe import LaneTask
from headrace.runtime.commit import Commit, run_transaction
from headrace.runtime.functions import CodeBundle
from headrace.runtime.lane import Lane
from headrace.runtime.lane_contract import Phase
from headrace.runtime.lane_parts import TaskParts
from headrace.runtime.output import OutputFile

NAMESPACE = "memory"
ROUNDS_MAX = 20_000


class Clock:
    """Time of broker and lanes: a millisecond for each time anybody asks, so that nothing waits."""

    def __init__(self) -> None:
        self._ms = 1_000_000

    def now_ms(self) -> int:
        self._ms += 1
        return self._ms

    def now_s(self) -> float:
        return self.now_ms() / 1000

    def wait(self, _condition: object, seconds: float) -> None:
        self._ms += max(1, round(seconds * 1000))


class InlineCommits:
    call_began_s: float | None = None

    def submit(self, producer: LaneProducer, commit: Commit) -> None:
        commit.outcome = run_transaction(producer, commit, lambda _s: None)
        commit.done.set()

    def close(self) -> None: ...


class Owner:
    def running(self) -> None: ...

    def fenced(self) -> None:
        raise AssertionError("nobody else runs these lanes")


class Job:
    """A finished job; JobClient."""

    def __init__(self, job_id: str) -> None:
        self._job_id = job_id

    def get_job_id(self) -> str:
        return self._job_id

    def get_job_execution_result(self) -> Future[JobExecutionResult]:
        done: Future[JobExecutionResult] = Future()
        done.set_result(JobExecutionResult(self._job_id, "FINISHED", 0))
        return done

    def cancel(self) -> Future[None]:
        raise AssertionError("the job has ended")


class MemoryWorld:
    """A broker with topics to fill, and an executor for programs over them."""

    def __init__(self, folder: Path) -> None:
        self._clock = Clock()
        self.broker = MemoryBroker(self._clock)
        self._connection = MemoryLaneConnection(self.broker)
        self._printed = folder / "printed"
        self._output = OutputFile(self._printed)

    def topic(self, name: str, values: list[Any] = (), partitions: int = 2) -> None:  # type: ignore[assignment]
        """A topic with these values as JSON, dealt to its partitions in turn."""
        self.broker.create_topics({name: partitions})
        for number, value in enumerate(values):
            self.broker.append(name, msgspec.json.encode(value), partition=number % partitions)

    def records(self, topic: str) -> list[Any]:
        """Committed records: (key, value) with the value out of JSON."""
        found = self.broker.read_all(topic, committed=True)
        return [(record.key(), msgspec.json.decode(record.value() or b"null")) for record in found]

    def printed(self) -> list[str]:
        return sorted(line.rsplit("\t", 1)[1] for line in self._printed.read_text().splitlines())

    def submit(self, submit: Submit, code: bytes, *, wait: bool, dependencies: bytes = b"") -> Job:
        """Run all lanes until every one has finished."""
        self.broker.create_topics(job_topics(Topics(NAMESPACE), submit.graph, submit.job_id, 1))
        bundle = CodeBundle("")
        if code:
            bundle.add(msgspec.msgpack.decode(code, type=dict[str, bytes]))
        lanes = [self._lane(submit, name, bundle) for name in submit.graph.lane_slots()]
        for _ in range(ROUNDS_MAX):
            running = [lane for lane in lanes if lane.phase in (Phase.STARTING, Phase.RUNNING)]
            if not running:
                break
            for lane in running:
                lane.step()
        assert {lane.phase for lane in lanes} == {Phase.FINISHED}, [(lane.phase, lane.reason) for lane in lanes]
        return Job(submit.job_id)

    def _lane(self, submit: Submit, name: str, bundle: CodeBundle) -> Lane:
        task = LaneTask(
            job=submit.job_id,
            name=submit.name,
            incarnation=1,
            lane=name,
            attempt="1.0",
            graph=submit.graph.model_dump_json().encode(),
            code="",
            delivery=submit.delivery,
            config=submit.config,
            source_partitions=self._source_partitions(submit.graph),
        )
        parts = TaskParts(task, NAMESPACE, self._output, bundle)
        lane = Lane(
            parts,
            self._connection,
            parts.transactional_id,
            Owner(),
            clock=self._clock.now_s,
            helper=InlineCommits(),
            back_off_s=lambda: 0.0,
        )
        lane.start()
        return lane

    def _source_partitions(self, graph: JobGraph) -> dict[str, dict[str, int]]:
        counts = self.broker.topics()
        return {
            operator.uid: {topic: counts[topic] for topic in operator.params["topics"]}  # type: ignore[union-attr, index, misc]
            for vertex in graph.vertices
            for operator in vertex.operators
            if operator.kind is OperatorKind.KAFKA_SOURCE
        }
