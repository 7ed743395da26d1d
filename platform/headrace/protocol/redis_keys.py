"""Names of Redis keys and channels. Redis says what is now; nothing here is needed to be right later."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RedisKeys:
    """Keys of one namespace."""

    namespace: str = "headrace"

    def job(self, job_id: str) -> str:
        """Hash: ``graph`` (Submit JSON), ``record`` (JobRecord JSON), ``epoch``."""
        return f"{self.namespace}:job:{job_id}"

    @property
    def jobs(self) -> str:
        """Sorted set: job id by submission time."""
        return f"{self.namespace}:jobs"

    def lanes(self, job_id: str) -> str:
        """Hash: lane name to LaneMetrics JSON."""
        return f"{self.namespace}:lanes:{job_id}"

    def taskmanager(self, tm_id: str) -> str:
        """String with PX 10 s: TaskManagerRecord JSON."""
        return f"{self.namespace}:tm:{tm_id}"

    @property
    def taskmanagers(self) -> str:
        """Set of TaskManager ids ever seen."""
        return f"{self.namespace}:tms"

    def home(self, partition: int) -> str:
        """String with PX 3 s: the Dispatcher that tries to act for a home partition."""
        return f"{self.namespace}:home:{partition}"

    @property
    def resource_manager(self) -> str:
        """String with PX 3 s: the leading ResourceManager."""
        return f"{self.namespace}:rm"

    @property
    def declarations(self) -> str:
        """Hash: job id to SlotDeclaration JSON."""
        return f"{self.namespace}:declarations"

    @property
    def grants(self) -> str:
        """Hash: job id to SlotGrants JSON."""
        return f"{self.namespace}:grants"

    @property
    def wake(self) -> str:
        """Pub/sub channel: "declared", "granted" or "slots" wakes those who wait; messages may be lost."""
        return f"{self.namespace}:wake"

    @property
    def sentinel(self) -> str:
        """Present since somebody first wrote to this Redis; missing means it was flushed."""
        return f"{self.namespace}:sentinel"
