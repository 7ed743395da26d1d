"""The control topics of a namespace: made by the first Dispatcher that starts, checked by every other."""

from __future__ import annotations

import asyncio

from headrace.errors import UsageError
from headrace.log.control import ControlLog
from headrace.protocol.topics import PARTITIONED, SINGLE, Topics

HOUR_MS, DAY_MS, MB = 3_600_000, 86_400_000, 1024 * 1024

DELETED_AFTER_7_D = {"cleanup.policy": "delete", "retention.ms": str(7 * DAY_MS)}
#: Not compacted for an hour: until then everybody reads the same first submission of a job.
COMPACTED = {
    "cleanup.policy": "compact",
    "min.compaction.lag.ms": str(HOUR_MS),
    "segment.bytes": str(16 * MB),
}
CONFIG: dict[str, dict[str, str]] = {
    "jobs": DELETED_AFTER_7_D,
    "job-log": COMPACTED,
    "plans": COMPACTED,
    "task-events": DELETED_AFTER_7_D,
    "job-events": DELETED_AFTER_7_D,
    "logs": {"cleanup.policy": "delete", "retention.ms": str(DAY_MS), "retention.bytes": str(64 * MB)},
    "artifacts": {"cleanup.policy": "compact", "segment.bytes": str(64 * MB)},
    "dead-letters": DELETED_AFTER_7_D,
}


async def ensure_control_topics(log: ControlLog, topics: Topics, partitions: int) -> int:
    """Create what is missing; the partition count, which is the existing topics' when there are any.

    Raises UsageError ("topic-partitions-differ"), LogUnavailableError.
    """
    names = [topics.name(short) for short in PARTITIONED]
    counts = await asyncio.gather(*map(log.partitions, names))
    existing = {name: count for name, count in zip(names, counts, strict=True) if count is not None}
    if len(set(existing.values())) > 1:
        found = ", ".join(f"{name} {count}" for name, count in sorted(existing.items()))
        raise UsageError(
            "topic-partitions-differ",
            f"control topics have different partition counts: {found}",
            hint="use another namespace, or delete those that nothing needs",
        )
    count = next(iter(existing.values()), partitions)
    wanted = dict.fromkeys(names, count) | {topics.name(short): 1 for short in SINGLE}
    await log.ensure_topics(wanted, {topics.name(short): config for short, config in CONFIG.items()})
    return count
