"""What can go wrong in the memory log, decided here call by call."""

from __future__ import annotations

from collections import deque
from enum import Enum

from headrace.log.lane import Split


class CommitFault(Enum):
    NONE = "commit and answer"
    RETRY = "first answer RETRY, outcome decided by the repeated call"
    RETRY_DECIDED = "committed, but the first answer is RETRY"
    ABORTABLE = "a record was not delivered: ABORT"
    ANSWER_LOST = "committed, but the producer never learns it: REBUILD"
    PRODUCER_LOST = "REBUILD before anything was decided: the transaction stays open"


class Faults:
    """No faults but those queued. Simulations override the three questions.

    ``away``: the broker does not answer; calls end at their time-outs, readers read nothing.
    """

    def __init__(self) -> None:
        self.away = False
        self.next_commits: deque[CommitFault] = deque()
        self.next_aborts_lost = 0
        self.next_markers: deque[int | None] = deque()

    def commit(self, transactional_id: str) -> CommitFault:
        """What happens to this commit call; asked once per transaction."""
        return self.next_commits.popleft() if self.next_commits else CommitFault.NONE

    def abort_lost(self, transactional_id: str) -> bool:
        """True: the abort fails with REBUILD and the transaction stays open."""
        if self.next_aborts_lost:
            self.next_aborts_lost -= 1
            return True
        return False

    def marker_delay_ms(self, transactional_id: str, split: Split, committed: bool) -> int | None:
        """How late the marker of one partition is written; None: never, the transaction hangs there."""
        return self.next_markers.popleft() if self.next_markers else 0
