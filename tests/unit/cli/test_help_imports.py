"""``streamctl --help`` is quick because it imports little: no clock, which would measure the machine."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

#: Each of them costs more than all of the help.
HEAVY = {
    "confluent_kafka", "pydantic", "redis", "rich", "faust", "aiokafka", "fastapi", "msgspec", "cloudpickle",
    "psutil", "structlog", "asyncio", "ssl", "email", "http", "logging", "tenacity",
}  # fmt: skip
SHOW = """
import json, sys
from streamctl.app import main
sys.argv = ["streamctl", *{arguments!r}]
try:
    main()
except SystemExit:
    pass
print(json.dumps(sorted({{name.partition(".")[0] for name in sys.modules}})), file=sys.stderr)
"""


#: Typer itself asks pydantic what a command's parameters are, once it knows the command.
TYPERS = {"pydantic", "email"}


@pytest.mark.parametrize(
    ("line", "allowed"),
    [
        ("--help", set()),
        ("show --help", TYPERS),
        ("topics --help", TYPERS),
        ("config --help", TYPERS),
        ("lst", TYPERS),
    ],
)
def test_help_imports_nothing_heavy(line: str, allowed: set[str]) -> None:
    program = SHOW.format(arguments=line.split())
    ran = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, timeout=60)
    imported = set(json.loads(ran.stderr.splitlines()[-1]))
    assert "streamctl" in imported
    assert imported & HEAVY - allowed == set()
