"""A slot worker: one OS process that runs lanes of one job, each in a thread of its own.

    python -m headrace.runtime.worker FD

Commands come on stdin, reports go to the pipe FD (headrace.protocol.worker_pipe). A closed stdin ends the
process. The environment names the cluster: HEADRACE_BOOTSTRAP, HEADRACE_NAMESPACE, HEADRACE_KAFKA (JSON),
HEADRACE_OUTPUT (file for what user code prints).
"""

from __future__ import annotations

import faulthandler
import gc
import json
import os
import select
import sys
import threading
import time
import traceback
from collections.abc import Iterable
from pathlib import Path

from headrace.log.lane import LaneConnection
from headrace.log.lane_kafka import KafkaLaneConnection
from headrace.protocol import worker_pipe as pipe
from headrace.runtime import job_code
from headrace.runtime.failures import describe
from headrace.runtime.housekeeping import Housekeeping
from headrace.runtime.lane import Lane
from headrace.runtime.lane_contract import Phase
from headrace.runtime.lane_parts import TaskParts
from headrace.runtime.output import OutputFile, capture, enter_lane
from headrace.runtime.ownership import TRANSACTION_TIMEOUT_S
from headrace.runtime.rate import Rate

HEARTBEAT_S = 1.0
METRICS_S = 0.5
#: A transaction call that has not returned by then will not: the process ends, its successor takes over.
DEADLINE_S = TRANSACTION_TIMEOUT_S + 5.0
EXIT_PIPE_CLOSED, EXIT_DEADLINE = 0, 4


class Reports:
    """The pipe up; whole messages from any thread."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._lock = threading.Lock()

    def send(self, message: pipe.Up) -> None:
        data = pipe.frame(message)
        with self._lock:
            while data:
                try:
                    data = data[os.write(self._fd, data) :]
                except BrokenPipeError:
                    os._exit(EXIT_PIPE_CLOSED)


class RunningLane:
    """One lane's thread, and its voice to the TaskManager (LaneHost)."""

    def __init__(
        self, task: pipe.LaneTask, connection: LaneConnection, namespace: str, reports: Reports, output: OutputFile
    ) -> None:
        self.task = task
        self.parts: TaskParts | None = None
        self.lane: Lane | None = None
        self.rate = Rate()  #: of records read
        self._connection = connection
        self._namespace = namespace
        self._reports = reports
        self._output = output
        self._stopped_early = threading.Event()
        self.thread = threading.Thread(target=self._run, name=f"lane {task.lane}", daemon=True)

    def stop(self) -> None:
        self._stopped_early.set()
        if self.lane is not None:
            self.lane.stop()

    def resume(self) -> None:
        if self.lane is not None:
            self.lane.resume()

    # LaneHost
    def running(self) -> None:
        self._moved("RUNNING")

    def fenced(self) -> None:
        self._reports.send(pipe.LaneFenced(self.task.lane, self.task.attempt))

    def _moved(self, state: str, **more: object) -> None:
        self._reports.send(pipe.LaneMoved(self.task.lane, self.task.attempt, state, **more))  # type: ignore[arg-type]

    def _run(self) -> None:
        enter_lane(self.task.lane, self.task.attempt)
        self._moved("INITIALIZING")
        try:
            self.parts = TaskParts(self.task, self._namespace, self._output)
            self.lane = Lane(self.parts, self._connection, self.parts.transactional_id, self, clock=time.monotonic)
            if self._stopped_early.is_set():
                self.lane.stop()
            phase = self.lane.run()
        except BaseException as error:  # noqa: BLE001 - the lane's supervisor: every failure is reported
            self._failed(error)
            return
        self._moved("FINISHED" if phase is Phase.FINISHED else "CANCELED")

    def _failed(self, error: BaseException) -> None:
        failure = describe(error)
        if not failure.user:
            traceback.print_exception(error, file=sys.__stderr__)
        self._moved(
            "FAILED",
            error=failure.error,
            traceback=failure.traceback,
            user=failure.user,
            retryable=failure.retryable,
            code=failure.code,
            committed=self.lane is not None and self.lane.progressed,
        )


