"""Names of Kafka topics, transactional ids and groups. Every name the platform uses is built here.

The partition of a job in every keyed control topic is murmur2(job id), as Kafka's own default partitioner
computes it, so that anything keyed with the job id by any Kafka client lands where the Dispatcher looks.
"""

from __future__ import annotations

from dataclasses import dataclass

#: Control topics with equal partition counts; the rest have one partition.
PARTITIONED = ("jobs", "job-log", "plans", "task-events", "job-events", "logs")
SINGLE = ("artifacts", "dead-letters")


@dataclass(frozen=True)
class Topics:
    """The control topics of one namespace."""

    namespace: str = "headrace"

    def name(self, short: str) -> str:
        return f"{self.namespace}.{short}"

    @property
    def jobs(self) -> str:
        return self.name("jobs")

    @property
    def job_log(self) -> str:
        return self.name("job-log")

    @property
    def plans(self) -> str:
        return self.name("plans")

    @property
    def task_events(self) -> str:
        return self.name("task-events")

    @property
    def job_events(self) -> str:
        return self.name("job-events")

    @property
    def logs(self) -> str:
        return self.name("logs")

    @property
    def artifacts(self) -> str:
        return self.name("artifacts")

    @property
    def dead_letters(self) -> str:
        return self.name("dead-letters")

    def exchange(self, job: str, incarnation: int, edge: str) -> str:
        """Exchange of one edge: partition i belongs to lane i of the target vertex."""
        return f"{self.namespace}.x.{job}.{incarnation}.{edge}"

    def lane_log(self, job: str, incarnation: int, vertex: str) -> str:
        """Lane logs of one vertex: partition i is written by lane i alone."""
        return f"{self.namespace}.s.{job}.{incarnation}.{vertex}"

    def results(self, job: str, incarnation: int) -> str:
        """What a job collects for the client that submitted it; one partition."""
        return f"{self.namespace}.r.{job}.{incarnation}"

    def hint_group(self, job: str, incarnation: int) -> str:
        """Consumer group that carries position hints for backpressure and lag tools; never truth."""
        return f"{self.namespace}.{job}.{incarnation}"


def transactional_id(job: str, incarnation: int, vertex: str, lane: int) -> str:
    """The id that makes one process the only writer of a lane."""
    return f"{job}/{incarnation}/{vertex}/{lane}"


def lane_name(vertex: str, lane: int) -> str:
    """``v1/0``: lane 0 of vertex v1, unique within a job."""
    return f"{vertex}/{lane}"


def split_lane(name: str) -> tuple[str, int]:
    vertex, _, lane = name.partition("/")
    return vertex, int(lane)


def murmur2(data: bytes) -> int:
    """Kafka's murmur2 (Austin Appleby's MurmurHash2, seed 0x9747b28c), as an unsigned 32-bit number."""
    mask, m = 0xFFFFFFFF, 0x5BD1E995
    length = len(data)
    h = (0x9747B28C ^ length) & mask
    body = length & ~3
    for i in range(0, body, 4):
        k = int.from_bytes(data[i : i + 4], "little") * m & mask
        k = (k ^ (k >> 24)) * m & mask
        h = (h * m & mask) ^ k
    rest = data[body:]
    if rest:
        h = (h ^ int.from_bytes(rest, "little")) * m & mask
    h = (h ^ (h >> 13)) * m & mask
    return h ^ (h >> 15)


def partition_of(key: bytes, partitions: int) -> int:
    """The partition that Kafka's default partitioner (murmur2_random) gives a non-empty key."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions


def home_partition(job: str, partitions: int) -> int:
    """The home of a job: its partition in every partitioned control topic."""
    return partition_of(job.encode(), partitions)
