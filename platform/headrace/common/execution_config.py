"""ExecutionConfig: settings of a program as PyFlink has them, with Flink's defaults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headrace.common.call_site import wrong
from headrace.common.unused_settings import unused

__all__ = ["ExecutionConfig"]

#: Key groups of every job: what Flink calls the maximal parallelism.
MAX_PARALLELISM = 128


class ExecutionConfig:
    """Of one environment: ``env.get_config()``. Parallelism is the environment's own; times are in ms."""

    def __init__(self) -> None:
        self._parallelism = 1
        self._max_parallelism = -1
        self._auto_watermark_interval = 200
        self._task_cancellation_interval = 30_000
        self._task_cancellation_timeout = 180_000
        self._closure_cleaner = True
        self._auto_generated_uids = True
        self._object_reuse = False
        self._snapshot_compression = False
        self._global_job_parameters: dict[str, str] = {}

    # ---- with effect

    def set_parallelism(self, parallelism: int) -> ExecutionConfig:
        """As ``env.set_parallelism``."""
        from headrace.datastream.transformation import checked_parallelism

        self._parallelism = checked_parallelism(parallelism)
        return self

    def get_parallelism(self) -> int:
        return self._parallelism

    def set_global_job_parameters(self, global_job_parameters: Mapping[str, Any]) -> ExecutionConfig:
        """Facts about the program for people; they are kept with it."""
        self._global_job_parameters = {str(name): str(value) for name, value in global_job_parameters.items()}
        return self

    def get_global_job_parameters(self) -> dict[str, str]:
        return dict(self._global_job_parameters)

    # ---- kept and read back

    def set_max_parallelism(self, max_parallelism: int) -> ExecutionConfig:
        if type(max_parallelism) is not int or not 1 <= max_parallelism <= 32_768:
            raise wrong(f"max parallelism must be a whole number from 1 to 32768, not {max_parallelism!r}")
        if max_parallelism != MAX_PARALLELISM:
            unused("set_max_parallelism()", f"every job has {MAX_PARALLELISM} key groups; see pipeline.lanes")
        self._max_parallelism = max_parallelism
        return self

    def get_max_parallelism(self) -> int:
        return self._max_parallelism

    def set_auto_watermark_interval(self, interval: int) -> ExecutionConfig:
        unused("set_auto_watermark_interval()", "watermarks go on with the records of each message")
        self._auto_watermark_interval = interval
        return self

    def get_auto_watermark_interval(self) -> int:
        return self._auto_watermark_interval

    def set_task_cancellation_interval(self, interval: int) -> ExecutionConfig:
        unused("set_task_cancellation_interval()", "a lane that does not stop is ended with its process")
        self._task_cancellation_interval = interval
        return self

    def get_task_cancellation_interval(self) -> int:
        return self._task_cancellation_interval

    def set_task_cancellation_timeout(self, timeout: int) -> ExecutionConfig:
        unused("set_task_cancellation_timeout()", "a lane that does not stop is ended with its process")
        self._task_cancellation_timeout = timeout
        return self

    def get_task_cancellation_timeout(self) -> int:
        return self._task_cancellation_timeout

    def enable_closure_cleaner(self) -> ExecutionConfig:
        return self._cleaning(True)

    def disable_closure_cleaner(self) -> ExecutionConfig:
        return self._cleaning(False)

    def _cleaning(self, on: bool) -> ExecutionConfig:
        unused("the closure cleaner", "functions travel by value, with what they use and nothing else")
        self._closure_cleaner = on
        return self

    def is_closure_cleaner_enabled(self) -> bool:
        return self._closure_cleaner

    def enable_auto_generated_uids(self) -> ExecutionConfig:
        self._auto_generated_uids = True
        return self

    def disable_auto_generated_uids(self) -> ExecutionConfig:
        """Refuse programs with operators that have no uid."""
        self._auto_generated_uids = False
        return self

    def has_auto_generated_uids_enabled(self) -> bool:
        return self._auto_generated_uids

    def enable_object_reuse(self) -> ExecutionConfig:
        return self._reuse(True)

    def disable_object_reuse(self) -> ExecutionConfig:
        return self._reuse(False)

    def _reuse(self, on: bool) -> ExecutionConfig:
        unused("object reuse", "chained functions are handed the object itself, state and other lanes a copy")
        self._object_reuse = on
        return self

    def is_object_reuse_enabled(self) -> bool:
        return self._object_reuse

    def set_use_snapshot_compression(self, use_snapshot_compression: bool) -> ExecutionConfig:
        unused("snapshot compression", "state lies in Kafka topics; compress these (kafka.compression.type)")
        self._snapshot_compression = use_snapshot_compression
        return self

    def is_use_snapshot_compression(self) -> bool:
        return self._snapshot_compression

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ExecutionConfig) and self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        return hash((self._parallelism, self._max_parallelism, self._auto_watermark_interval, self._object_reuse))
