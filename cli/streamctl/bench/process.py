"""The keyed count as a KeyedProcessFunction: state and one timer for each user and window; every count checked."""

from __future__ import annotations

from streamctl.bench.drain import job_file
from streamctl.bench.w1 import KeyedCount


class TimedCount(KeyedCount):
    """The input and the truth of w1."""

    def __init__(self, records: int, keys: int) -> None:
        super().__init__(records, keys, typed=False)
        self.name = "process"
        self.script = job_file("timed_count.py")
