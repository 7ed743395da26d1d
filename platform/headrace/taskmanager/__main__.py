"""``python -m headrace.taskmanager [--slots N] [--id ID]``: a TaskManager with settings as everywhere."""

from __future__ import annotations

import argparse
import sys

from headrace.errors import HeadraceError
from headrace.settings import load_settings
from headrace.taskmanager.service import run_taskmanager


def main() -> int:
    parser = argparse.ArgumentParser(prog="headrace.taskmanager", description="Run a TaskManager.")
    parser.add_argument("--slots", type=int, default=None, help="worker processes at most")
    parser.add_argument("--id", default=None, help="a stable id; else one kept in the state directory")
    arguments = parser.parse_args()
    try:
        run_taskmanager(load_settings({"slots": arguments.slots, "taskmanager_id": arguments.id}))
    except HeadraceError as error:
        print(error.line(), file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