class Worker:
    """The process: commands in, heartbeats and metrics out, a watchdog over transactions."""

    def __init__(self, fd: int) -> None:
        self._reports = Reports(fd)
        self._namespace = os.environ.get("HEADRACE_NAMESPACE", "headrace")
        self._connection = KafkaLaneConnection(
            os.environ["HEADRACE_BOOTSTRAP"], json.loads(os.environ.get("HEADRACE_KAFKA") or "{}")
        )
        self._output = capture(Path(os.environ.get("HEADRACE_OUTPUT", os.devnull)))
        self._lanes: dict[str, RunningLane] = {}
        self._started_s = time.monotonic()
        self._wall_offset_s = time.time() - self._started_s

    def run(self) -> None:
        """Until stdin closes or Exit comes."""
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()
        housekeeping = Housekeeping(self._connection, self._alive, time.monotonic)
        decoder = pipe.Decoder(pipe.Down)
        stdin = sys.stdin.fileno()
        beat_s = metrics_s = 0.0
        while True:
            now_s = time.monotonic()
            if now_s >= beat_s:
                self._reports.send(pipe.Heartbeat(os.getpid()))
                beat_s = now_s + HEARTBEAT_S
            if now_s >= metrics_s:
                self._reports.send(pipe.Metrics(self._metrics(now_s), sum(os.times()[:2])))
                metrics_s = now_s + METRICS_S
            wait_s = max(0.0, min(beat_s, metrics_s) - time.monotonic())
            if not select.select([stdin], [], [], wait_s)[0]:
                continue
            data = os.read(stdin, 1 << 16)
            if not data:
                os._exit(EXIT_PIPE_CLOSED)
            for message in decoder.feed(data):
                if isinstance(message, pipe.Exit):
                    housekeeping.close()
                    self._exit()
                self._command(message)

    def _command(self, message: object) -> None:
        if isinstance(message, pipe.StartLane):
            task = message.task
            self._prepare(task)
            old = self._lanes.get(task.lane)
            if old is not None and old.thread.is_alive():
                old.stop()
                old.thread.join(DEADLINE_S)
            lane = RunningLane(task, self._connection, self._namespace, self._reports, self._output)
            self._lanes[task.lane] = lane
            lane.thread.start()
            return
        if isinstance(message, pipe.StopLane | pipe.ResumeLane):
            running = self._lanes.get(message.lane)
            if running is None or running.task.attempt != message.attempt:
                return
            if isinstance(message, pipe.StopLane):
                running.stop()
            else:
                running.resume()

    def _prepare(self, task: pipe.LaneTask) -> None:
        """What the job brings, once: a worker serves one job for its whole life."""
        if self._lanes:
            return
        job_code.add_paths(task.paths)
        if (warning := job_code.warning(task.packages)) is not None:
            self._output.line("log", warning)

    def _exit(self) -> None:
        for running in self._lanes.values():
            running.stop()
        for running in self._lanes.values():
            running.thread.join(DEADLINE_S)
        os._exit(EXIT_PIPE_CLOSED)

    def _alive(self) -> Iterable[tuple[TaskParts, Lane]]:
        return [(r.parts, r.lane) for r in list(self._lanes.values()) if r.parts is not None and r.lane is not None]

    def _watch(self) -> None:
        """Ends the process when a transaction call does not come back."""
        while True:
            time.sleep(0.25)
            for _, lane in self._alive():
                began_s = lane.helper.call_began_s
                if began_s is not None and time.monotonic() - began_s > DEADLINE_S:
                    print(f"{lane.parts.name}: a transaction call did not return in {DEADLINE_S:.0f} s", flush=True)
                    os._exit(EXIT_DEADLINE)

    def _metrics(self, now_s: float) -> dict[str, bytes]:
        metrics: dict[str, bytes] = {}
        for running in list(self._lanes.values()):
            lane = running.lane
            if lane is None:
                continue
            name = running.task.lane
            rate = running.rate.per_s(now_s, lane.records_in)
            metrics[name] = json.dumps(
                {
                    "attempt": running.task.attempt,
                    "commits": lane.commits,
                    "progressed": lane.progressed,
                    "records_in": lane.records_in,
                    "records_out": lane.records_out,
                    "records_in_per_s": round(rate, 1),
                    "late_dropped": 0 if running.parts is None else running.parts.late_dropped,
                    "user": {} if running.parts is None else running.parts.user_metrics(),
                    "watermark_ms": lane.watermark_ms(),
                    "lag": lane.lag(),
                    "reason": lane.reason,
                    "first_read_ms": self._wall_ms(lane.first_read_s),
                    "last_commit_ms": self._wall_ms(lane.last_commit_s),
                    "at_ms": self._wall_ms(now_s),
                }
            ).encode()
        return metrics

    def _wall_ms(self, monotonic_s: float) -> int:
        return round((monotonic_s + self._wall_offset_s) * 1000) if monotonic_s else 0


def main() -> None:
    faulthandler.enable()
    gc.set_threshold(100_000, 20, 100)  # batches of fresh records are no garbage; collections scan them for nothing
    worker = Worker(int(sys.argv[1]))
    gc.collect()
    gc.freeze()
    worker.run()


if __name__ == "__main__":
    main()
