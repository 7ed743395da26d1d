"""FileSink in a lane: each record in exactly one finished part, whatever dies when.

    write     the record goes to the open part of its bucket, a file of this attempt's own in .in-progress/
    prepare   a commit is to be made: parts that are due are closed; the table says how long each open part is, and
              which closed ones are to get which final name
    committed what the table says stands: closed parts get their final names

What is beyond the committed length of an open part, or in a file that the table does not name, does not exist for
anybody. A new attempt copies the committed beginning of an open part into a file of its own, so that a stalled older
attempt that still writes to its file changes nothing. Files of older attempts are deleted only after a commit
proved that this attempt owns the lane, and only those that were there when it began: so a stalled attempt deletes
nothing of a newer one.

    table "<uid>/parts"   "open"    ─► bucket     ─► (hidden path, committed length, time of first record)
                          "closed"  ─► final path ─► hidden path
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import IO, Any
from zoneinfo import ZoneInfo

from headrace.runtime.files.disk import Disk
from headrace.runtime.state.tables import Table

HIDDEN_FOLDER = ".in-progress"
OPEN, CLOSED = "open", "closed"


@dataclass
class _Part:
    """One open part. ``length`` counts what was written; ``told`` is the length that the table has."""

    bucket: str
    path: str
    file: IO[bytes]
    length: int
    told: int
    first_ms: int
    last_ms: int


class PartFiles:
    """The parts of one FileSink in one lane; ``due``, ``prepare`` and ``committed`` as in Chain (runtime.ports)."""

    def __init__(
        self,
        params: Any,
        encode: Callable[[Any], bytes],
        table: Table,
        *,
        origin: str,
        clock_ms: Callable[[], int],
        disk: Disk | None = None,
    ) -> None:
        """``origin`` names job, incarnation, operator and lane: no other sink anywhere has the same."""
        self._base = str(params["path"])
        self._rolling = params["rolling"]
        self._stem = f"{params['prefix']}-{origin}-"
        self._suffix = str(params["suffix"])
        self._bucket_of = _bucket_of(params["bucket"])
        self._encode = encode
        self._table = table
        self._clock_ms = clock_ms
        self._disk = disk or Disk()
        self._parts: dict[str, _Part] = {}
        #: Files of earlier attempts: what is wanted of them is copied in ``open``, and the next commit lets all go.
        self._strays: list[str] = []
        self._attempt = secrets.token_hex(4)
        self._count = 0
        self._bucket, self._bucket_until_ms = "", 0

    # ---- the life of the chain

    def open(self) -> None:
        """After the state was restored."""
        self.committed()
        self._strays = self._disk.hidden(os.path.join(self._base, HIDDEN_FOLDER), self._stem)
        now_ms = self._clock_ms()
        for bucket, (path, length, first_ms) in dict(self._table.space(OPEN)).items():
            part = self._new_part(bucket, first_ms)
            self._disk.copy(path, part.file, length)
            self._disk.sync(part.file)
            part.length, part.last_ms = length, now_ms
            self._tell(part)

    def close(self) -> None:
        while self._parts:
            self._parts.popitem()[1].file.close()

    # ---- records

    def write(self, value: Any) -> None:
        data = self._encode(value)
        now_ms = self._clock_ms()
        if now_ms >= self._bucket_until_ms:
            self._bucket, self._bucket_until_ms = self._bucket_of(now_ms)
        part = self._parts.get(self._bucket) or self._new_part(self._bucket, now_ms)
        part.file.write(data)
        part.length += len(data)
        part.last_ms = now_ms

    def _new_part(self, bucket: str, first_ms: int) -> _Part:
        self._count += 1
        name = f"{self._stem}{self._attempt}-{self._count}"
        path = os.path.join(self._base, HIDDEN_FOLDER, name)
        part = _Part(bucket, path, self._disk.append(path), 0, -1, first_ms, first_ms)
        self._parts[bucket] = part
        return part

    # ---- commits

    def due(self) -> bool:
        """A part is to be closed although nothing comes any more."""
        if not self._parts:
            return False
        now_ms = self._clock_ms()
        return any(self._is_due(part, now_ms) for part in self._parts.values())

    def prepare(self, c: int, *, final: bool) -> None:
        now_ms = self._clock_ms()
        for part in list(self._parts.values()):
            if part.length == part.told and not (final or self._is_due(part, now_ms)):
                continue
            self._disk.sync(part.file)
            if final or self._rolling["every_commit"] or self._is_due(part, now_ms):
                part.file.close()
                del self._parts[part.bucket]
                self._table.delete(OPEN, part.bucket)
                self._table.put(CLOSED, self._final_path(part.bucket, c), part.path)
            else:
                self._tell(part)

    def _is_due(self, part: _Part, now_ms: int) -> bool:
        rolling = self._rolling
        return bool(
            part.length >= rolling["part_bytes"]
            or now_ms - part.first_ms >= rolling["rollover_ms"]
            or now_ms - part.last_ms >= rolling["inactivity_ms"]
        )

    def _tell(self, part: _Part) -> None:
        self._table.put(OPEN, part.bucket, (part.path, part.length, part.first_ms))
        part.told = part.length

    def committed(self) -> None:
        """Needs no ``open``: the state alone says what is to be done."""
        for final, hidden in list(self._table.space(CLOSED).items()):
            self._disk.publish(hidden, final)
            self._table.delete(CLOSED, final)
        while self._strays:
            self._disk.delete(self._strays.pop())

    def _final_path(self, bucket: str, c: int) -> str:
        return os.path.join(self._base, bucket, f"{self._stem}{c:06d}{self._suffix}")


def _bucket_of(spec: Any) -> Callable[[int], tuple[str, int]]:
    """A function of the time in ms: the bucket, and until when it is the same."""
    if spec is None:
        return lambda now_ms: ("", now_ms + 3_600_000)
    zone, form = ZoneInfo(spec["timezone"]), spec["strftime"]

    def bucket(now_ms: int) -> tuple[str, int]:
        second = now_ms // 1000
        return datetime.fromtimestamp(second, zone).strftime(form), (second + 1) * 1000

    return bucket
