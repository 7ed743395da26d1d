"""State backends by Flink's names. Here the option ``state.backend`` says where working state lies."""

from __future__ import annotations

from enum import Enum

__all__ = ["EmbeddedRocksDBStateBackend", "HashMapStateBackend", "PredefinedOptions", "StateBackend"]


class StateBackend:
    """Base of the two."""


class HashMapStateBackend(StateBackend):
    """Working state in memory: what is used unless an option says otherwise."""


class PredefinedOptions(Enum):
    """Tunings of RocksDB."""

    DEFAULT = 0
    SPINNING_DISK_OPTIMIZED = 1
    SPINNING_DISK_OPTIMIZED_HIGH_MEM = 2
    FLASH_SSD_OPTIMIZED = 3


class EmbeddedRocksDBStateBackend(StateBackend):
    """Kept and not used: there is no RocksDB here."""

    def __init__(self, enable_incremental_checkpointing: bool | None = None) -> None:
        self._incremental = bool(enable_incremental_checkpointing)
        self._options = PredefinedOptions.DEFAULT
        self._paths: list[str] = []

    def is_incremental_checkpoints_enabled(self) -> bool:
        return self._incremental

    def set_predefined_options(self, options: PredefinedOptions) -> None:
        self._options = options

    def get_predefined_options(self) -> PredefinedOptions:
        return self._options

    def set_db_storage_paths(self, *paths: str) -> None:
        self._paths = list(paths)

    def get_db_storage_paths(self) -> list[str]:
        return list(self._paths)
