"""CheckpointConfig: Flink's settings of checkpoints, with its defaults.

Headrace has no checkpoints of a whole job: every lane commits its inputs, state and outputs together, ten times a
second (``execution.commit-interval-ms``). The settings are kept and read back; the first that is set says so.
"""

from __future__ import annotations

from enum import Enum

from headrace.common.call_site import wrong
from headrace.common.time import Duration
from headrace.common.unused_settings import unused
from headrace.datastream.checkpoint_storage import CheckpointStorage, FileSystemCheckpointStorage
from headrace.datastream.checkpointing_mode import CheckpointingMode

__all__ = ["CheckpointConfig", "ExternalizedCheckpointRetention"]

NONE = "lanes commit inputs, state and outputs together every 100 ms (execution.commit-interval-ms)"


class ExternalizedCheckpointRetention(Enum):
    """What would become of the last checkpoint of a job that was cancelled."""

    DELETE_ON_CANCELLATION = 0
    RETAIN_ON_CANCELLATION = 1
    NO_EXTERNALIZED_CHECKPOINTS = 2


class CheckpointConfig:
    """Of one environment: ``env.get_checkpoint_config()``. Times are in ms."""

    DEFAULT_MODE = CheckpointingMode.EXACTLY_ONCE
    DEFAULT_TIMEOUT = 600_000
    DEFAULT_MIN_PAUSE_BETWEEN_CHECKPOINTS = 0
    DEFAULT_MAX_CONCURRENT_CHECKPOINTS = 1

    def __init__(self) -> None:
        self._interval = -1
        self._mode = self.DEFAULT_MODE
        self._timeout = self.DEFAULT_TIMEOUT
        self._min_pause = self.DEFAULT_MIN_PAUSE_BETWEEN_CHECKPOINTS
        self._max_concurrent = self.DEFAULT_MAX_CONCURRENT_CHECKPOINTS
        self._tolerable_failures = 0
        self._retention = ExternalizedCheckpointRetention.NO_EXTERNALIZED_CHECKPOINTS
        self._unaligned = False
        self._aligned_timeout = Duration.of_millis(0)
        self._force_unaligned = False
        self._storage: CheckpointStorage | None = None

    def is_checkpointing_enabled(self) -> bool:
        """Whether an interval was set. State is durable without one."""
        return self._interval > 0

    def get_checkpoint_interval(self) -> int:
        """-1 when none was set."""
        return self._interval

    def set_checkpoint_interval(self, checkpoint_interval: int) -> CheckpointConfig:
        self._interval = _whole("the checkpoint interval", checkpoint_interval, 1)
        return self._kept()

    def get_checkpointing_mode(self) -> CheckpointingMode:
        return self._mode

    def set_checkpointing_mode(self, checkpointing_mode: CheckpointingMode) -> CheckpointConfig:
        """AT_LEAST_ONCE too leaves state exact; for low latency see ``execution.delivery``."""
        if not isinstance(checkpointing_mode, CheckpointingMode):
            raise wrong(f"set_checkpointing_mode() takes a CheckpointingMode, not {checkpointing_mode!r:.60}")
        self._mode = checkpointing_mode
        if checkpointing_mode is not self.DEFAULT_MODE:
            unused("the checkpointing mode", "state is always exact; execution.delivery rules how outputs leave")
        return self

    def get_checkpoint_timeout(self) -> int:
        return self._timeout

    def set_checkpoint_timeout(self, checkpoint_timeout: int) -> CheckpointConfig:
        self._timeout = _whole("the checkpoint time-out", checkpoint_timeout, 1)
        return self._kept()

    def get_min_pause_between_checkpoints(self) -> int:
        return self._min_pause

    def set_min_pause_between_checkpoints(self, min_pause_between_checkpoints: int) -> CheckpointConfig:
        self._min_pause = _whole("the pause between checkpoints", min_pause_between_checkpoints, 0)
        return self._kept()

    def get_max_concurrent_checkpoints(self) -> int:
        return self._max_concurrent

    def set_max_concurrent_checkpoints(self, max_concurrent_checkpoints: int) -> CheckpointConfig:
        self._max_concurrent = _whole("the number of concurrent checkpoints", max_concurrent_checkpoints, 1)
        return self._kept()

    def get_tolerable_checkpoint_failure_number(self) -> int:
        return self._tolerable_failures

    def set_tolerable_checkpoint_failure_number(self, number: int) -> CheckpointConfig:
        self._tolerable_failures = _whole("the number of tolerable failures", number, 0)
        return self._kept()

    def get_externalized_checkpoint_retention(self) -> ExternalizedCheckpointRetention:
        return self._retention

    def set_externalized_checkpoint_retention(self, retention: ExternalizedCheckpointRetention) -> CheckpointConfig:
        self._retention = retention
        return self._kept()

    def is_externalized_checkpoints_enabled(self) -> bool:
        return self._retention is not ExternalizedCheckpointRetention.NO_EXTERNALIZED_CHECKPOINTS

    def is_unaligned_checkpoints_enabled(self) -> bool:
        return self._unaligned

    def enable_unaligned_checkpoints(self, enabled: bool = True) -> CheckpointConfig:
        self._unaligned = enabled
        return self._kept()

    def disable_unaligned_checkpoints(self) -> CheckpointConfig:
        return self.enable_unaligned_checkpoints(False)

    def get_aligned_checkpoint_timeout(self) -> Duration:
        return self._aligned_timeout

    def set_aligned_checkpoint_timeout(self, timeout: Duration) -> CheckpointConfig:
        self._aligned_timeout = timeout
        return self._kept()

    def is_force_unaligned_checkpoints(self) -> bool:
        return self._force_unaligned

    def set_force_unaligned_checkpoints(self, force: bool = True) -> CheckpointConfig:
        self._force_unaligned = force
        return self._kept()

    def set_checkpoint_storage(self, storage: CheckpointStorage) -> CheckpointConfig:
        self._storage = storage
        return self._kept()

    def set_checkpoint_storage_dir(self, checkpoint_path: str) -> CheckpointConfig:
        return self.set_checkpoint_storage(FileSystemCheckpointStorage(checkpoint_path))

    def get_checkpoint_storage(self) -> CheckpointStorage | None:
        return self._storage

    def _kept(self) -> CheckpointConfig:
        unused("this checkpoint setting", NONE)
        return self


def _whole(what: str, number: int, least: int) -> int:
    if type(number) is not int or number < least:
        raise wrong(f"{what} must be a whole number from {least}, not {number!r:.60}")
    return number
