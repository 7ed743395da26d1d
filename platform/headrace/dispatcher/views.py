"""The job registry in Redis: what lists and look-ups show. Rebuilt from the log, never needed to be right.

While Redis is away writes are dropped and ``stale`` is set; ``Dispatcher`` has everything written again when
Redis is back, and whenever its identity changed.
"""

from __future__ import annotations

import structlog

from headrace.protocol.control import JobRecord, JobResult
from headrace.protocol.states import JobStatus
from headrace.protocol.submission import Submit
from headrace.store.port import Store, StoreUnavailableError

log = structlog.get_logger(__name__)


class Views:
    """Writes of one Dispatcher. A JobMaster's own record, which carries its epoch, always wins."""

    def __init__(self, store: Store, dispatcher: str) -> None:
        self._store = store
        self._dispatcher = dispatcher
        self.stale = False

    async def show(self, submit: Submit, submitted_ms: int, status: JobStatus) -> None:
        """A job that has not ended."""
        if self.stale:
            return
        try:
            await self._store.put_graph(submit.job_id, submit.model_dump_json().encode(), submitted_ms=submitted_ms)
            await self._store.put_record(self._record(submit, submitted_ms, status))
        except StoreUnavailableError as error:
            self._missed(error)

    async def conclude(self, submit: Submit | None, submitted_ms: int, result: JobResult) -> None:
        """A job that has ended. ``submit`` None: nothing is left of it but its result."""
        if self.stale:
            return
        try:
            if submit is not None:
                graph = submit.model_dump_json().encode()
                await self._store.put_graph(submit.job_id, graph, submitted_ms=submitted_ms)
            record = await self._store.record(result.job_id)
            if record is not None and record.status.ended:
                return
            if record is None and submit is not None:
                record = self._record(submit, submitted_ms, result.status)
            if record is not None:
                await self._store.put_record(_ended(record, result))
        except StoreUnavailableError as error:
            self._missed(error)

    async def forget(self, job_id: str) -> None:
        try:
            await self._store.forget_job(job_id)
        except StoreUnavailableError as error:
            self._missed(error)

    def _record(self, submit: Submit, submitted_ms: int, status: JobStatus) -> JobRecord:
        return JobRecord(
            job_id=submit.job_id,
            name=submit.name,
            status=status,
            dispatcher=self._dispatcher,
            slots_needed=submit.graph.slots,
            submitted_ms=submitted_ms,
            timestamps={status: submitted_ms},
        )

    def _missed(self, error: StoreUnavailableError) -> None:
        log.debug("views.missed", error=str(error))
        self.stale = True


def _ended(record: JobRecord, result: JobResult) -> JobRecord:
    return record.model_copy(
        update={
            "status": result.status,
            "reason": result.reason,
            "failure": result.failure,
            "started_ms": result.started_ms,
            "ended_ms": result.ended_ms,
            "timestamps": {**record.timestamps, str(result.status): result.ended_ms},
        }
    )
