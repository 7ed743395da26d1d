"""What the routes answer from: made once by the process that listens."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from pydantic import ValidationError

from headrace.errors import UsageError
from headrace.graph.job_graph import JobGraph
from headrace.ids import is_job_id
from headrace.log.control import ControlLog
from headrace.protocol.control import JobRecord
from headrace.protocol.submission import Submit
from headrace.protocol.topics import Topics
from headrace.rest.kafka_view import KafkaView
from headrace.rest.models import Health
from headrace.store.port import Store

T = TypeVar("T")
#: Calls to the store made at once for one answer; its connections are shared with the control plane.
CALLS_AT_ONCE = 8


@dataclass(frozen=True)
class Services:
    """``health`` probes what the process needs; ``kafka`` is for look-ups only, ``log`` for requests."""

    store: Store
    log: ControlLog
    kafka: KafkaView
    topics: Topics
    dispatcher: str
    health: Callable[[], Awaitable[Health]]

    async def job(self, job_id: str) -> JobRecord:
        """The registry's record. Raises UsageError ("job-unknown"), StoreUnavailableError."""
        record = await self.store.record(job_id) if is_job_id(job_id) else None
        if record is None:
            raise UsageError("job-unknown", f"there is no job {job_id[:100]!r}", hint="GET /api/v1/jobs lists them")
        return record

    async def submission(self, job_id: str) -> Submit | None:
        """What was submitted, None when the registry does not hold it in a form of this version."""
        stored = await self.store.graph(job_id)
        try:
            return Submit.model_validate_json(stored) if stored else None
        except ValidationError:
            return None

    async def graph(self, job_id: str) -> JobGraph | None:
        submit = await self.submission(job_id)
        return submit.graph if submit else None


async def few_at_once(call: Callable[[str], Awaitable[T]], arguments: Sequence[str]) -> list[T]:
    """``call`` for each argument, CALLS_AT_ONCE at a time; results in order. Raises what a call raises."""
    results: list[T] = []
    for first in range(0, len(arguments), CALLS_AT_ONCE):
        results += await asyncio.gather(*map(call, arguments[first : first + CALLS_AT_ONCE]))
    return results
