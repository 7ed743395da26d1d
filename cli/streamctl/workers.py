"""Which process runs which lane: the plan's places, and what TaskManagers say of their workers. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from headrace.protocol.control import JobRecord, TaskManagerRecord
from streamctl.json_schemas import WorkerPlace


def places_of(record: JobRecord, taskmanagers: Iterable[TaskManagerRecord]) -> dict[str, WorkerPlace]:
    """Lane to its worker, of the lanes that have a place; pid and host are None where nothing says them."""
    alive = {each.id: each for each in taskmanagers}
    places = {}
    for lane, place in record.assignments.items():
        taskmanager, slot = alive.get(place.taskmanager), str(place.slot)
        mine = taskmanager is not None and taskmanager.occupied.get(slot) == record.job_id
        places[lane] = WorkerPlace(
            taskmanager=place.taskmanager,
            host=taskmanager.host if taskmanager is not None else None,
            slot=place.slot,
            pid=taskmanager.workers.get(slot) if taskmanager is not None and mine else None,
        )
    return places
