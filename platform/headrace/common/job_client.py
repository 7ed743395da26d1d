"""A handle on a submitted job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from headrace.common.job_execution_result import JobExecutionResult
from headrace.common.job_status import JobStatus

if TYPE_CHECKING:
    from concurrent.futures import Future

__all__ = ["JobClient"]


class JobClient(Protocol):
    """What an executor gives for a submitted job. Dropping it does nothing to the job."""

    def get_job_id(self) -> str: ...

    def get_job_status(self) -> Future[JobStatus]:
        """The state that the job is in now."""

    def get_job_execution_result(self) -> Future[JobExecutionResult]:
        """Done when the job has ended: its result, or JobFailedError.

        An executor that waited for the job gives a future that is done.
        """

    def cancel(self) -> Future[None]:
        """Ask for the job's end; done when the request was accepted, or with the error why not."""
