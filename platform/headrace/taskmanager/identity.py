"""Who this TaskManager is: a stable id, an instance id per start, and a directory that one process holds.

<state dir>/taskmanagers/default-id       the id used when none is given
<state dir>/taskmanagers/<id>/lock        held by the living process; the kernel frees it
<state dir>/taskmanagers/<id>/instance    the last instance that held it
<state dir>/taskmanagers/<id>/workers/    output and process ids of slot workers
"""

from __future__ import annotations

import contextlib
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from headrace.errors import UsageError

#: A predecessor that is just ending has this long.
LOCK_TIMEOUT_S = 5.0
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


@dataclass(frozen=True)
class Identity:
    """``previous``: the instance that held the directory before; it is certainly dead. "" without one."""

    id: str
    instance: str
    previous: str
    directory: Path


@contextlib.contextmanager
def held_identity(state_dir: Path, tm_id: str | None) -> Iterator[Identity]:
    """The identity, for as long as the block runs.

    Raises UsageError: taskmanager-id-invalid, or taskmanager-id-taken when a living process here has the id.
    """
    root = state_dir / "taskmanagers"
    root.mkdir(parents=True, exist_ok=True)
    if tm_id is None:
        tm_id = _default_id(root / "default-id")
    if not _ID.fullmatch(tm_id):
        raise UsageError(
            "taskmanager-id-invalid",
            f"{tm_id!r} cannot be the id of a TaskManager",
            hint="letters, digits, '.', '_' and '-', at most 100, not beginning with a sign",
        )
    directory = root / tm_id
    (directory / "workers").mkdir(parents=True, exist_ok=True)
    lock = FileLock(directory / "lock")
    try:
        lock.acquire(timeout=LOCK_TIMEOUT_S)
    except Timeout as error:
        raise id_taken(tm_id, "a process on this machine") from error
    try:
        note = directory / "instance"
        previous = note.read_text().strip() if note.exists() else ""
        instance = uuid.uuid4().hex
        note.write_text(instance)
        yield Identity(tm_id, instance, previous, directory)
    finally:
        lock.release()


def id_taken(tm_id: str, who: str) -> UsageError:
    return UsageError(
        "taskmanager-id-taken",
        f"TaskManager {tm_id} is running already: {who}",
        hint="stop it, or give this one an id of its own (--id)",
    )


def _default_id(file: Path) -> str:
    """Made once per state directory; of two that make it at once, one wins for both."""
    with contextlib.suppress(FileExistsError), open(file, "x") as new:
        new.write(f"tm-{uuid.uuid4().hex[:8]}")
    return file.read_text().strip()
