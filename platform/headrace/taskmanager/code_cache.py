"""Code packages of jobs: fetched from ``<ns>.artifacts``, verified, kept in the cache directory by their sha256.

A package lies in chunks keyed "<sha256>/<chunk>" from the offset that the plan names. When it was uploaded again
and compaction removed the old chunks, or another upload came between them, the partition is searched for them.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import tempfile
from pathlib import Path

import structlog

from headrace.log.control import ControlLog, ControlRecord
from headrace.log.insist import insist
from headrace.protocol.submission import UploadedCode

log = structlog.get_logger(__name__)

#: The files used last are kept, up to so many.
FILES_MAX = 100
#: Records read at once in a search; a chunk has up to 900 kB.
WINDOW = 50


class CodeMissingError(Exception):
    """The package is not in the log: it was never uploaded there, or was removed."""


class CodeCache:
    """One directory of packages; several processes may share it."""

    def __init__(self, control: ControlLog, topic: str, directory: Path, *, files_max: int = FILES_MAX) -> None:
        self._log = control
        self._topic = topic
        self._directory = directory
        self._files_max = files_max

    async def path(self, code: UploadedCode) -> Path:
        """A local file with exactly this package. Waits for the log as long as it takes.

        Raises CodeMissingError when the log does not hold it, OSError when the directory cannot be written.
        """
        path = self._directory / code.sha256
        if await asyncio.to_thread(_holds, path, code.sha256):
            os.utime(path)
            return path
        data = await self._chunks_at(code)
        if data is None:
            log.info("code.search", sha256=code.sha256, offset=code.offset)
            data = await self._search(code)
        await asyncio.to_thread(self._write, path, data)
        return path

    async def _chunks_at(self, code: UploadedCode) -> bytes | None:
        """The package where the plan says it lies."""
        start, end = code.offset, code.offset + code.chunks
        end = min(end, await insist(lambda: self._log.end_offset(self._topic, code.partition)))
        records = await insist(lambda: self._log.read(self._topic, code.partition, start, end))
        if [record.key for record in records] != [f"{code.sha256}/{n}" for n in range(code.chunks)]:
            return None
        return _verified(code, [record.value for record in records])

    async def _search(self, code: UploadedCode) -> bytes:
        """The newest chunks of the package, wherever they lie."""
        wanted = {f"{code.sha256}/{n}": n for n in range(code.chunks)}
        found: list[bytes | None] = [None] * code.chunks
        end = await insist(lambda: self._log.end_offset(self._topic, code.partition))
        for start in range(0, end, WINDOW):
            for record in await self._window(code.partition, start, min(start + WINDOW, end)):
                if record.key in wanted:
                    found[wanted[record.key]] = record.value
        data = _verified(code, found)
        if data is None:
            lacking = sum(chunk is None for chunk in found)
            what = f"{lacking} of {code.chunks} chunks are missing" if lacking else "its chunks do not match its hash"
            raise CodeMissingError(f"code package {code.sha256[:12]} is not in {self._topic}: {what}")
        return data

    async def _window(self, partition: int, start: int, end: int) -> list[ControlRecord]:
        return await insist(lambda: self._log.read(self._topic, partition, start, end))

    def _write(self, path: Path, data: bytes) -> None:
        """All or nothing, also when two processes write the same package."""
        self._directory.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=self._directory, prefix=".new-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
        files = sorted((f for f in self._directory.iterdir() if f.is_file()), key=lambda f: f.stat().st_mtime)
        for old in files[: -self._files_max]:
            old.unlink(missing_ok=True)


def _holds(path: Path, sha256: str) -> bool:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest() == sha256
    except FileNotFoundError:
        return False


def _verified(code: UploadedCode, chunks: list[bytes | None]) -> bytes | None:
    if any(chunk is None for chunk in chunks):
        return None
    data = b"".join(chunk for chunk in chunks if chunk is not None)
    return data if hashlib.sha256(data).hexdigest() == code.sha256 else None
