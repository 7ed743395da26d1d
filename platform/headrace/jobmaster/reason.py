"""Why a job is where it is, in plain words; and its view in the registry.

Pure: no I/O.
"""

from __future__ import annotations

from datetime import UTC, datetime

from headrace.jobmaster.model import Custody, JobState, Lane
from headrace.protocol.control import Assignment, Failure, JobRecord, LaneStatus, SlotDeclaration
from headrace.protocol.states import JobStatus, LaneState


def unmet(state: JobState) -> int:
    """Slots that the job needs and does not hold."""
    if state.source_partitions is None:
        return 0
    needed = {lane.slot for lane in state.lanes.values() if not lane.finished}
    return len(needed - state.slots.keys())


def waiting_text(state: JobState) -> str:
    """ "waiting for 2 slots: 0 of 4 free", with the time since when for a job that had them."""
    count = unmet(state)
    text = f"waiting for {count} slot{'' if count == 1 else 's'}: "
    if state.offer is None:
        text += "no ResourceManager has answered yet"
    elif state.offer.total == 0:
        text += "no TaskManager is running"
    else:
        text += f"{state.offer.free} of {state.offer.total} free"
    if state.status is not JobStatus.CREATED and state.waiting is not None:
        since = datetime.fromtimestamp(state.waiting.since_ms / 1000, UTC)
        text += f" since {since:%H:%M:%S} UTC"
    return text


def waited_for(state: JobState) -> str | None:
    """What keeps the job from running whole: slots, lanes that fail and are started again, what its workers need
    before they start; None: nothing.
    """
    if unmet(state):
        return waiting_text(state)
    failing = {name: lane for name, lane in state.lanes.items() if lane.state is LaneState.FAILED}
    if not failing:
        return _start_text(state) if state.status is JobStatus.CREATED else None
    name, lane = next(iter(failing.items()))
    more = f", and {len(failing) - 1} more" if len(failing) > 1 else ""
    return f"lane {name} is {lane.state}: {lane.reason or 'no reason given'}{more}"


def _start_text(state: JobState) -> str | None:
    """ "waiting for 2 of 2 lanes to start: installing its requirements"; None when no lane says why it waits."""
    behind = [lane for lane in state.lanes.values() if not _runs(lane)]
    why = next((lane.reason for lane in behind if lane.reason), None)
    return None if why is None else f"waiting for {len(behind)} of {len(state.lanes)} lanes to start: {why}"


def failure_code(failure: Failure) -> str:
    return failure.code or ("user-code-failed" if failure.user else "lane-failed")


def failure_text(failure: Failure) -> str:
    return f"{failure.error} (lane {failure.lane})" if failure.lane else failure.error


def status_reason(state: JobState) -> str:
    """One line that says what the job waits for, or nothing when it simply runs."""
    if state.outcome is not None:
        return state.outcome.reason
    if state.status is JobStatus.CREATED and state.source_partitions is None:
        return "checking topics"
    if waits := waited_for(state):
        return waits
    behind = {name: lane for name, lane in state.lanes.items() if not _runs(lane)}
    if not behind:
        return ""
    if state.status is not JobStatus.RUNNING:
        verb = "report" if state.status is JobStatus.RECONCILING else "start"
        return f"waiting for {len(behind)} of {len(state.lanes)} lanes to {verb}"
    name, lane = next(iter(behind.items()))
    more = f", and {len(behind) - 1} more" if len(behind) > 1 else ""
    return f"lane {name} is {lane.state}" + (f": {lane.reason}" if lane.reason else "") + more


def record_of(state: JobState) -> JobRecord:
    """The registry's view."""
    job, outcome = state.job, state.outcome
    return JobRecord(
        job_id=job.job_id,
        name=job.name,
        status=state.status,
        reason=status_reason(state),
        dispatcher=job.dispatcher,
        epoch=state.epoch,
        incarnation=job.incarnation,
        slots_needed=job.graph.slots,
        submitted_ms=job.submitted_ms,
        started_ms=state.timestamps.get(JobStatus.RUNNING, 0),
        ended_ms=outcome.ended_ms if outcome else 0,
        timestamps=state.timestamps,
        failure=outcome.failure if outcome else None,
        lanes={name: _status(state, lane) for name, lane in state.lanes.items()},
        assignments={
            name: Assignment(taskmanager=lane.place.taskmanager, slot=lane.place.slot, attempt=lane.planned)
            for name, lane in state.lanes.items()
            if lane.place is not None
        },
    )


def declaration_of(state: JobState) -> SlotDeclaration | None:
    """What the job needs and holds; None while it is not to have slots."""
    if state.source_partitions is None or state.outcome is not None:
        return None
    return SlotDeclaration(
        job_id=state.job.job_id,
        epoch=state.epoch,
        needed=state.job.graph.slots,
        held={str(index): str(place) for index, place in state.slots.items()},
        since_ms=state.waiting.since_ms if state.waiting else state.timestamps[JobStatus.INITIALIZING],
    )


def _runs(lane: Lane) -> bool:
    return lane.state in (LaneState.RUNNING, LaneState.FINISHED)


def _status(state: JobState, lane: Lane) -> LaneStatus:
    reason = lane.reason
    if not reason and lane.custody is Custody.VACANT and not lane.finished and unmet(state):
        reason = waiting_text(state)
    return LaneStatus(attempt=f"{lane.planned}.{lane.local}", state=lane.state, reason=reason)
