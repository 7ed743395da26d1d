"""A job that was submitted here: what the script holds as its JobClient."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import closing
from typing import TYPE_CHECKING, Any

from headrace import clock
from headrace.common.job_execution_result import JobExecutionResult
from headrace.common.job_status import JobStatus
from headrace.errors import HeadraceError
from headrace.ids import new_request_id
from headrace.protocol.submission import Submit
from streamctl.client import JobEvents, JobsClient, Lifecycle
from streamctl.output import Progress
from streamctl.watch import ended, follow, require_success

if TYPE_CHECKING:
    from streamctl.results import ClusterResults

#: A job whose end somebody waits for is asked about this often.
POLL_S = 0.5


class SubmittedJob:
    """Implements JobClient. ``events`` are for who submitted it; questions open connections of their own."""

    def __init__(self, submit: Submit, client: JobsClient, events: JobEvents, lifecycle: Lifecycle) -> None:
        self.job_id = submit.job_id
        self.name = submit.name
        self.events = events
        self.lifecycle = lifecycle
        self.collects = False  #: the program reads its results, and decides when it has enough
        self._client = client
        self._started_s = clock.monotonic_s()
        self._result = _FollowedResult(self._to_its_end)
        self._results: ClusterResults | None = None

    def follow(self, there: Callable[[Lifecycle], bool], *, progress: Progress, timeout_s: float | None) -> None:
        self.lifecycle = follow(
            self.events, self.lifecycle, there, name=self.name, progress=progress, timeout_s=timeout_s
        )
        if ended(self.lifecycle):
            self._result.settle(self._outcome(self.lifecycle))

    def get_job_id(self) -> str:
        return self.job_id

    def get_job_status(self) -> Future[JobStatus]:
        """The state that the job's events tell of now. The future is done, with the error if nobody answers."""
        status: Future[JobStatus] = Future()
        try:
            lifecycle = self.lifecycle
            if not ended(lifecycle):
                lifecycle = self._client.lifecycle(self.job_id, self.events.start)
            status.set_result(lifecycle.status or JobStatus.INITIALIZING)
        except HeadraceError as error:
            status.set_exception(error)
        return status

    def get_job_execution_result(self) -> Future[JobExecutionResult]:
        """Done when the job has ended; it is followed, in a thread, from the first question for the result on.

        With JobFailedError when it failed, UnavailableError when Kafka was away for long.
        """
        return self._result

    def cancel(self) -> Future[None]:
        """Ask for the job's end. The future is done, with the error if it was refused."""
        asked: Future[None] = Future()
        try:
            _, events = self._client.cancel(self.job_id, new_request_id())
            events.close()
            asked.set_result(None)
        except HeadraceError as error:
            asked.set_exception(error)
        return asked

    def results(self) -> ClusterResults:
        """What the job's collect sink writes (CollectingClient)."""
        from streamctl.results import ClusterResults

        self.collects = True
        self._results = ClusterResults(self._client, self.job_id, self.name, self.events.start)
        return self._results

    def close_results(self) -> bool:
        """The program has ended: results it has not read are not wanted. Whether that cancelled the job."""
        return self._results is not None and self._results.close()

    def _to_its_end(self) -> None:
        try:
            with closing(self._client.watch(self.job_id, self.events.start)) as events:
                lifecycle = Lifecycle()
                while not ended(lifecycle):
                    for event in events.take(POLL_S):
                        lifecycle = lifecycle.after(event)
            self._result.settle(self._outcome(lifecycle))
        except Exception as error:  # noqa: BLE001 - this thread's work is the future: who waits for it must hear
            self._result.settle(error)

    def _outcome(self, lifecycle: Lifecycle) -> JobExecutionResult | HeadraceError:
        """What the end of the job means for who waits for it."""
        runtime_ms = round((clock.monotonic_s() - self._started_s) * 1000)
        if lifecycle.status is JobStatus.FAILED:
            try:
                require_success(self.job_id, self.name, lifecycle)
            except HeadraceError as error:
                return error
        return JobExecutionResult(self.job_id, str(lifecycle.status), runtime_ms)


class _FollowedResult(Future[JobExecutionResult]):
    """A future whose work begins when somebody waits for it: most programs never do."""

    def __init__(self, work: Callable[[], None]) -> None:
        super().__init__()
        self._work = work
        self._begun = threading.Lock()
        self._settling = threading.Lock()

    def settle(self, outcome: JobExecutionResult | Exception) -> None:
        """The first outcome counts: the thread here and ``follow`` may both come to the job's end."""
        with self._settling:
            if self.done():
                return
            if isinstance(outcome, Exception):
                self.set_exception(outcome)
            else:
                self.set_result(outcome)

    def _begin(self) -> None:
        if not self.done() and self._begun.acquire(blocking=False):
            threading.Thread(target=self._work, name="job result", daemon=True).start()

    def result(self, timeout: float | None = None) -> JobExecutionResult:
        self._begin()
        return super().result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        self._begin()
        return super().exception(timeout)

    def add_done_callback(self, fn: Callable[[Future[JobExecutionResult]], Any]) -> None:
        self._begin()
        super().add_done_callback(fn)
