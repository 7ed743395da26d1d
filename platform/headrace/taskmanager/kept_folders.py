"""Folders that are costly to make, kept by name; the ones used last, up to a bound.

Several TaskManagers of a host may share one place. A folder is made once, beside its place, and renamed into it: one
that is there is whole. Whoever uses one touches it; only folders that nobody has touched for IDLE_S are removed.

    <name>            a folder; its time of change is that of its last use
    .<name>.lock      held while it is made or removed; the kernel frees it
    .new-*            being made, or left by a process that died
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from pathlib import Path

import structlog
from filelock import FileLock, Timeout

from headrace.clock import now_ms

log = structlog.get_logger(__name__)

#: A folder nobody has touched for so long is not in use; its users touch it every TOUCH_S.
IDLE_S = 3_600.0
TOUCH_S = 600.0
#: Somebody else's making is looked at this often.
LOCK_POLL_S = 0.2

#: Makes the content of the folder it is given, which does not exist yet; its parent is scratch.
Make = Callable[[Path], Awaitable[None]]


class KeptFolders:
    """``kept_max`` folders are kept, and those in use."""

    def __init__(self, directory: Path, kept_max: int) -> None:
        self._directory = directory
        self._kept_max = kept_max

    async def folder(self, name: str, make: Make) -> Path:
        """The folder ``name``, made if it is not there. Raises OSError, and what ``make`` raises."""
        self._directory.mkdir(parents=True, exist_ok=True)
        path = self._directory / name
        async with self._locked(name):
            if path.is_dir():
                os.utime(path)
                return path
            scratch = Path(tempfile.mkdtemp(prefix=".new-", dir=self._directory))
            try:
                await make(scratch / name)
                os.utime(scratch / name)
                os.rename(scratch / name, path)
            finally:
                await asyncio.to_thread(shutil.rmtree, scratch, ignore_errors=True)
        await asyncio.to_thread(self._trim)
        return path

    def touch(self, names: Iterable[str]) -> None:
        """Say that these are in use; one that is gone is no matter."""
        for name in names:
            with contextlib.suppress(OSError):
                os.utime(self._directory / name)

    def _lock(self, name: str) -> FileLock:
        return FileLock(self._directory / f".{name}.lock")

    @contextlib.asynccontextmanager
    async def _locked(self, name: str) -> AsyncIterator[None]:
        lock = self._lock(name)
        while True:
            try:
                lock.acquire(blocking=False)
                break
            except Timeout:
                await asyncio.sleep(LOCK_POLL_S)
        try:
            yield
        finally:
            lock.release()

    def _trim(self) -> None:
        """Remove what is too much and idle, and what died half made."""
        aged = sorted((_changed_s(path), path) for path in self._directory.iterdir() if path.is_dir())
        kept = [(at, path) for at, path in aged if not path.name.startswith(".")]
        excess = kept[: max(0, len(kept) - self._kept_max)]
        half_made = [(at, path) for at, path in aged if path.name.startswith(".new-")]
        idle_since_s = now_ms() / 1000 - IDLE_S
        for _, path in [each for each in [*excess, *half_made] if each[0] < idle_since_s]:
            self._remove(path, idle_since_s)

    def _remove(self, path: Path, idle_since_s: float) -> None:
        lock = self._lock(path.name)
        try:
            with lock.acquire(blocking=False):
                if _changed_s(path) < idle_since_s:
                    log.info("folder.removed", path=str(path))
                    shutil.rmtree(path, ignore_errors=True)
        except Timeout:
            return  # somebody has just found a use for it


def _changed_s(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
