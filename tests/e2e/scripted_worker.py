"""A slot worker without lanes: speaks the pipe protocol and does what the job's config says of each lane.

config["script v0/0"]   run       report RUNNING, metrics with a commit, CANCELED on StopLane (the default)
                        finish    report FINISHED
                        raise     report FAILED out of user code
                        fenced    report LaneFenced; FINISHED on ResumeLane
                        stuck     like run, but never answer StopLane
                        silent    the whole process says nothing more
                        print X   write a line X for the lane, then run
                        code      write a line with the contents of the job's code package, then run
"A, B"                  A in the first local attempt, B in later ones
"""

from __future__ import annotations

import os
import select
import sys
from pathlib import Path

from headrace.protocol import worker_pipe as pipe
from headrace.protocol.control import LaneMetrics

BEAT_S = 0.2


class ScriptedWorker:
    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._silent = False
        self._running: dict[str, pipe.LaneTask] = {}
        self._scripts: dict[str, str] = {}

    def run(self) -> None:
        decoder = pipe.Decoder(pipe.Down)
        while True:
            self._send(pipe.Heartbeat(os.getpid()))
            for task in list(self._running.values()):
                self._look_for_flag(task)
            self._send(pipe.Metrics({name: self._metrics(task) for name, task in self._running.items()}, 0.0))
            if not select.select([0], [], [], BEAT_S)[0]:
                continue
            data = os.read(0, 1 << 16)
            if not data:
                os._exit(0)
            for message in decoder.feed(data):
                self._command(message)

    def _command(self, message: object) -> None:
        match message:
            case pipe.Exit():
                os._exit(0)
            case pipe.StartLane(task):
                self._start(task)
            case pipe.StopLane(lane, attempt) if self._scripts.get(lane) != "stuck":
                self._running.pop(lane, None)
                self._send(pipe.LaneMoved(lane, attempt, "CANCELED"))
            case pipe.ResumeLane(lane, attempt):
                self._send(pipe.LaneMoved(lane, attempt, "FINISHED"))
            case _:
                pass

    def _start(self, task: pipe.LaneTask) -> None:
        scripts = task.config.get(f"script {task.lane}", "run").split(", ")
        script = scripts[min(int(task.attempt.split(".")[1]), len(scripts) - 1)]
        self._scripts[task.lane] = script
        self._send(pipe.LaneMoved(task.lane, task.attempt, "INITIALIZING"))
        if script.startswith("print "):
            self._print(task, script.removeprefix("print "))
        if script == "code":
            self._print(task, Path(task.code).read_text())
        if script == "finish":
            self._send(pipe.LaneMoved(task.lane, task.attempt, "FINISHED"))
        elif script == "raise":
            self._send(
                pipe.LaneMoved(
                    task.lane, task.attempt, "FAILED", error="ValueError: no", traceback="job.py: line 1", user=True
                )
            )
        else:
            self._running[task.lane] = task
            self._send(pipe.LaneMoved(task.lane, task.attempt, "RUNNING"))
        if script == "fenced":
            self._send(pipe.LaneFenced(task.lane, task.attempt))
        self._silent = self._silent or script == "silent"

    def _look_for_flag(self, task: pipe.LaneTask) -> None:
        script = self._scripts[task.lane]
        if script.startswith("fenced ") and Path(script.removeprefix("fenced ")).exists():
            self._scripts[task.lane] = "fenced"
            self._send(pipe.LaneFenced(task.lane, task.attempt))

    def _print(self, task: pipe.LaneTask, text: str) -> None:
        with open(os.environ["HEADRACE_OUTPUT"], "a") as file:
            file.write(f"{task.lane}\t{task.attempt}\tstdout\t{text}\n")

    def _metrics(self, task: pipe.LaneTask) -> bytes:
        return LaneMetrics(attempt=task.attempt, commits=1, progressed=True, records_in=7).model_dump_json().encode()

    def _send(self, message: pipe.Up) -> None:
        if not self._silent:
            data = pipe.frame(message)
            while data:
                data = data[os.write(self._fd, data) :]


if __name__ == "__main__":
    ScriptedWorker(int(sys.argv[1])).run()
