"""Port of the control plane to Redis: what is now, by key.

Implementations: ``redis_store`` and ``memory``; one contract suite runs against both. Nothing kept here is
needed to be right later: whoever wrote a value can write it again, and everything about a job can be rebuilt
from the log. Every call answers within half a second (``acquire`` within 1.5 s) or raises StoreUnavailableError,
and is never repeated behind the caller's back.

Guards. A write that carries an epoch is refused (False) when the stored value carries a higher one; a value
that is not there, or carries the same epoch, is overwritten.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from headrace.protocol.control import (
    JobRecord,
    LaneMetrics,
    SlotDeclaration,
    SlotGrants,
    TaskManagerRecord,
)
from headrace.protocol.redis_keys import RedisKeys

#: A TaskManager's record lives this long without being written again.
TASKMANAGER_TTL_MS = 10_000
#: A lease lives this long without being renewed.
LEASE_TTL_MS = 3_000
#: Metrics of a job's lanes are dropped when none was written for this long.
LANE_METRICS_TTL_MS = 600_000


class StoreUnavailableError(Exception):
    """The store did not answer. The call may or may not have had its effect; repeating it is safe."""


class Wake(StrEnum):
    """What happened, told to those who wait."""

    DECLARED = "declared"  #: a JobMaster changed its slot declaration
    GRANTED = "granted"  #: the ResourceManager wrote grants
    SLOTS = "slots"  #: a TaskManager joined, left, or freed a slot


@dataclass(frozen=True)
class TaskManagers:
    """TaskManager records as read at one moment, and the identity of the store they were read from."""

    identity: str
    records: dict[str, TaskManagerRecord]


class Subscription(Protocol):
    """Wakes of the chosen kinds since the last ``wait``. Wakes may be lost: always wait with a time-out."""

    async def wait(self, timeout_s: float) -> bool:
        """True as soon as a wake came, at once if one came since the last wait; False after the time-out.

        Never raises StoreUnavailableError: without a store it waits for the time-out.
        """
        ...

    def close(self) -> None: ...


class Store(Protocol):
    """One connection pool; safe to use from any task of one event loop."""

    @property
    def keys(self) -> RedisKeys:
        """Names of this namespace, for leases."""
        ...

    async def identity(self) -> str:
        """A text that changes whenever stored values may have vanished (flush) or aged (restart).

        Compare it with the one from the last call; only equality means something. The call itself marks an
        empty store, so that a later flush is seen by everybody.
        """
        ...

    # ---- jobs

    async def put_graph(self, job_id: str, graph: bytes, *, submitted_ms: int) -> None:
        """Store the accepted submission (Submit JSON) and list the job. Same content for ever, so no guard."""
        ...

    async def graph(self, job_id: str) -> bytes | None: ...

    async def put_record(self, record: JobRecord) -> bool:
        """Guarded by ``record.epoch``; lists the job by ``record.submitted_ms`` when it is not listed."""
        ...

    async def record(self, job_id: str) -> JobRecord | None: ...

    async def records(self, *, limit: int = 1000) -> list[JobRecord]:
        """The newest jobs by submission time, newest first."""
        ...

    async def forget_job(self, job_id: str) -> None:
        """Remove every key of the job."""
        ...

    # ---- lanes

    async def put_lane_metrics(self, job_id: str, metrics: dict[str, LaneMetrics]) -> None:
        """Overwrite the metrics of these lanes; others of the job stay."""
        ...

    async def lane_metrics(self, job_id: str) -> dict[str, LaneMetrics]: ...

    # ---- TaskManagers

    async def put_taskmanager(self, record: TaskManagerRecord, *, replaces: str | None = None) -> bool:
        """Say that a TaskManager lives, for TASKMANAGER_TTL_MS.

        False, and nothing written, while another instance's record stands, except one named ``replaces``
        (an instance that the caller knows to be dead).
        """
        ...

    async def taskmanager(self, tm_id: str) -> TaskManagerRecord | None: ...

    async def taskmanagers(self, *, age_max_s: float = 0.0) -> TaskManagers:
        """All records. An answer that this process got at most ``age_max_s`` ago may be given again.

        Many JobMasters in one process watch the same TaskManagers: let them share a read.
        """
        ...

    async def remove_taskmanager(self, tm_id: str, instance: str) -> None:
        """A clean goodbye; nothing happens when the record is another instance's."""
        ...

    # ---- leases (names from ``keys``)

    async def acquire(self, lease: str, holder: str, *, ttl_ms: int = LEASE_TTL_MS) -> bool:
        """Take or renew: True when the lease was free or already this holder's, for ``ttl_ms`` from now.

        Count the holder's own deadline from before the call, not from its answer.
        """
        ...

    async def release(self, lease: str, holder: str) -> None:
        """Give up; nothing happens when it is another's."""
        ...

    async def holder(self, lease: str) -> str | None: ...

    # ---- slots

    async def declare(self, declaration: SlotDeclaration) -> bool:
        """Say what a job needs and holds in all. Guarded by its epoch; wakes DECLARED when it changed."""
        ...

    async def withdraw(self, job_id: str, epoch: int) -> bool:
        """Remove declaration and grants of an ended job. Guarded by the epoch; wakes SLOTS."""
        ...

    async def declarations(self) -> dict[str, SlotDeclaration]: ...

    async def grant(self, leader: str, grants: list[SlotGrants], gone: list[str]) -> bool:
        """Write grants and remove those of jobs in ``gone``, at once; wakes GRANTED.

        False, and nothing written, unless ``leader`` holds the lease ``keys.resource_manager`` now.
        """
        ...

    async def grants(self, job_id: str) -> SlotGrants | None: ...

    async def all_grants(self) -> dict[str, SlotGrants]: ...

    # ---- wake-ups

    async def wake(self, kind: Wake) -> None: ...

    def subscribe(self, *kinds: Wake) -> Subscription: ...

    async def close(self) -> None: ...
