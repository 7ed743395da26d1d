"""Programs as they are written for PyFlink, imports changed, against what they should print."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent

#: anna's 210 of 5000 is above the total of its time; ben's 260 of 7000 is above neither: single is 400 by then.
ALERTS = [
    "2000 ben: single 250 > 200",
    "3000 anna: total 170 > 160",
    "4000 ben: total 340 > 160",
    "5000 anna: total 210 > 160",
    "6000 carl: single 500 > 400",
    "6000 carl: total 500 > 160",
]


def test_rules_that_change(tmp_path: Path) -> None:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("HEADRACE_")}
    done = subprocess.run(
        [sys.executable, HERE / "broadcast_rules.py"],
        cwd=tmp_path,
        env={**kept, "HEADRACE_STATE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert sorted(re.sub("^[12]> ", "", line) for line in done.stdout.splitlines()) == ALERTS
