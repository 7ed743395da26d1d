"""``python job.py``: mistakes are told in a line each, as early as they are made; a forgotten execute() is said."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HEAD = (
    "from headrace.datastream import StreamExecutionEnvironment\n"
    "env = StreamExecutionEnvironment.get_execution_environment()\n"
)


def run(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    (folder / "job.py").write_text(HEAD + text)
    return subprocess.run([sys.executable, "job.py"], cwd=folder, capture_output=True, text=True, timeout=60)


def test_a_call_that_cannot_work_is_one_line_with_the_users_line(tmp_path: Path) -> None:
    done = run(tmp_path, "env.from_collection([1]).map(5)\n")
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1, done.stderr
    assert done.stderr.startswith("error: function-invalid: ") and "job.py:3" in done.stderr


def test_a_function_that_cannot_be_shipped_is_one_line_with_the_way_out(tmp_path: Path) -> None:
    done = run(
        tmp_path,
        "import threading\nlock = threading.Lock()\ndef guarded(x):\n    with lock:\n        return x\n"
        "env.from_collection([1]).map(guarded).print()\nenv.execute('x')\n",
    )
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1, done.stderr
    assert done.stderr.startswith("error: function-not-picklable: map 'guarded' at job.py:8: ")
    assert "global 'lock'" in done.stderr and "open()" in done.stderr


def test_a_function_that_uses_a_stream_is_told_what_streams_are_for(tmp_path: Path) -> None:
    done = run(tmp_path, "s = env.from_collection([1])\ns.map(lambda x: s).print()\nenv.execute('x')\n")
    assert "cannot pickle 'DataStream' object held by global 's' - env and streams only put" in done.stderr


def test_streams_that_are_never_executed_are_said(tmp_path: Path) -> None:
    done = run(tmp_path, "env.from_collection([1]).print()\n")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith("warning: script-no-execute: ") and 'env.execute("name")' in done.stderr


def test_nothing_is_said_when_the_script_executed_or_failed_by_itself(tmp_path: Path) -> None:
    executed = run(tmp_path, "env.from_collection([1]).print()\nenv.execute('x')\n")
    assert (executed.stdout, executed.stderr) == ("1\n", "")
    failed = run(tmp_path, "env.from_collection([1]).print()\n1 / 0\n")
    assert failed.returncode == 1
    assert failed.stderr.startswith("Traceback") and failed.stderr.strip().endswith(
        "ZeroDivisionError: division by zero"
    )
