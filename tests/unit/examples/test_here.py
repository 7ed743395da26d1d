"""Examples as ``python examples/X.py``, without any server. Both ways: tests/e2e/test_examples.py."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.documents import ROOT

WAIT_S = 60.0


@contextmanager
def running(state_dir: Path, name: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The example in a process that knows no cluster."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("HEADRACE_")}
    process = subprocess.Popen(
        [sys.executable, ROOT / "examples" / name, *arguments],
        cwd=state_dir,
        env={**kept, "HEADRACE_STATE_DIR": str(state_dir)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.timeout(WAIT_S)
def test_live_monitoring_ends_cleanly_on_ctrl_c(tmp_path: Path) -> None:
    with running(tmp_path, "monitoring.py", "--interval-ms", "100", "--window-ms", "300") as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        assert first.startswith("window> {'host': "), first
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=WAIT_S)
    assert (process.returncode, stderr) == (130, "interrupted\n")
    assert all(line.startswith(("window> ", "ALERT> ")) for line in stdout.splitlines())


@pytest.mark.timeout(WAIT_S)
@pytest.mark.parametrize("name", ["flights.py", "keyed_count.py", "running_totals.py"])
def test_a_job_of_topics_without_kafka_is_told_what_to_do(tmp_path: Path, name: str) -> None:
    with running(tmp_path, name) as process:
        stdout, stderr = process.communicate(timeout=WAIT_S)
    assert (process.returncode, stdout) == (2, "")
    assert stderr.startswith("error: ") and "kafka-not-named" in stderr and "streamctl up" in stderr
    assert "Traceback" not in stderr


@pytest.mark.timeout(WAIT_S)
def test_a_reader_that_goes_away_ends_the_job_without_a_word(tmp_path: Path) -> None:
    """As in ``python examples/monitoring.py | head -1``."""
    with running(tmp_path, "monitoring.py", "--interval-ms", "100", "--window-ms", "200") as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline()
        process.stdout.close()
        assert process.wait(WAIT_S) == 128 + signal.SIGPIPE
        assert process.stderr.read() == ""
