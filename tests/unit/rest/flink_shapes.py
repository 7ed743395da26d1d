"""Shapes of Flink's answers: for each path its keys and the JSON type of each value.

A class stands for a value of that type, a dict for an object with exactly these keys ("key?" may be absent), a list
for an array of that shape, ``Each`` for an object with free keys. ``differences`` names what does not fit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Shape = Any


@dataclass(frozen=True)
class Each:
    """An object whose keys are data, such as a user's options."""

    value: Shape


JOB_STATES = (
    "INITIALIZING CREATED RUNNING FAILING FAILED CANCELLING CANCELED FINISHED RESTARTING SUSPENDED RECONCILING"
).split()
TASK_STATES = (
    "CREATED SCHEDULED DEPLOYING INITIALIZING RUNNING FINISHED CANCELING CANCELED FAILED RECONCILING"
).split()
TASK_COUNTS = dict.fromkeys(TASK_STATES, int)
PERIOD = {"start-time": int, "end-time": int, "duration": int}

PLAN = {
    "jid": str,
    "name": str,
    "type": str,
    "nodes": [
        {
            "id": str,
            "operator": str,
            "parallelism": int,
            "operator_strategy": str,
            "description": str,
            "optimizer_properties": {},
            "inputs?": [{"id": str, "num": int, "exchange": str, "ship_strategy": str}],
        }
    ],
}
VERTEX = {
    "id": str,
    "slotSharingGroupId": str,
    "name": str,
    "maxParallelism": int,
    "parallelism": int,
    "status": str,
    **PERIOD,
    "tasks": TASK_COUNTS,
    "metrics": {
        "read-bytes": int,
        "read-bytes-complete": bool,
        "write-bytes": int,
        "write-bytes-complete": bool,
        "read-records": int,
        "read-records-complete": bool,
        "write-records": int,
        "write-records-complete": bool,
        "accumulated-backpressured-time": int,
        "accumulated-idle-time": int,
        "accumulated-busy-time": float,
    },
}
RESULT = {
    "id": str,
    "name": str,
    "application-status": str,
    "accumulator-results": {},
    "net-runtime": int,
    "application-id": str,
    "start-time": int,
    "end-time": int,
}
CAUSE = {"class": str, "stack-trace": str, "serialized-throwable": str}
COMPLETED = {"id": str}
RESOURCE = {
    "cpuCores": float,
    "taskHeapMemory": int,
    "taskOffHeapMemory": int,
    "managedMemory": int,
    "networkMemory": int,
    "extendedResources": {},
}
TASKMANAGER = {
    "id": str,
    "path": str,
    "dataPort": int,
    "jmxPort": int,
    "timeSinceLastHeartbeat": int,
    "slotsNumber": int,
    "freeSlots": int,
    "assignedTasks": int,
    "totalResource": RESOURCE,
    "freeResource": RESOURCE,
    "hardware": {"cpuCores": int, "physicalMemory": int, "freeMemory": int, "managedMemory": int},
    "memoryConfiguration": {
        "frameworkHeap": int,
        "taskHeap": int,
        "frameworkOffHeap": int,
        "taskOffHeap": int,
        "networkMemory": int,
        "managedMemory": int,
        "jvmMetaspace": int,
        "jvmOverhead": int,
        "totalFlinkMemory": int,
        "totalProcessMemory": int,
    },
}
MEMORY_METRICS = [
    *("heapUsed", "heapCommitted", "heapMax", "nonHeapUsed", "nonHeapCommitted", "nonHeapMax"),
    *("directCount", "directUsed", "directMax", "mappedCount", "mappedUsed", "mappedMax"),
    *("nettyShuffleMemorySegmentsAvailable", "nettyShuffleMemorySegmentsUsed", "nettyShuffleMemorySegmentsTotal"),
    *("nettyShuffleMemoryAvailable", "nettyShuffleMemoryUsed", "nettyShuffleMemoryTotal"),
]

