"""The process of ``streamctl``: Ctrl-C ends it with a word, also while its own modules are being imported."""

from __future__ import annotations

import sys

EXIT_INTERRUPTED = 130


def main() -> None:
    """What the installed script calls."""
    try:
        from streamctl.app import main as command

        command()
    except KeyboardInterrupt:  # before the command could say what it leaves behind: it has not begun
        sys.stderr.write("interrupted\n")
        sys.exit(EXIT_INTERRUPTED)
