"""What TaskManagers report about lanes, and which of it counts.

Reports may be late, doubled, or from a TaskManager that no longer has the lane. One counts when its lane is
planned there under the same attempt, and it does not go back: not behind a newer local restart, not behind a
later state of the same restart, never behind FINISHED or a failure for good.

Pure: no I/O.
"""

from __future__ import annotations

from dataclasses import replace

from headrace.jobmaster.model import JobState, Lane
from headrace.protocol.attempt import Attempt
from headrace.protocol.control import LaneStateChanged, LaneStatus, TaskManagerReport
from headrace.protocol.states import LaneState

#: Order of states within one local restart; equal ranks are ends.
RANK = {
    LaneState.CREATED: 0,
    LaneState.RECONCILING: 0,
    LaneState.SCHEDULED: 1,
    LaneState.DEPLOYING: 2,
    LaneState.INITIALIZING: 3,
    LaneState.RUNNING: 4,
    LaneState.CANCELING: 5,
    LaneState.FAILED: 6,
    LaneState.CANCELED: 6,
    LaneState.FINISHED: 7,
}


def heard(state: JobState, event: LaneStateChanged | TaskManagerReport) -> dict[str, Lane]:
    """The lanes that this event changes, as they are after it."""
    if event.incarnation != state.job.incarnation:
        return {}
    if isinstance(event, LaneStateChanged):
        lane = state.lanes.get(event.lane)
        status = LaneStatus(attempt=event.attempt, state=event.state, reason=event.reason)
        if lane is None or not counts(lane, event.taskmanager, event.instance, status):
            return {}
        after = _after(lane, event.instance, status)
        return {event.lane: replace(after, failure=event.failure) if event.fatal else after}
    return {
        name: _after(state.lanes[name], event.instance, status)
        for name, status in event.lanes.items()
        if name in state.lanes and counts(state.lanes[name], event.taskmanager, event.instance, status)
    }


def counts(lane: Lane, taskmanager: str, instance: str, status: LaneStatus) -> bool:
    """Whether a report about ``lane`` says something new."""
    attempt = Attempt.parse(status.attempt)
    if lane.place is None or lane.place.taskmanager != taskmanager or lane.planned != attempt.planned:
        return False
    if lane.finished or lane.failure is not None:
        return False
    if lane.instance != instance:
        return True  # the first report, or the TaskManager was started again
    return (attempt.local, RANK[status.state]) >= (lane.local, RANK[lane.state])


def _after(lane: Lane, instance: str, status: LaneStatus) -> Lane:
    return replace(
        lane,
        instance=instance,
        local=Attempt.parse(status.attempt).local,
        state=status.state,
        reason=status.reason,
    )