SHAPES: dict[str, Shape] = {
    "overview": {
        "taskmanagers": int,
        "slots-total": int,
        "slots-available": int,
        "jobs-running": int,
        "jobs-finished": int,
        "jobs-cancelled": int,
        "jobs-failed": int,
        "flink-version": str,
        "flink-commit": str,
    },
    "config": {
        "refresh-interval": int,
        "timezone-name": str,
        "timezone-offset": int,
        "flink-version": str,
        "flink-revision": str,
        "features": {"web-submit": bool, "web-cancel": bool, "web-rescale": bool, "web-history": bool},
    },
    "jobs": {"jobs": [{"id": str, "status": str}]},
    "jobs-overview": {
        "jobs": [
            {
                "jid": str,
                "name": str,
                "jobType": str,
                "schedulerType": str,
                **PERIOD,
                "state": str,
                "last-modification": int,
                "tasks": {"total": int} | {state.lower(): int for state in TASK_STATES},
                "pending-operators": int,
            }
        ]
    },
    "job-detail": {
        "jid": str,
        "application-id": str,
        "name": str,
        "isStoppable": bool,
        "state": str,
        "job-type": str,
        "schedulerType": str,
        **PERIOD,
        "maxParallelism": int,
        "now": int,
        "timestamps": dict.fromkeys(JOB_STATES, int),
        "vertices": [VERTEX],
        "status-counts": TASK_COUNTS,
        "plan": PLAN,
        "pending-operators": int,
    },
    "job-plan": {"plan": PLAN},
    "job-status": {"status": str},
    "job-config": {
        "jid": str,
        "name": str,
        "execution-config": {
            "restart-strategy": str,
            "job-parallelism": int,
            "object-reuse-mode": bool,
            "user-config": Each(str),
        },
    },
    "job-exceptions": {
        "exceptionHistory": {
            "entries": [
                {
                    "exceptionName": str,
                    "stacktrace": str,
                    "timestamp": int,
                    "failureLabels": Each(str),
                    "taskName": str,
                    "endpoint": str,
                    "taskManagerId": str,
                    "concurrentExceptions": [],
                }
            ],
            "truncated": bool,
        }
    },
    "job-execution-result": {"status": {"id": str}},
    "job-execution-result-finished": {"status": COMPLETED, "job-execution-result": RESULT},
    "job-execution-result-canceled": {"status": COMPLETED, "job-execution-result": RESULT},
    "job-execution-result-failed": {
        "status": COMPLETED,
        "job-execution-result": {**RESULT, "failure-cause": CAUSE},
    },
    "taskmanagers": {"taskmanagers": [TASKMANAGER]},
    "taskmanager": {
        **TASKMANAGER,
        "allocatedSlots": [{"jobId": str, "resource": RESOURCE, "assignedTasks": int}],
        "metrics": dict.fromkeys(MEMORY_METRICS, int)
        | {"garbageCollectors": [{"name": str, "count": int, "time": int}]},
    },
    "error": {"errors": [str]},
}


def differences(shape: Shape, value: Any, where: str = "$") -> Iterator[str]:
    """What in ``value`` is not of ``shape``, each with its place; nothing when all is."""
    if isinstance(shape, type):
        if type(value) is not shape:
            yield f"{where}: {type(value).__name__} {value!r:.60}, not {shape.__name__}"
    elif isinstance(shape, list):
        if not isinstance(value, list):
            yield f"{where}: {type(value).__name__}, not an array"
        else:
            for number, each in enumerate(value):
                if shape:
                    yield from differences(shape[0], each, f"{where}[{number}]")
                else:
                    yield f"{where}[{number}]: Flink's array is empty"
    elif not isinstance(value, dict):
        yield f"{where}: {type(value).__name__}, not an object"
    elif isinstance(shape, Each):
        for key, each in value.items():
            yield from differences(shape.value, each, f"{where}.{key}")
    else:
        shapes = {key.removesuffix("?"): each for key, each in shape.items()}
        needed = {key for key in shape if not key.endswith("?")}
        for key in sorted(needed - value.keys()):
            yield f"{where}.{key}: missing"
        for key in sorted(value.keys() - shapes.keys()):
            yield f"{where}.{key}: not a key of Flink's"
        for key in sorted(value.keys() & shapes.keys()):
            yield from differences(shapes[key], value[key], f"{where}.{key}")
