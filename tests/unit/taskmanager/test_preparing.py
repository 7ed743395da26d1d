"""What the service makes of an environment that cannot be prepared: it goes on, and gives up when nobody waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from headrace.protocol.submission import UploadedCode
from headrace.protocol.topics import Topics
from headrace.taskmanager import service
from headrace.taskmanager.identity import Identity
from headrace.taskmanager.model import EnvironmentDelayed, EnvironmentFailed
from headrace.taskmanager.service import TaskManager, WorkerStart

DEPENDENCIES = UploadedCode(sha256="d" * 64, offset=7, chunks=1)


class Environments:
    """Fails as it is told to."""

    def __init__(self, fail: Callable[[], Exception]) -> None:
        self.fail, self.asked = fail, 0

    async def prepare(self, dependencies: UploadedCode, tell: Callable[[str], None]) -> Any:
        self.asked += 1
        raise self.fail()


def prepared(tmp_path: Path, environments: Environments, stays: int) -> list[Any]:
    """What was told. The job goes after ``stays`` words of a delay."""
    absent: Any = None
    identity = Identity("tm1", "i1", "", tmp_path)
    taskmanager = TaskManager(
        identity, 1, log=absent, store=absent, topics=Topics("t"), cache_dir=tmp_path, workers=WorkerStart({})
    )
    taskmanager._state = replace(taskmanager._state, environments={DEPENDENCIES.sha256: None})
    taskmanager._environments = environments  # type: ignore[assignment]
    told: list[Any] = []

    def tell(event: Any) -> None:
        told.append(event)
        if len(told) == stays:
            taskmanager._state = replace(taskmanager._state, environments={})

    taskmanager._tell = tell  # type: ignore[method-assign]
    asyncio.run(asyncio.wait_for(taskmanager._prepare_environment(DEPENDENCIES), 30))
    return told


def test_an_error_nobody_thought_of_fails_the_job_and_not_the_taskmanager(tmp_path: Path) -> None:
    (event,) = prepared(tmp_path, Environments(lambda: ZeroDivisionError("a defect")), stays=10)
    assert isinstance(event, EnvironmentFailed)
    assert event.error.startswith("dependency-invalid: ") and "a defect" in event.error


def test_a_disk_that_is_full_is_tried_again_for_as_long_as_a_job_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "CODE_RETRY_S", 0.0)
    environments = Environments(lambda: OSError(28, "No space left on device"))
    told = prepared(tmp_path, environments, stays=3)
    assert environments.asked == 3
    assert all(isinstance(event, EnvironmentDelayed) and "No space left" in event.reason for event in told)
