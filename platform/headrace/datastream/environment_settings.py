"""Settings of a StreamExecutionEnvironment that Flink has beside parallelism and options."""

from __future__ import annotations

from typing import Self

from headrace.common.call_site import wrong
from headrace.common.execution_config import ExecutionConfig
from headrace.common.unused_settings import unused
from headrace.datastream.checkpoint_config import CheckpointConfig
from headrace.datastream.checkpointing_mode import CheckpointingMode
from headrace.datastream.slot_sharing_group import SlotSharingGroup
from headrace.datastream.state_backend import HashMapStateBackend, StateBackend
from headrace.datastream.transformation import checked_parallelism


class EnvironmentSettings:
    """Kept with the environment and read back. What has no meaning here says so once (UnusedSettingWarning)."""

    def __init__(self) -> None:
        self._config = ExecutionConfig()
        self._checkpoints = CheckpointConfig()
        self._buffer_timeout = 100
        self._default_local_parallelism = 1
        self._changelog: bool | None = None
        self._state_backend: StateBackend | None = None
        self._slot_sharing_groups: dict[str, SlotSharingGroup] = {}

    def get_config(self) -> ExecutionConfig:
        """Settings of the program; its parallelism is the environment's."""
        return self._config

    def set_parallelism(self, parallelism: int) -> Self:
        """Parallelism (1 to 64) of operators that do not set their own: how many slots they are spread over."""
        self._config.set_parallelism(parallelism)
        return self

    def get_parallelism(self) -> int:
        return self._config.get_parallelism()

    def set_max_parallelism(self, max_parallelism: int) -> Self:
        """Kept: every job has 128 key groups; ``pipeline.lanes`` says how far a job can be spread later."""
        self._config.set_max_parallelism(max_parallelism)
        return self

    def get_max_parallelism(self) -> int:
        """-1 when none was set."""
        return self._config.get_max_parallelism()

    def set_default_local_parallelism(self, parallelism: int) -> None:
        """Kept: in-process runs have the environment's parallelism, 1 unless set."""
        self._default_local_parallelism = checked_parallelism(parallelism)

    def get_default_local_parallelism(self) -> int:
        return self._default_local_parallelism

    def set_buffer_timeout(self, timeout_millis: int) -> Self:
        """Kept: records leave with each commit, or at once with ``execution.delivery: at-least-once``."""
        if type(timeout_millis) is not int or timeout_millis < -1:
            raise wrong(f"set_buffer_timeout() takes whole milliseconds from -1, not {timeout_millis!r:.60}")
        unused("the buffer time-out", "records leave with each commit (execution.commit-interval-ms)")
        self._buffer_timeout = timeout_millis
        return self

    def get_buffer_timeout(self) -> int:
        return self._buffer_timeout

    def get_checkpoint_config(self) -> CheckpointConfig:
        return self._checkpoints

    def enable_checkpointing(self, interval: int, mode: CheckpointingMode | None = None) -> Self:
        """Kept: state is durable without it. See CheckpointConfig."""
        self._checkpoints.set_checkpoint_interval(interval)
        if mode is not None:
            self._checkpoints.set_checkpointing_mode(mode)
        return self

    def get_checkpoint_interval(self) -> int:
        return self._checkpoints.get_checkpoint_interval()

    def get_checkpointing_mode(self) -> CheckpointingMode:
        return self._checkpoints.get_checkpointing_mode()

    def enable_changelog_state_backend(self, enabled: bool) -> Self:
        """Kept: the lane log is such a changelog, always."""
        unused("the changelog state backend", "the log of each lane is one, always")
        self._changelog = bool(enabled)
        return self

    def is_changelog_state_backend_enabled(self) -> bool | None:
        """None when it was never set."""
        return self._changelog

    def set_state_backend(self, state_backend: StateBackend) -> Self:
        """Kept: the option ``state.backend`` says where working state lies."""
        if not isinstance(state_backend, StateBackend):
            raise wrong(f"set_state_backend() takes a StateBackend, not {state_backend!r:.60}")
        if not isinstance(state_backend, HashMapStateBackend):
            unused(type(state_backend).__name__, "working state lies where the option state.backend says")
        self._state_backend = state_backend
        return self

    def get_state_backend(self) -> StateBackend | None:
        return self._state_backend

    def register_slot_sharing_group(self, slot_sharing_group: SlotSharingGroup) -> Self:
        """Kept: all lanes of a job share its slots."""
        unused("a slot sharing group", "all lanes of a job share its slots")
        self._slot_sharing_groups[slot_sharing_group.get_name()] = slot_sharing_group
        return self
