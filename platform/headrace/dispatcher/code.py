"""Moves code that came inside a submission to ``<ns>.artifacts``, where workers look for it."""

from __future__ import annotations

import base64

from headrace.log.control import ControlLog
from headrace.log.insist import insist
from headrace.protocol.submission import InlineCode, UploadedCode
from headrace.protocol.topics import Topics

CHUNK_BYTES = 900_000
PARTITION = 0


async def upload(control: ControlLog, topics: Topics, code: InlineCode) -> UploadedCode:
    """Append the code in chunks keyed ``<sha256>/<chunk>``; where it lies.

    Another upload may come between two chunks: readers check keys, and look for the chunks when offsets do not
    follow each other. Uploading again is safe.
    """
    data = base64.b64decode(code.data)
    chunks = [data[i : i + CHUNK_BYTES] for i in range(0, len(data), CHUNK_BYTES)] or [b""]
    offsets = [await _append(control, topics, f"{code.sha256}/{n}", chunk) for n, chunk in enumerate(chunks)]
    return UploadedCode(sha256=code.sha256, partition=PARTITION, offset=offsets[0], chunks=len(chunks))


async def _append(control: ControlLog, topics: Topics, key: str, chunk: bytes) -> int:
    return await insist(lambda: control.append(topics.artifacts, PARTITION, key, chunk))
