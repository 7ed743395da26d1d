"""The executor of ``python job.py``: lanes as threads of this process."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from contextlib import AbstractContextManager
from typing import Any

import msgspec

from headrace.common.job_execution_result import JobExecutionResult
from headrace.common.job_status import JobStatus
from headrace.datastream.collecting import ResultReader
from headrace.datastream.requirements import asked, unmet
from headrace.errors import JobFailedError, UsageError
from headrace.graph.job_graph import JobGraph
from headrace.in_process.logs import JobLog, kafka_log, kafka_operators, memory_log, named_kafka
from headrace.in_process.terminal import NobodyReadsError, Terminal, speak_plainly
from headrace.jobmaster.job_topics import job_topics
from headrace.protocol.dependency_archive import unpack
from headrace.protocol.submission import Submit
from headrace.protocol.topics import Topics
from headrace.protocol.worker_pipe import LaneTask
from headrace.runtime.failures import LaneFailure, describe
from headrace.runtime.functions import CodeBundle
from headrace.runtime.housekeeping import Housekeeping
from headrace.runtime.lane import Lane
from headrace.runtime.lane_contract import Phase
from headrace.runtime.lane_parts import TaskParts
from headrace.settings import Settings

#: Internal topics of in-process jobs, when they need Kafka, stand apart from those of a cluster.
NAMESPACE = "headrace.local"
JOIN_S = 30.0
TAKE_S = 0.1


class InProcessExecutor:
    """Runs one job after another, or several at once with execute_async."""

    def __init__(self, settings: Settings | None = None) -> None:
        self._settings = settings or Settings()
        self._terminal = Terminal()

    def submit(self, submit: Submit, code: bytes, *, wait: bool, dependencies: bytes = b"") -> InProcessJob:
        """Start the job's lanes; with ``wait``, return when it has ended.

        Raises UsageError for what the program must change, UnavailableError when its Kafka does not answer,
        JobFailedError when it waited and the job failed. Files of the job are importable here already; what
        this interpreter lacks of its requirements is said.
        """
        if dependencies:
            self._say_unmet(unpack(dependencies).requirements)
        job = InProcessJob(submit, code, self._log(submit.graph, submit.job_id), self._terminal)
        job.start()
        if wait:
            job.wait()
        return job

    def _say_unmet(self, requirements: str) -> None:
        for lack in unmet(asked(requirements, "requirements.txt")):
            self._terminal.line("stderr", f"warning: {lack}: in-process runs use this Python as it is")

    def _log(self, graph: JobGraph, job_id: str) -> AbstractContextManager[JobLog]:
        topics = Topics(NAMESPACE)
        if not kafka_operators(graph):
            return memory_log(topics, graph, job_id)
        bootstrap = named_kafka(graph) or self._settings.bootstrap or self._embedded()
        if bootstrap is None:
            names = ", ".join(sorted(operator.name for operator in kafka_operators(graph)))
            raise UsageError(
                "kafka-not-named",
                f"the program uses Kafka ({names}) and nothing says where Kafka is",
                hint="run `streamctl up`, or call set_bootstrap_servers(); with HEADRACE_BOOTSTRAP set, "
                "the job is submitted to the cluster there",
            )
        return kafka_log(bootstrap, self._settings.kafka, topics, graph, job_id)

    def _embedded(self) -> str | None:
        from headrace.embedded import find_running  # here: most programs never ask

        running = find_running(self._settings)
        return None if running is None else running.bootstrap


class InProcessJob:
    """A job that runs here; what the script holds as its JobClient."""

    def __init__(self, submit: Submit, code: bytes, log: AbstractContextManager[JobLog], terminal: Terminal) -> None:
        self._submit = submit
        self._log = log
        self._terminal = terminal
        self._bundle = CodeBundle("")
        if code:
            self._bundle.add(msgspec.msgpack.decode(code, type=dict[str, bytes]))
        self._results: InProcessResults | None = None
        self._lanes: dict[str, tuple[TaskParts, Lane]] = {}
        self._failure: LaneFailure | None = None
        self._result: Future[JobExecutionResult] = Future()
        self._began_s = time.monotonic()
        self._stopping = threading.Event()

    # ---- JobClient

    def get_job_id(self) -> str:
        return self._submit.job_id

    def get_job_status(self) -> Future[JobStatus]:
        status: Future[JobStatus] = Future()
        status.set_result(self._status())
        return status

    def get_job_execution_result(self) -> Future[JobExecutionResult]:
        return self._result

    def cancel(self) -> Future[None]:
        """End the job after the commits in flight."""
        self._stop_lanes()
        asked: Future[None] = Future()
        asked.set_result(None)
        return asked

    def results(self) -> InProcessResults:
        assert self._results is not None, "the job has no collect sink"
        return self._results

    def _status(self) -> JobStatus:
        if not self._result.done():
            return JobStatus.CANCELLING if self._stopping.is_set() else JobStatus.RUNNING
        if self._result.exception() is not None:
            return JobStatus.FAILED
        return JobStatus(self._result.result().status)

    # ---- running

    def start(self) -> None:
        """Make topics and lanes, and start them. What the user must change is raised from here."""
        opened = self._log.__enter__()
        try:
            graph_json = self._submit.graph.model_dump_json().encode()
            for name in self._submit.graph.lane_slots():
                self._lanes[name] = self._lane(name, graph_json, opened)
            topic = Topics(NAMESPACE).results(self._submit.job_id, 1)
            if topic in job_topics(Topics(NAMESPACE), self._submit.graph, self._submit.job_id, 1):
                self._results = InProcessResults(ResultReader(opened.connection.reader(), topic), self)
        except BaseException as error:
            self._log.__exit__(type(error), error, error.__traceback__)
            raise
        threads = [threading.Thread(target=self._run, args=(name,), name=f"lane {name}") for name in self._lanes]
        for thread in threads:
            thread.daemon = True
            thread.start()
        housekeeping = Housekeeping(opened.connection, lambda: list(self._lanes.values()), time.monotonic)
        threading.Thread(target=self._follow, args=(threads, housekeeping), name="job").start()

    def wait(self) -> None:
        """Until the job has ended. Ctrl-C ends its lanes first."""
        try:
            self._result.exception()
        except KeyboardInterrupt:
            self._stop_lanes()
            self._result.exception(timeout=JOIN_S)
            raise
        self._result.result()

    def _lane(self, name: str, graph_json: bytes, log: JobLog) -> tuple[TaskParts, Lane]:
        task = LaneTask(
            job=self._submit.job_id,
            name=self._submit.name,
            incarnation=1,
            lane=name,
            attempt="1.0",
            graph=graph_json,
            code="",
            delivery=self._submit.delivery,
            config=self._submit.config,
            source_partitions=log.source_partitions,
        )
        parts = TaskParts(task, NAMESPACE, self._terminal, self._bundle)
        host = _Alone()
        host.lane = Lane(parts, log.connection, parts.transactional_id, host, clock=time.monotonic)
        return parts, host.lane

    def _run(self, name: str) -> None:
        try:
            self._lanes[name][1].run()
        except Exception as error:  # noqa: BLE001 - the lane's supervisor: the failure ends the job
            self._failure = self._failure or describe(error)
            self._stop_lanes()

    def _stop_lanes(self) -> None:
        self._stopping.set()
        for _, lane in self._lanes.values():
            lane.stop()

    def _follow(self, threads: list[threading.Thread], housekeeping: Housekeeping) -> None:
        """Wait for the lanes, clean up, say how it ended."""
        for thread in threads:
            thread.join()
        housekeeping.close()
        try:
            if self._results is not None:
                self._results.job_over()
            self._log.__exit__(None, None, None)
        except Exception as error:  # noqa: BLE001 - this thread's end is the job's: who waits for it must hear
            self._failure = self._failure or describe(error)
        runtime_ms = round((time.monotonic() - self._began_s) * 1000)
        failure = self._failure
        if self._terminal.closed:
            self._result.set_exception(NobodyReadsError())
            return
        if failure is not None:
            self._result.set_exception(
                JobFailedError(
                    "job-failed",
                    f"{self._submit.name}: {failure.error}",
                    user_traceback=failure.traceback if failure.user else "",
                )
            )
            return
        finished = all(lane.phase is Phase.FINISHED for _, lane in self._lanes.values())
        status = "FINISHED" if finished else "CANCELED"
        self._result.set_result(JobExecutionResult(self._submit.job_id, status, runtime_ms))


class _Alone:
    """The LaneHost of one lane here: nobody else runs it."""

    lane: Lane

    def running(self) -> None: ...

    def fenced(self) -> None:
        """The coordinator ended a transaction of this process itself, which slept or was cut off: go on."""
        self.lane.resume()


class InProcessResults:
    """Results of an in-process job (ResultSource): read from its log while it runs, then from here."""

    def __init__(self, reader: ResultReader, job: InProcessJob) -> None:
        self._reader = reader
        self._job = job
        self._lock = threading.Lock()
        self._rest: list[Any] | None = None  #: once the job is over

    def take(self) -> list[Any] | None:
        with self._lock:
            if self._rest is None:
                return self._reader.take(TAKE_S)
            rest, self._rest = self._rest, []
        if rest:
            return rest
        self._job.get_job_execution_result().result()
        return None

    def job_over(self) -> None:
        """The lanes have ended, and the log is about to go."""
        with self._lock:
            self._rest = []
            try:
                self._rest = self._reader.rest()
            finally:
                self._reader.close()

    def close(self) -> None:
        self._job.cancel()
        self._job.get_job_execution_result().exception(timeout=JOIN_S)


def in_process_executor() -> InProcessExecutor:
    """Entry point "local" of the group "headrace.executors"."""
    speak_plainly()
    return InProcessExecutor()
