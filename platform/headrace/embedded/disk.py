"""Directories and free space, seen to before something is written that must not stop half-way."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from headrace.errors import HeadraceError

_MB = 1_000_000


def require_free_space(directory: Path, need_bytes: int, purpose: str) -> None:
    """Raise HeadraceError ``disk-full`` when the file system of ``directory`` has less than ``need_bytes`` free."""
    free = shutil.disk_usage(directory).free
    if free < need_bytes:
        raise HeadraceError(
            "disk-full",
            f"{purpose} needs {need_bytes // _MB} MB, {free // _MB} MB are free in {directory}",
            hint="free some space, or choose another place with HEADRACE_STATE_DIR or HEADRACE_CACHE_DIR",
        )


def make_directory(directory: Path) -> None:
    """Make it with its parents. Raises HeadraceError ``directory-unusable``."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HeadraceError(
            "directory-unusable",
            f"cannot make {directory}: {error.strerror}",
            hint="choose another place with HEADRACE_STATE_DIR or HEADRACE_CACHE_DIR",
        ) from error
    if not os.access(directory, os.W_OK | os.X_OK):
        raise HeadraceError(
            "directory-unusable",
            f"cannot write to {directory}",
            hint="choose another place with HEADRACE_STATE_DIR or HEADRACE_CACHE_DIR",
        )
