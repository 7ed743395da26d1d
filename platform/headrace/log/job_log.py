"""Port "inbox with ownership": what a Dispatcher is given of the shared work.

Every Dispatcher of a namespace joins; the partitions of ``<ns>.jobs`` are dealt out among them. A partition's
owner reads the messages that arrive on it, and is the home owner of every job whose log is that partition's.
Ownership says who should act. It can be believed by two for seconds; who may act is decided elsewhere.

Implementations: ``job_log_faust`` (Kafka consumer group through Faust), ``job_log_memory``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class InboxRecord:
    """One message of the inbox, bytes as they came."""

    partition: int
    offset: int
    value: bytes | None


class Dispatching(Protocol):
    """What the port calls, always from the same event loop."""

    async def inbox(self, record: InboxRecord) -> None:
        """Take one message. The offset is let go when this returns; may come again, to any Dispatcher.

        Must not raise: there is nobody to tell. Must be short, for it holds up a rebalance.
        """
        ...

    def owned(self, partitions: frozenset[int]) -> None:
        """The whole set owned from now on. Returns at once."""
        ...


class JobLogCrashedError(Exception):
    """Membership ended by an error; the process is to end too, and to be started again."""


class JobLog(Protocol):
    """One Dispatcher's membership."""

    async def run(self, dispatching: Dispatching) -> None:
        """Be a member until cancelled. Raises JobLogCrashedError.

        Cancelling leaves cleanly, which may hang while the log is unavailable: have a watchdog.
        """
        ...
