"""Programs as PyFlink's users write them, with their imports changed, give what they gave."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.unit.ports import click_sessions, fraud_check

from headrace.datastream import StreamExecutionEnvironment


def collected(build: Any) -> list[str]:
    env = StreamExecutionEnvironment.get_execution_environment()
    env.set_parallelism(1)
    with build(env).execute_and_collect() as rows:
        return sorted(map(str, rows))


def test_fraud_check() -> None:
    expected = [
        "Row(account_id=1, what='alert', amount=500.01)",
        "Row(account_id=1, what='alert', amount=800.0)",
        "Row(account_id=2, what='all quiet', amount=0.0)",
    ]
    assert collected(fraud_check.alerts) == expected


def test_click_sessions_and_those_too_late() -> None:
    env = StreamExecutionEnvironment.get_execution_environment()
    env.set_parallelism(1)
    ended = click_sessions.sessions(env)
    late = ended.get_side_output(click_sessions.LATE_CLICKS)
    # So many clicks are more than two messages of an exchange: the last ones meet the watermarks of the first.
    both = ended.map(lambda row: ("session", row)).union(late.map(lambda row: ("late", row)))
    with both.execute_and_collect() as rows:
        found = sorted(rows)
    starts = range(0, 8_000_000, 1_000_000)
    assert found == [("late", ("u0", 5_000, "/late")), ("late", ("u3", 6_000, "/late"))] + [
        ("session", (f"u{person}", start, start + 899_000 + 30_000, 900)) for person in range(10) for start in starts
    ]


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
    """The whole script, as ``python broadcast_rules.py``."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("HEADRACE_")}
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("broadcast_rules.py")],
        cwd=tmp_path,
        env={**kept, "HEADRACE_STATE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert sorted(re.sub("^[12]> ", "", line) for line in done.stdout.splitlines()) == ALERTS
