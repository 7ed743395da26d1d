"""Uploads of code packages: checked against their hash on disk first, then into ``<ns>.artifacts`` in chunks.

Nothing reaches the topic before the whole package has the hash that names it: its chunks' keys are made of the
hash, and a wrong one would take the place of a right one.
"""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from collections.abc import AsyncIterator
from typing import IO

from headrace.errors import UnavailableError
from headrace.log.control import ControlLog
from headrace.protocol.submission import UploadedCode
from headrace.protocol.topics import Topics
from headrace.rest.errors import RequestError

CHUNK_BYTES = 900_000
PACKAGE_BYTES_MAX = 256_000_000
#: Packages up to this size stay in memory while they come in.
MEMORY_BYTES_MAX = 4_000_000
UPLOADS_AT_ONCE_MAX = 2
PARTITION = 0
#: A sender that is silent for longer is let go.
SILENT_S = 30.0


class Artifacts:
    """Takes uploads for one namespace."""

    def __init__(self, log: ControlLog, topics: Topics) -> None:
        self._log = log
        self._topic = topics.artifacts
        self._running = 0
        self._appending = asyncio.Lock()  # chunks of one package lie together

    async def upload(self, sha256: str, body: AsyncIterator[bytes]) -> UploadedCode:
        """Store a package; where it lies. Uploading the same again is safe.

        Raises RequestError ("artifact-checksum", "rest-too-large", "rest-too-slow"), UnavailableError
        ("rest-busy", "rest-no-space"), LogUnavailableError.
        """
        if self._running >= UPLOADS_AT_ONCE_MAX:
            raise UnavailableError(
                "rest-busy", f"{UPLOADS_AT_ONCE_MAX} uploads are under way", hint="send it again in a moment"
            )
        self._running += 1
        try:
            with tempfile.SpooledTemporaryFile(max_size=MEMORY_BYTES_MAX) as file:
                await self._receive(sha256, body, file)
                async with self._appending:
                    return await self._append(sha256, file)
        except OSError as error:
            raise UnavailableError(
                "rest-no-space", f"the package cannot be kept for checking: {error.strerror or error}"
            ) from error
        finally:
            self._running -= 1

    async def _receive(self, sha256: str, body: AsyncIterator[bytes], file: IO[bytes]) -> None:
        digest, size = hashlib.sha256(), 0
        try:
            while data := await asyncio.wait_for(_next(body), SILENT_S):
                size += len(data)
                if size > PACKAGE_BYTES_MAX:
                    raise RequestError("rest-too-large", f"a package has at most {PACKAGE_BYTES_MAX:,} bytes")
                digest.update(data)
                await asyncio.to_thread(file.write, data)
        except TimeoutError:
            raise RequestError("rest-too-slow", f"nothing came for {SILENT_S:.0f} s") from None
        if digest.hexdigest() != sha256:
            raise RequestError(
                "artifact-checksum",
                f"the {size:,} bytes that came have sha256 {digest.hexdigest()}, not {sha256}",
                hint="nothing was stored; send the package that the address names",
            )

    async def _append(self, sha256: str, file: IO[bytes]) -> UploadedCode:
        await asyncio.to_thread(file.seek, 0)
        first, chunks = 0, 0
        while (chunk := await asyncio.to_thread(file.read, CHUNK_BYTES)) or not chunks:
            offset = await self._log.append(self._topic, PARTITION, f"{sha256}/{chunks}", chunk)
            first = first if chunks else offset
            chunks += 1
        return UploadedCode(sha256=sha256, partition=PARTITION, offset=first, chunks=chunks)


async def _next(body: AsyncIterator[bytes]) -> bytes:
    """The next bytes that are any, empty at the end."""
    async for data in body:
        if data:
            return data
    return b""
