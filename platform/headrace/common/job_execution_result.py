"""What came of a job."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["JobExecutionResult"]


@dataclass(frozen=True)
class JobExecutionResult:
    """Id, state and length of a job.

    ``status`` is a Flink job state: FINISHED or CANCELED when the job was waited for to its end, RUNNING when
    it was only started. A job that failed raises ``headrace.errors.JobFailedError`` instead.
    """

    job_id: str
    status: str
    net_runtime_ms: int | None = None

    def get_job_id(self) -> str:
        return self.job_id

    def get_net_runtime(self) -> int | None:
        """Milliseconds from start to end, None while the job runs."""
        return self.net_runtime_ms
