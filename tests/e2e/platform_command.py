"""``streamctl`` as a process, against the platform under test."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headrace.embedded.cluster import Addresses

WAIT_S = 120.0


@dataclass(frozen=True)
class Said:
    """How one run ended."""

    status: int
    stdout: str
    stderr: str

    @property
    def last(self) -> Any:
        """The last object that a run with --json printed."""
        assert self.stdout.strip(), self
        return json.loads(self.stdout.splitlines()[-1])


def environment(addresses: Addresses, state_dir: Path) -> dict[str, str]:
    """Variables that name a cluster, whatever this machine has else."""
    return {
        **{key: value for key, value in os.environ.items() if not key.startswith("HEADRACE_")},
        "HEADRACE_BOOTSTRAP": addresses.bootstrap,
        "HEADRACE_REDIS": addresses.redis,
        "HEADRACE_REST": addresses.rest,
        "HEADRACE_NAMESPACE": addresses.namespace,
        "HEADRACE_STATE_DIR": str(state_dir),
    }


def start(arguments: tuple[str, ...], folder: Path, variables: dict[str, str]) -> subprocess.Popen[str]:
    """Begin one run in ``folder``."""
    return subprocess.Popen(
        [sys.executable, "-c", "from streamctl.app import main; main()", *arguments],
        cwd=folder,
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def end(process: subprocess.Popen[str]) -> Said:
    """Wait for it. A run that does not end is killed and fails the test."""
    try:
        stdout, stderr = process.communicate(timeout=WAIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        stdout, stderr = process.communicate()
        raise AssertionError(f"streamctl did not end within {WAIT_S:g} s: {stdout}{stderr}") from None
    return Said(process.returncode, stdout, stderr)
