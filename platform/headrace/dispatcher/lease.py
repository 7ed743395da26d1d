"""When a Dispatcher may act for a home partition: the lease in the store, its self-fence, and life without.

    NONE   nobody gave permission                    HELD   until ``fence_s``, counted from the time of asking
    ALONE  the store has been silent for so long that every lease has ended; the claim in the log decides

The lease only keeps two Dispatchers from trying at once; what counts is decided by the log. Pure: no I/O.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from headrace.store.port import LEASE_TTL_MS

#: A holder stops by itself after this share of the lease, whatever the call that renews it does.
FENCE_S = 0.8 * LEASE_TTL_MS / 1000
#: After this long without an answer from the store the lease is not waited for.
SILENCE_S = 10.0


class Standing(Enum):
    NONE = "none"
    HELD = "held"
    ALONE = "alone"


@dataclass(frozen=True)
class Lease:
    """One home lease as its seeker knows it. Times are seconds of one monotonic clock."""

    standing: Standing = Standing.NONE
    fence_s: float = 0.0
    silent_since_s: float | None = None

    @property
    def may_act(self) -> bool:
        return self.standing is not Standing.NONE

    def granted(self, asked_s: float) -> Lease:
        """The store said yes to a request of that time."""
        return Lease(Standing.HELD, asked_s + FENCE_S)

    def denied(self) -> Lease:
        """The store said that another holds it."""
        return Lease()

    def silent(self, asked_s: float, now_s: float) -> Lease:
        """The store did not answer a request of that time."""
        since = asked_s if self.silent_since_s is None else self.silent_since_s
        if now_s - since >= SILENCE_S:
            return Lease(Standing.ALONE, silent_since_s=since)
        return replace(self.at(now_s), silent_since_s=since)

    def at(self, now_s: float) -> Lease:
        """Time has passed: a lease past its fence is no longer held."""
        if self.standing is Standing.HELD and now_s >= self.fence_s:
            return replace(self, standing=Standing.NONE)
        return self
