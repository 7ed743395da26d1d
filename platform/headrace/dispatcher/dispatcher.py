"""The Dispatcher: takes messages off the inbox and keeps the home partitions it owns.

JobLog (membership) ──messages──► validated ──► job log, or dead letters
                    ──ownership─► one Home per partition: decides, and runs JobMasters
"""

from __future__ import annotations

import asyncio

import structlog

from headrace.dispatcher.core import Phase
from headrace.dispatcher.home import Home, HomeContext
from headrace.dispatcher.messages import Unreadable, read_message
from headrace.log.insist import insist
from headrace.log.job_log import InboxRecord, JobLog
from headrace.protocol.topics import home_partition
from headrace.store.port import StoreUnavailableError

log = structlog.get_logger(__name__)

REBUILD_LOOK_S = 1.0


class Dispatcher:
    """One Dispatcher process, without its doors (REST) and its start and end (``service``)."""

    def __init__(self, job_log: JobLog, context: HomeContext, partitions: int) -> None:
        self._job_log = job_log
        self._c = context
        self._partitions = partitions
        self._homes: dict[int, tuple[Home, asyncio.Task[None]]] = {}
        self._leaving: dict[int, asyncio.Task[None]] = {}
        self._group: asyncio.TaskGroup | None = None
        self.member = False  #: partitions have been dealt out to this Dispatcher, if only none

    def phases(self) -> dict[int, Phase]:
        """Where this Dispatcher stands in each partition it owns."""
        return {partition: home.phase for partition, (home, _) in sorted(self._homes.items())}

    @property
    def masters(self) -> int:
        return sum(home.masters for home, _ in self._homes.values())

    async def run(self) -> None:
        """Be a Dispatcher until cancelled. Raises what cannot be survived, JobLogCrashedError among it."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            group.create_task(self._keep_views())
            await self._job_log.run(self)

    # ---- Dispatching

    async def inbox(self, record: InboxRecord) -> None:
        """Validate one message and append it to the job log of its home; unreadable ones go aside."""
        read = read_message(record.value)
        if isinstance(read, Unreadable):
            await self._c.answers.dead_letter(record, read)
            return
        partition = home_partition(read.message.job_id, self._partitions)
        await insist(lambda: self._c.log.append(self._c.topics.job_log, partition, read.key, record.value))

    def owned(self, partitions: frozenset[int]) -> None:
        log.info("dispatcher.owns", partitions=sorted(partitions))
        self.member = True
        for gone in self._homes.keys() - partitions:
            _, task = self._homes.pop(gone)
            task.cancel()
            self._leaving[gone] = task
        for new in sorted(partitions - self._homes.keys()):
            assert self._group is not None
            home = Home(new, self._c)
            task = self._group.create_task(self._keep(home, self._leaving.pop(new, None)), name=f"home-{new}")
            self._homes[new] = home, task

    async def _keep(self, home: Home, before: asyncio.Task[None] | None) -> None:
        if before is not None:  # it gives up the same lease
            await asyncio.wait([before])
        await home.run()

    # ---- views

    async def _keep_views(self) -> None:
        """Write the registry again when Redis lost it, or when writes were missed."""
        views, known = self._c.views, ""
        while True:
            try:
                identity = await self._c.store.identity()
            except StoreUnavailableError:
                pass
            else:
                if views.stale or identity != known:
                    if known:
                        log.warning("views.rebuild", missed=views.stale, flushed=identity != known)
                    known, views.stale = identity, False
                    for home, _ in list(self._homes.values()):
                        await home.rebuild_views()
            await asyncio.sleep(REBUILD_LOOK_S)
