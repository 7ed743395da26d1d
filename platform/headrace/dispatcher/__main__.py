"""``python -m headrace.dispatcher``: a Dispatcher with settings from HEADRACE_* variables."""

from __future__ import annotations

import sys

from headrace.dispatcher.service import run_dispatcher
from headrace.errors import HeadraceError
from headrace.settings import Settings

if __name__ == "__main__":
    try:
        run_dispatcher(Settings())
    except HeadraceError as error:
        print(error.line(), file=sys.stderr)
        sys.exit(error.exit_code)
