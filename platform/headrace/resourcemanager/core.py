"""Who gets which slot: declarations and TaskManagers in, grants out.

No memory of its own except how long a TaskManager has been silent: held slots stand in the declarations, given
ones in the last grants, taken ones in the TaskManagers' records. So a new leader goes on where the last one
stopped. The rules, in order:

    1  a slot of a job stays where it is, as long as its TaskManager lives and no other job runs in it
    2  jobs that lost slots come before jobs that have none; then by the time of their declaration
    3  a job that has no slots gets all it needs or nothing, so that two jobs never starve each other
    4  a new slot is on the TaskManager with the most free slots

Pure: no I/O.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from headrace.protocol.control import SlotDeclaration, SlotGrants, TaskManagerRecord

#: A TaskManager whose counter has not moved for this long, in successful reads, gets no work.
SILENT_MS = 3_000


@dataclass(frozen=True)
class Beat:
    """The last movement of a TaskManager's counter."""

    instance: str
    counter: int
    at_ms: int


@dataclass(frozen=True)
class Beats:
    """Which TaskManagers live, by the movement of their counters. Times are of one monotonic clock."""

    identity: str = ""
    since_ms: int = 0  #: silence counts from here at the earliest
    beats: dict[str, Beat] = field(default_factory=dict)

    def read(self, identity: str, records: dict[str, TaskManagerRecord], now_ms: int) -> Beats:
        """After a successful read of all records. A changed identity starts all clocks again."""
        since_ms = self.since_ms if identity == self.identity else now_ms
        beats = {}
        for tm_id, record in records.items():
            old = self.beats.get(tm_id)
            moved = old is None or (old.instance, old.counter) != (record.instance, record.counter)
            beats[tm_id] = Beat(record.instance, record.counter, now_ms) if moved or old is None else old
        return Beats(identity, since_ms, beats)

    def failed(self, now_ms: int) -> Beats:
        """After a read that was not answered: silence is counted anew."""
        return Beats(self.identity, now_ms, self.beats)

    def live(self, tm_id: str, now_ms: int) -> bool:
        beat = self.beats.get(tm_id)
        return beat is not None and now_ms - max(beat.at_ms, self.since_ms) < SILENT_MS


Slot = tuple[str, int]


def reconcile(
    declarations: dict[str, SlotDeclaration],
    taskmanagers: dict[str, TaskManagerRecord],
    grants: dict[str, SlotGrants],
    now_ms: int,
) -> dict[str, SlotGrants]:
    """The grants that should stand: one entry per declaration. ``taskmanagers``: the live ones."""
    table = _Table(taskmanagers)
    order = sorted(declarations.values(), key=lambda d: (d.since_ms, d.job_id))
    for job in order:
        table.keep(job, job.held)
    for job in order:
        stale = grants.get(job.job_id)
        if stale is not None and stale.epoch <= job.epoch:
            table.keep(job, stale.grants)
    for job in sorted(order, key=lambda d: not table.given[d.job_id]):
        table.fill(job)
    free, total = len(table.free()), sum(record.slots for record in taskmanagers.values())
    return {
        job.job_id: SlotGrants(
            job_id=job.job_id,
            epoch=job.epoch,
            grants={str(index): f"{tm}/{slot}" for index, (tm, slot) in sorted(table.given[job.job_id].items())},
            free=free,
            total=total,
            at_ms=now_ms,
        )
        for job in order
    }


def changed(wanted: dict[str, SlotGrants], stored: dict[str, SlotGrants]) -> list[SlotGrants]:
    """Grants that are to be written: those that differ in more than their time."""
    return [grant for job_id, grant in wanted.items() if _essence(stored.get(job_id)) != _essence(grant)]


def _essence(grant: SlotGrants | None) -> SlotGrants | None:
    return grant and grant.model_copy(update={"at_ms": 0})


class _Table:
    """Slots while they are dealt out."""

    def __init__(self, taskmanagers: dict[str, TaskManagerRecord]) -> None:
        self._runs: dict[Slot, str] = {
            (tm_id, int(slot)): job_id
            for tm_id, record in taskmanagers.items()
            for slot, job_id in record.occupied.items()
            if slot.isdigit()
        }
        self._slots: list[Slot] = [
            (tm_id, slot) for tm_id, record in sorted(taskmanagers.items()) for slot in range(record.slots)
        ]
        self._existing = set(self._slots)
        self._owner: dict[Slot, str] = {}
        self.given: dict[str, dict[int, Slot]] = {}

    def keep(self, job: SlotDeclaration, places: dict[str, str]) -> None:
        """Leave the job what it has, where that is still possible."""
        given = self.given.setdefault(job.job_id, {})
        for text, place in places.items():
            tm_id, _, number = place.rpartition("/")
            if not (text.isdigit() and number.isdigit() and int(text) < job.needed) or int(text) in given:
                continue
            slot = (tm_id, int(number))
            if slot in self._existing and slot not in self._owner and self._may_use(job.job_id, slot):
                self._give(job.job_id, int(text), slot)

    def fill(self, job: SlotDeclaration) -> None:
        """Give the job what it lacks; a job with nothing gets everything or nothing."""
        given = self.given[job.job_id]
        lacking = [index for index in range(job.needed) if index not in given]
        if not given and len(lacking) > len(self._usable(job.job_id)):
            return
        for index in lacking:
            usable = self._usable(job.job_id)
            if not usable:
                return
            room: dict[str, int] = {}
            for tm_id, _ in usable:
                room[tm_id] = room.get(tm_id, 0) + 1
            self._give(job.job_id, index, min(usable, key=lambda slot: (-room[slot[0]], slot)))

    def free(self) -> list[Slot]:
        return [slot for slot in self._slots if slot not in self._owner and slot not in self._runs]

    def _usable(self, job_id: str) -> list[Slot]:
        return [slot for slot in self._slots if slot not in self._owner and self._may_use(job_id, slot)]

    def _may_use(self, job_id: str, slot: Slot) -> bool:
        return self._runs.get(slot, job_id) == job_id

    def _give(self, job_id: str, index: int, slot: Slot) -> None:
        self._owner[slot] = job_id
        self.given[job_id][index] = slot
