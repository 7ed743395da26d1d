"""Results of a job on a cluster, read while it runs: the source of ``execute_and_collect``."""

from __future__ import annotations

from typing import Any

from headrace import clock
from headrace.datastream.collecting import ResultReader
from headrace.errors import HeadraceError, UnavailableError
from headrace.ids import new_request_id
from headrace.log.lane import LogError, PositionLostError
from headrace.log.lane_kafka import KafkaLaneConnection
from headrace.protocol.states import JobStatus
from streamctl.client import JobsClient, Lifecycle
from streamctl.watch import ended, require_success

TAKE_S = 0.2
#: How long a job that is no longer wanted has to end before its results are removed.
END_S = 30.0


class ClusterResults:
    """Implements ResultSource. It owns what it opens: ``close`` it."""

    def __init__(self, client: JobsClient, job_id: str, name: str, start: int | None) -> None:
        """``start``: offset of the job's first event."""
        self._client = client
        self._job_id, self._name = job_id, name
        self._topic = client.topics.results(job_id, 1)
        self._events = client.watch(job_id, start)
        self._lifecycle = Lifecycle()
        connection = self._events.connection
        self._log = KafkaLaneConnection(connection.bootstrap, connection.options)
        self._reader = ResultReader(self._log.reader(), self._topic)
        self._over = False
        self._closed = False

    def take(self) -> list[Any] | None:
        """As ResultSource. Raises JobCanceledError when somebody else cancelled the job, UnavailableError
        ("results-lost") when its results are gone.
        """
        if self._over:
            require_success(self._job_id, self._name, self._lifecycle)
            return None
        try:
            values = self._reader.take(TAKE_S)
            if not values and self._has_ended():
                self._over = True
                values = self._reader.rest()
            return values
        except (LogError, PositionLostError, TimeoutError) as error:
            if self._has_ended() and self._lifecycle.status is not JobStatus.FINISHED:
                self._over = True  # and its topics went with it, or never were
                return []
            raise UnavailableError(
                "results-lost",
                f"the results of job {self._name!r} cannot be read on: {error}",
                hint="results are kept for a day, and go when the job is cancelled; run the job again",
            ) from error

    def _has_ended(self) -> bool:
        for event in self._events.take(0):
            self._lifecycle = self._lifecycle.after(event)
        return ended(self._lifecycle)

    def close(self) -> bool:
        """As ResultSource; whether a running job was cancelled by this."""
        if self._closed:
            return False
        self._closed = True
        try:
            cancelled = self._end_job()
            self._events.connection.delete_topic(self._topic)
        finally:
            self._reader.close()
            self._log.close()
            self._events.close()
        return cancelled

    def _end_job(self) -> bool:
        """Cancel a job that runs, and give it time: a lane that writes to a deleted topic fails."""
        if self._has_ended():
            return False
        try:
            _, events = self._client.cancel(self._job_id, new_request_id())
            events.close()
        except HeadraceError as error:
            if error.code not in ("job-ended", "cancel-refused"):
                raise
        deadline_s = clock.monotonic_s() + END_S
        while not self._has_ended() and clock.monotonic_s() < deadline_s:
            for event in self._events.take(TAKE_S):
                self._lifecycle = self._lifecycle.after(event)
        return True
