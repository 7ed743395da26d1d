"""A JobMaster is made anew until the job has ended; commands reach one that answers."""

from __future__ import annotations

import asyncio

import pytest
from tests.waiting import until

from headrace.dispatcher import runner as module
from headrace.dispatcher.runner import JobMasterRunner
from headrace.jobmaster.service import DeposedError
from headrace.protocol.control import CommandDone, JobResult
from headrace.protocol.states import JobStatus
from headrace.protocol.submission import Cancel

JOB = "a" * 32
RESULT = JobResult(job_id=JOB, status=JobStatus.FINISHED, reason="", started_ms=1, ended_ms=2)
CANCEL = Cancel(type="cancel", request_id="c1", job_id=JOB)


class Played:
    """A JobMaster that does what the test says."""

    def __init__(self) -> None:
        self.end: asyncio.Future[JobResult] = asyncio.get_running_loop().create_future()
        self.answer: asyncio.Future[CommandDone] = asyncio.get_running_loop().create_future()
        self.commands: list[str] = []
        self.stopped = False

    async def run(self) -> JobResult:
        try:
            return await self.end
        finally:
            self.stopped = True

    async def command(self, command: Cancel) -> CommandDone:
        self.commands.append(command.request_id)
        return await asyncio.shield(self.answer)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(module, "RESTART_S_MIN", 0.01)
    monkeypatch.setattr(module, "DEPOSED_S", 0.02)


def start() -> tuple[JobMasterRunner, list[Played], list[str]]:
    made: list[Played] = []
    ended: list[str] = []

    def make() -> Played:
        made.append(Played())
        return made[-1]

    return JobMasterRunner(JOB, make, lambda: ended.append(JOB)), made, ended


def test_the_end_is_told_once():
    async def run():
        _, made, ended = start()
        await until(lambda: made)
        made[0].end.set_result(RESULT)
        await until(lambda: ended)
        assert len(made) == 1

    asyncio.run(run())


@pytest.mark.parametrize("error", [RuntimeError("bug"), DeposedError(JOB, 1, 2)])
def test_a_failed_one_is_replaced_and_gets_the_unanswered_commands(error):
    async def run():
        runner, made, ended = start()
        await until(lambda: made)
        runner.hand(CANCEL)
        await until(lambda: made[0].commands == ["c1"])
        made[0].end.set_exception(error)
        await until(lambda: len(made) == 2 and made[1].commands == ["c1"])
        made[1].answer.set_result(CommandDone(request_id="c1", ok=True))
        await asyncio.sleep(0)
        made[1].end.set_exception(error)
        await until(lambda: len(made) == 3)
        made[2].end.set_result(RESULT)
        await until(lambda: ended)
        assert made[2].commands == []

    asyncio.run(run())


def test_commands_before_the_first_jobmaster_wait_for_it():
    async def run():
        runner, made, _ = start()
        runner.hand(CANCEL)
        await until(lambda: made and made[0].commands == ["c1"])
        runner.hand(CANCEL)
        await asyncio.sleep(0.02)
        assert made[0].commands == ["c1"]
        await runner.stop()

    asyncio.run(run())


def test_stopping_ends_nothing():
    async def run():
        runner, made, ended = start()
        await until(lambda: made)
        await runner.stop()
        assert made[0].stopped and ended == [] and len(made) == 1

    asyncio.run(run())
