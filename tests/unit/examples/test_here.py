"""Examples as ``python examples/X.py``, without any server. Both ways: tests/e2e/test_examples.py."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from examples import shop
from tests.documents import ROOT
from tests.example_oracles import shop_products, sorted_rows

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


@pytest.mark.timeout(WAIT_S)
def test_a_late_event_of_the_shop_is_counted_or_reported(tmp_path: Path) -> None:
    """Which ones come too late depends on how fast the job runs; that each is in exactly one place does not."""
    with running(tmp_path, "analytics.py", "--seed", "3", "--late-share", "0.05", "--rate", "1000") as process:
        stdout, stderr = process.communicate(timeout=WAIT_S)
    assert (process.returncode, stderr) == (0, "")
    printed = defaultdict(list)
    for line in stdout.splitlines():
        label, _, row = line.partition("> ")
        printed[label].append(ast.literal_eval(row))
    late = defaultdict(list)
    for row in printed["late"]:
        late[row.pop("missed")].append(row)
    events = shop.events(3, late_share=0.05)
    assert late["session"] and late["hour"]

    reported = Counter(map(repr, late["hour"]))
    in_time = [event for event in events if event["kind"] != "order" or not reported[repr(event)]]
    assert len(events) - len(in_time) == len(late["hour"])
    assert sorted_rows(printed["products"]) == sorted_rows(shop_products(in_time))

    steps = Counter((row["user"], page) for row in printed["sessions"] for page in row["path"])
    steps.update((event["user"], _step(event)) for event in late["session"] if event["kind"] != "user")
    assert steps == Counter((event["user"], _step(event)) for event in events if event["kind"] != "user")
    assert sum(row["visit"] for row in printed["funnel"]) == len(printed["sessions"])


def _step(event: dict[str, str]) -> str:
    return event.get("page", "order")
