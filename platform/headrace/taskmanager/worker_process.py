"""One slot worker as a process: pipes to talk to it, files for what it prints, its end.

stdin          commands; closed when this process ends, which ends the worker
pipe "up"      what the worker says; its descriptor is the worker's last argument
<n>.out        print and logging of user code, line by line (headrace.runtime.output)
<n>.raw        stdout and stderr of the process itself: C libraries, crash reports; kept below RAW_BYTES_MAX
<n>.pid        process id and its start time, so that a successor can tell it from a stranger
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil
import structlog

from headrace.protocol.worker_pipe import Decoder, Down, Up, frame

log = structlog.get_logger(__name__)

#: What a dead process has said is read for at most this long: a child of its own may hold the pipe open.
DRAIN_S = 0.5
RAW_BYTES_MAX = 10_000_000
TAIL_BYTES = 4_000


class WorkerProcess:
    """A running process. ``listen`` says who hears it; what it said before is not kept."""

    def __init__(self, number: int, directory: Path, process: asyncio.subprocess.Process) -> None:
        self.number = number
        self.pid = process.pid
        self.output = directory / f"{number}.out"
        self.raw = directory / f"{number}.raw"
        self._note = directory / f"{number}.pid"
        self._process = process
        self._up = _UpPipe(self)
        self.hear: Callable[[Up], None] = _nobody

    @classmethod
    async def launch(
        cls, number: int, directory: Path, command: Sequence[str], environment: Mapping[str, str]
    ) -> WorkerProcess:
        """Start it. Raises OSError."""
        raw_fd = os.open(directory / f"{number}.raw", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        read_fd, write_fd = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                str(write_fd),
                stdin=asyncio.subprocess.PIPE,
                stdout=raw_fd,
                stderr=raw_fd,
                pass_fds=(write_fd,),
                env={**environment, "HEADRACE_OUTPUT": str(directory / f"{number}.out")},
                start_new_session=True,  # Ctrl-C in a terminal is for the TaskManager alone
            )
        except BaseException:
            os.close(read_fd)
            raise
        finally:
            os.close(write_fd)
            os.close(raw_fd)
        worker = cls(number, directory, process)
        worker._write_note()
        await asyncio.get_running_loop().connect_read_pipe(lambda: worker._up, os.fdopen(read_fd, "rb", 0))
        return worker

    def send(self, message: Down) -> None:
        """Without waiting; lost when the process is gone."""
        stdin = self._process.stdin
        if stdin is not None and not stdin.is_closing():
            stdin.write(frame(message))

    def kill(self) -> None:
        """SIGKILL to the process and every child of its own session."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    async def ended(self) -> str:
        """Wait for its end, and until everything it said was heard. "SIGKILL", "exit status 3"."""
        status = await self._process.wait()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_S):
                await self._up.closed.wait()
        self._up.close()
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._note.unlink(missing_ok=True)
        return f"exit status {status}" if status >= 0 else signal.Signals(-status).name

    def tail(self) -> str:
        """The last lines that the process itself left on stdout and stderr."""
        try:
            with open(self.raw, "rb") as raw:
                raw.seek(max(0, os.fstat(raw.fileno()).st_size - TAIL_BYTES))
                return raw.read().decode(errors="replace").strip()
        except OSError:
            return ""

    def trim_raw(self) -> None:
        """Begin the raw file again when it has grown too long; its last part moves to ``<n>.raw.1``."""
        try:
            if self.raw.stat().st_size > RAW_BYTES_MAX:
                self.raw.with_name(f"{self.raw.name}.1").write_text(self.tail())
                os.truncate(self.raw, 0)  # the process appends
        except OSError as error:
            log.warning("worker.raw_not_trimmed", number=self.number, error=str(error))

    def _write_note(self) -> None:
        try:
            self._note.write_text(f"{self.pid} {psutil.Process(self.pid).create_time()}")
        except (psutil.NoSuchProcess, OSError) as error:
            log.warning("worker.no_note", pid=self.pid, error=str(error))


class _UpPipe(asyncio.Protocol):
    """Cuts the pipe into messages."""

    def __init__(self, worker: WorkerProcess) -> None:
        self.closed = asyncio.Event()
        self._worker = worker
        self._decoder = Decoder(Up)
        self._transport: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        try:
            for message in self._decoder.feed(data):
                self._worker.hear(message)  # type: ignore[arg-type]  # the decoder yields Up only
        except ValueError as error:  # msgspec's errors are ValueErrors
            log.error("worker.unreadable", number=self._worker.number, error=str(error))
            self._worker.kill()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed.set()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


def _nobody(message: Up) -> None:
    pass


def kill_leftovers(directory: Path) -> None:
    """Kill workers that outlived an earlier TaskManager of this id, and remove their files.

    They end by themselves when their stdin closes, unless they are stuck or stopped.
    """
    for note in directory.glob("*.pid"):
        with contextlib.suppress(ValueError, psutil.NoSuchProcess, ProcessLookupError):
            pid, created = note.read_text().split()
            if abs(psutil.Process(int(pid)).create_time() - float(created)) < 1.0:
                log.warning("worker.leftover_killed", pid=int(pid))
                os.killpg(int(pid), signal.SIGKILL)
    for file in directory.iterdir():
        file.unlink(missing_ok=True)
