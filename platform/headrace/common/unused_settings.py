"""Settings that Flink needs and Headrace does not: kept, read back, and said to be without effect.

The note is a Python warning at the user's line, once for each; ``warnings.filterwarnings`` and ``-W`` rule it.
"""

from __future__ import annotations

import warnings

from headrace.common.call_site import depth


class UnusedSettingWarning(UserWarning):
    """A setting was given that changes nothing here."""


def unused(what: str, why: str) -> None:
    """Say that ``what`` has no effect, and what does its work instead."""
    warnings.warn(f"{what} has no effect: {why}", UnusedSettingWarning, stacklevel=depth() + 1)
