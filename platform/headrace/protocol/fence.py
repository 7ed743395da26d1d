"""Who commands a job: the rule by which every reader of ``<ns>.plans`` tells a valid plan from a stale one.

    "<job>/claim"          a JobMaster takes command; the record's offset is its epoch
    "<job>/plan/<epoch>"   desired state by the JobMaster of that epoch

A plan counts when its epoch is not below any claim before it in the partition, and it is newer, by (epoch,
number), than the plan that counts now. Compaction may remove an old claim; it never removes the newest one,
and a plan of the newest epoch outranks all older ones, so a reader that starts late ends with the same plan.

Pure: fed with records in order, gives what changed.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import ValidationError

from headrace.protocol.control import Plan


@dataclass(frozen=True)
class Claimed:
    """A JobMaster took command of the job."""

    job_id: str
    epoch: int


@dataclass(frozen=True)
class Planned:
    """A new plan counts."""

    job_id: str
    plan: Plan


@dataclass(frozen=True)
class Forgotten:
    """The plan that counted was removed: nothing of the job is wanted any more."""

    job_id: str


@dataclass(frozen=True)
class Unreadable:
    """A record that this version cannot read; it changes nothing."""

    key: str
    offset: int
    error: str


Change = Claimed | Planned | Forgotten | Unreadable


@dataclass
class _Job:
    epoch: int = -1
    plan: Plan | None = None


def claim_key(job_id: str) -> str:
    return f"{job_id}/claim"


def plan_key(job_id: str, epoch: int) -> str:
    return f"{job_id}/plan/{epoch}"


class PlanFence:
    """One partition of ``<ns>.plans`` as read so far."""

    def __init__(self) -> None:
        self.position = 0  #: every record below was fed
        self._jobs: dict[str, _Job] = {}

    def epoch(self, job_id: str) -> int:
        """The newest claim of the job, -1 without one."""
        job = self._jobs.get(job_id)
        return -1 if job is None else job.epoch

    def plan(self, job_id: str) -> Plan | None:
        """The plan that counts."""
        job = self._jobs.get(job_id)
        return None if job is None else job.plan

    def feed(self, offset: int, key: str, value: bytes | None) -> Change | None:
        """Take the next record; None when it changes nothing. An offset that was fed already is skipped."""
        if offset < self.position:
            return None
        self.position = offset + 1
        job_id, _, rest = key.partition("/")
        if rest == "claim":
            return self._claim(job_id, offset, value)
        if rest.startswith("plan/"):
            return self._plan(job_id, rest.removeprefix("plan/"), offset, value)
        return Unreadable(key, offset, "neither a claim nor a plan")

    def _claim(self, job_id: str, offset: int, value: bytes | None) -> Change | None:
        job = self._jobs.setdefault(job_id, _Job())
        if value is not None:
            job.epoch = offset
            return Claimed(job_id, offset)
        if job.plan is None:
            del self._jobs[job_id]
        return None

    def _plan(self, job_id: str, epoch: str, offset: int, value: bytes | None) -> Change | None:
        job = self._jobs.setdefault(job_id, _Job())
        if value is None:
            if job.plan is None or str(job.plan.epoch) != epoch:
                return None
            job.plan = None
            return Forgotten(job_id)
        try:
            plan = Plan.model_validate_json(value)
        except ValidationError as error:
            return Unreadable(plan_key(job_id, int(epoch) if epoch.isdigit() else -1), offset, str(error))
        if plan.epoch < job.epoch:
            return None
        if job.plan is not None and (plan.epoch, plan.number) <= (job.plan.epoch, job.plan.number):
            return None
        job.plan = plan
        return Planned(job_id, plan)
