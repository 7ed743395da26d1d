"""What user code prints, from the workers' output files to ``<ns>.logs``.

A line in a file is ``lane TAB attempt TAB stream TAB text``; the worker keeps the file bounded by renaming it to
``<name>.1`` (headrace.runtime.output). Shipping is bounded too: BYTES_PER_S on average, the rest is counted as
dropped. Nothing waits for the log: lines that it does not take are dropped and counted.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Literal, cast

import structlog

from headrace.clock import monotonic_s, now_ms
from headrace.log.control import ControlLog, LogUnavailableError
from headrace.protocol.control import LogLines
from headrace.protocol.topics import home_partition

log = structlog.get_logger(__name__)

BYTES_PER_S = 1_000_000
#: A burst of so many bytes passes after a quiet time.
BURST_BYTES = 1_000_000
#: One file is read at most so far in one go.
READ_BYTES_MAX = 4_000_000
MESSAGE_BYTES_MAX = 500_000
SHIP_S = 0.25
APPEND_TIMEOUT_S = 5.0

STREAMS = ("stdout", "stderr", "log")
Mark = tuple[str, str, str]  #: lane, attempt, stream


class OutputFile:
    """Reads one output file on, across its renaming."""

    def __init__(self, path: Path, job_id: str) -> None:
        self.job_id = job_id
        self._path = path
        self._file: BinaryIO | None = None
        self._rest = b""

    def lines(self) -> list[tuple[Mark, str]]:
        """Whole lines since the last call, at most READ_BYTES_MAX of them."""
        data = self._rest + self._read(READ_BYTES_MAX)
        *whole, self._rest = data.split(b"\n")
        if len(self._rest) > READ_BYTES_MAX:
            self._rest = b""  # no line is that long: not our format
        return [parsed for raw in whole if (parsed := _parse(raw)) is not None]

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _read(self, bytes_max: int) -> bytes:
        if self._file is None:
            try:
                self._file = open(self._path, "rb")  # noqa: SIM115 - kept open between calls
            except OSError:  # not there yet, or not to be opened now: later
                return b""
        data = self._file.read(bytes_max)
        if len(data) < bytes_max and self._renamed():
            self._file.close()
            self._file = None
            return data + self._read(bytes_max - len(data))
        return data

    def _renamed(self) -> bool:
        assert self._file is not None
        try:
            return os.fstat(self._file.fileno()).st_ino != self._path.stat().st_ino
        except FileNotFoundError:
            return False  # between the worker's two steps


def _parse(raw: bytes) -> tuple[Mark, str] | None:
    parts = raw.decode(errors="replace").split("\t", 3)
    if len(parts) < 4 or parts[2] not in STREAMS:
        return None
    return (parts[0], parts[1], parts[2]), parts[3]


@dataclass
class _Batch:
    lines: list[str] = field(default_factory=list)
    size: int = 0
    dropped: int = 0


class OutputShipping:
    """Ships for all workers of one TaskManager; ``follow`` and ``leave`` say which there are."""

    def __init__(self, control: ControlLog, topic: str, partitions: int, taskmanager: str) -> None:
        self._log = control
        self._topic = topic
        self._partitions = partitions
        self._taskmanager = taskmanager
        self._files: dict[int, OutputFile] = {}
        self._left: list[OutputFile] = []
        self._budget = float(BURST_BYTES)
        self._filled_s = monotonic_s()
        self._dropped: dict[tuple[str, Mark], int] = {}

    def follow(self, serial: int, path: Path, job_id: str) -> None:
        if serial not in self._files:
            self._files[serial] = OutputFile(path, job_id)

    def leave(self, serial: int) -> None:
        """The worker is gone; what it wrote is still shipped."""
        if (file := self._files.pop(serial, None)) is not None:
            self._left.append(file)

    async def run(self) -> None:
        while True:
            await self.ship()
            await asyncio.sleep(SHIP_S)

    async def ship(self) -> None:
        """Everything written so far, as far as the rate allows."""
        left, self._left = self._left, []
        batches: dict[tuple[str, Mark], _Batch] = {}
        self._refill()
        for file in [*self._files.values(), *left]:
            for mark, text in await asyncio.to_thread(file.lines):
                self._take(batches.setdefault((file.job_id, mark), _Batch()), text)
        for file in left:
            file.close()
        await asyncio.gather(*(self._send(*key, batch) for key, batch in batches.items()))

    def _refill(self) -> None:
        now_s = monotonic_s()
        self._budget = min(BURST_BYTES, self._budget + (now_s - self._filled_s) * BYTES_PER_S)
        self._filled_s = now_s

    def _take(self, batch: _Batch, text: str) -> None:
        size = len(text) + 1
        if size > self._budget or batch.size + size > MESSAGE_BYTES_MAX:
            batch.dropped += 1
            return
        self._budget -= size
        batch.size += size
        batch.lines.append(text)

    async def _send(self, job_id: str, mark: Mark, batch: _Batch) -> None:
        lane, attempt, stream = mark
        dropped = batch.dropped + self._dropped.pop((job_id, mark), 0)
        message = LogLines(
            job_id=job_id,
            lane=lane,
            attempt=attempt,
            taskmanager=self._taskmanager,
            stream=cast(Literal["stdout", "stderr", "log"], stream),
            lines=batch.lines,
            dropped=dropped,
            at_ms=now_ms(),
        )
        partition = home_partition(job_id, self._partitions)
        try:
            await self._log.append(
                self._topic, partition, job_id, message.model_dump_json().encode(), timeout_s=APPEND_TIMEOUT_S
            )
        except LogUnavailableError as error:
            log.debug("output.dropped", lines=len(batch.lines), error=str(error))
            self._dropped[job_id, mark] = dropped + len(batch.lines)
