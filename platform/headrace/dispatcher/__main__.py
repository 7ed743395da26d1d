"""``python -m headrace.dispatcher``: a Dispatcher with settings from files and HEADRACE_* variables."""

from __future__ import annotations

import sys

from headrace.dispatcher.service import run_dispatcher
from headrace.errors import HeadraceError
from headrace.settings import load_settings

if __name__ == "__main__":
    try:
        run_dispatcher(load_settings())
    except HeadraceError as error:
        print(error.line(), file=sys.stderr)
        sys.exit(error.exit_code)
