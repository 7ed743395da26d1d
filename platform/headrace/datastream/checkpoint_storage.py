"""Where checkpoints would lie. Here state lies in the lane logs, Kafka topics: these are kept and not used."""

from __future__ import annotations

__all__ = ["CheckpointStorage", "FileSystemCheckpointStorage", "JobManagerCheckpointStorage"]


class CheckpointStorage:
    """Base of the two."""


class JobManagerCheckpointStorage(CheckpointStorage):
    DEFAULT_MAX_STATE_SIZE = 5 * 1024 * 1024

    def __init__(self, checkpoint_path: str | None = None, max_state_size: int | None = None) -> None:
        self._path = checkpoint_path
        self._max_state_size = self.DEFAULT_MAX_STATE_SIZE if max_state_size is None else max_state_size

    def get_checkpoint_path(self) -> str | None:
        return self._path

    def get_max_state_size(self) -> int:
        return self._max_state_size


class FileSystemCheckpointStorage(CheckpointStorage):
    #: State smaller than this would lie in the checkpoint's metadata, in bytes.
    DEFAULT_FILE_STATE_THRESHOLD = 20_480

    def __init__(
        self, checkpoint_path: str, file_state_size_threshold: int | None = None, write_buffer_size: int = -1
    ) -> None:
        self._path = checkpoint_path
        self._threshold = file_state_size_threshold
        self._write_buffer_size = write_buffer_size

    def get_checkpoint_path(self) -> str:
        return self._path

    def get_min_file_size_threshold(self) -> int:
        return self.DEFAULT_FILE_STATE_THRESHOLD if self._threshold is None else self._threshold

    def get_write_buffer_size(self) -> int:
        return max(self._write_buffer_size, self.get_min_file_size_threshold())
