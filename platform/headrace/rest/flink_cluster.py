"""The cluster and its TaskManagers as the JobManager of Apache Flink shows them.

Resources that belong to a Java process (heap, managed memory, network buffers) do not exist here and are 0; a slot
counts as one CPU core, as it does in Flink when nothing is configured.

Pure: no I/O.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import headrace
from headrace.protocol.control import JobRecord, TaskManagerRecord
from headrace.protocol.states import JobStatus
from headrace.rest.flink_jobs import Json

REFRESH_MS = 3000
UNKNOWN_PORT = -1


def config() -> Json:
    """What the dashboard asks first. Jars cannot be submitted; jobs can be cancelled."""
    return {
        "refresh-interval": REFRESH_MS,
        "timezone-name": "Coordinated Universal Time",
        "timezone-offset": 0,
        "flink-version": headrace.__version__,
        "flink-revision": f"headrace {headrace.__version__}",
        "features": {"web-submit": False, "web-cancel": True, "web-rescale": False, "web-history": False},
    }


def overview(taskmanagers: Iterable[TaskManagerRecord], jobs: Iterable[JobRecord]) -> Json:
    """Every job that has not ended counts as running, as in Flink."""
    alive = list(taskmanagers)
    ended = Counter(job.status if job.status.ended else None for job in jobs)
    return {
        "taskmanagers": len(alive),
        "slots-total": sum(each.slots for each in alive),
        "slots-available": sum(_free(each) for each in alive),
        "jobs-running": ended[None],
        "jobs-finished": ended[JobStatus.FINISHED],
        "jobs-cancelled": ended[JobStatus.CANCELED],
        "jobs-failed": ended[JobStatus.FAILED],
        "flink-version": headrace.__version__,
        "flink-commit": "headrace",
    }


def taskmanagers(records: Iterable[TaskManagerRecord]) -> Json:
    return {"taskmanagers": [_taskmanager(record) for record in records]}


def taskmanager(record: TaskManagerRecord, jobs: Mapping[str, JobRecord]) -> Json:
    """``jobs`` are those that occupy its slots, as far as the registry knows them."""
    return {**_taskmanager(record), "allocatedSlots": _allocated(record, jobs), "metrics": _NO_JVM}


def _free(record: TaskManagerRecord) -> int:
    return max(0, record.slots - len(record.occupied))


def _taskmanager(record: TaskManagerRecord) -> Json:
    return {
        "id": record.id,
        "path": f"headrace://{record.host}/{record.id}",
        "dataPort": UNKNOWN_PORT,
        "jmxPort": UNKNOWN_PORT,
        "timeSinceLastHeartbeat": record.at_ms,  # Flink's name; its value is the heartbeat's moment
        "slotsNumber": record.slots,
        "freeSlots": _free(record),
        "assignedTasks": sum(len(lanes) for lanes in record.attempts.values()),
        "totalResource": _resource(record.slots),
        "freeResource": _resource(_free(record)),
        "hardware": {"cpuCores": record.slots, "physicalMemory": 0, "freeMemory": 0, "managedMemory": 0},
        "memoryConfiguration": {
            "frameworkHeap": 0,
            "taskHeap": 0,
            "frameworkOffHeap": 0,
            "taskOffHeap": 0,
            "networkMemory": 0,
            "managedMemory": 0,
            "jvmMetaspace": 0,
            "jvmOverhead": 0,
            "totalFlinkMemory": 0,
            "totalProcessMemory": 0,
        },
    }


def _allocated(record: TaskManagerRecord, jobs: Mapping[str, JobRecord]) -> list[Json]:
    found = []
    for slot, job_id in sorted(record.occupied.items(), key=lambda item: int(item[0])):
        job = jobs.get(job_id)
        places = job.assignments.values() if job else ()
        tasks = sum((place.taskmanager, place.slot) == (record.id, int(slot)) for place in places)
        found.append({"jobId": job_id, "resource": _resource(1), "assignedTasks": tasks})
    return found


def _resource(slots: int) -> Json:
    return {
        "cpuCores": float(slots),
        "taskHeapMemory": 0,
        "taskOffHeapMemory": 0,
        "managedMemory": 0,
        "networkMemory": 0,
        "extendedResources": {},
    }


_NO_JVM: Json = {
    "heapUsed": 0,
    "heapCommitted": 0,
    "heapMax": 0,
    "nonHeapUsed": 0,
    "nonHeapCommitted": 0,
    "nonHeapMax": 0,
    "directCount": 0,
    "directUsed": 0,
    "directMax": 0,
    "mappedCount": 0,
    "mappedUsed": 0,
    "mappedMax": 0,
    "nettyShuffleMemorySegmentsAvailable": 0,
    "nettyShuffleMemorySegmentsUsed": 0,
    "nettyShuffleMemorySegmentsTotal": 0,
    "nettyShuffleMemoryAvailable": 0,
    "nettyShuffleMemoryUsed": 0,
    "nettyShuffleMemoryTotal": 0,
    "garbageCollectors": [],
}
