"""From a worker's output file to the logs topic."""

from __future__ import annotations

import asyncio
from pathlib import Path

from headrace.log.control_memory import ControlMemory, MemoryCluster
from headrace.protocol.control import LogLines
from headrace.runtime.output import OutputFile as WorkerOutput
from headrace.taskmanager import output_shipping
from headrace.taskmanager.output_shipping import OutputFile, OutputShipping

JOB = "a" * 32


class Logs:
    """A logs topic with one partition."""

    def __init__(self) -> None:
        self.cluster = MemoryCluster()
        self.log = ControlMemory(self.cluster)
        self.shipping: OutputShipping

    async def begin(self) -> None:
        await self.log.ensure_topics({"logs": 1}, {})
        self.shipping = OutputShipping(self.log, "logs", 1, "tm1")

    async def messages(self) -> list[LogLines]:
        records = await self.log.read("logs", 0, 0, await self.log.end_offset("logs", 0))
        return [LogLines.model_validate_json(record.value or b"") for record in records]


def test_lines_of_every_lane_and_stream_are_told_apart(tmp_path: Path) -> None:
    async def story() -> None:
        logs, path = Logs(), tmp_path / "1.out"
        await logs.begin()
        path.write_text("v0/0\t1.0\tstdout\ta\nv0/1\t1.0\tstdout\tb\nv0/0\t1.0\tlog\tc\n\t\tstderr\td\nnot ours\nhal")
        logs.shipping.follow(1, path, JOB)
        await logs.shipping.ship()
        found = [(m.lane, m.attempt, m.stream, m.lines) for m in await logs.messages()]
        assert found == [
            ("v0/0", "1.0", "stdout", ["a"]),
            ("v0/1", "1.0", "stdout", ["b"]),
            ("v0/0", "1.0", "log", ["c"]),
            ("", "", "stderr", ["d"]),
        ]

    asyncio.run(story())


def test_the_last_lines_of_a_worker_are_shipped_after_its_end(tmp_path: Path) -> None:
    async def story() -> None:
        logs, path = Logs(), tmp_path / "1.out"
        await logs.begin()
        logs.shipping.follow(1, path, JOB)
        await logs.shipping.ship()
        path.write_text("v0/0\t1.0\tstdout\tlast words\n")
        logs.shipping.leave(1)
        await logs.shipping.ship()
        assert [m.lines for m in await logs.messages()] == [["last words"]]

    asyncio.run(story())


def test_what_exceeds_the_rate_is_dropped_and_counted(tmp_path: Path) -> None:
    async def story() -> None:
        logs, path = Logs(), tmp_path / "1.out"
        await logs.begin()
        line = "v0/0\t1.0\tstdout\t" + "x" * 99_999 + "\n"
        path.write_text(line * 12)
        logs.shipping.follow(1, path, JOB)
        await logs.shipping.ship()
        (message,) = await logs.messages()
        assert len(message.lines) == output_shipping.MESSAGE_BYTES_MAX // 100_000
        assert len(message.lines) + message.dropped == 12

    asyncio.run(story())


def test_lines_that_the_log_does_not_take_are_counted_in_the_next_message(tmp_path: Path) -> None:
    async def story() -> None:
        logs, path = Logs(), tmp_path / "1.out"
        await logs.begin()
        logs.shipping.follow(1, path, JOB)
        logs.cluster.available = False
        path.write_text("v0/0\t1.0\tstdout\tlost\n")
        await logs.shipping.ship()
        logs.cluster.available = True
        with path.open("a") as more:
            more.write("v0/0\t1.0\tstdout\tkept\n")
        await logs.shipping.ship()
        assert [(m.lines, m.dropped) for m in await logs.messages()] == [(["kept"], 1)]

    asyncio.run(story())


def test_a_file_that_the_worker_renamed_is_read_to_its_end_first(tmp_path: Path) -> None:
    """With the worker's own writer: more than twice what it keeps in one file, and not a line is missed."""
    path = tmp_path / "1.out"
    writer, reader = WorkerOutput(path), OutputFile(path, JOB)
    seen: list[str] = []
    for number in range(2_500):
        writer.line("stdout", f"{number} " + "x" * 10_000)
        if number % 50 == 0:
            seen += [text.split(" ")[0] for _, text in reader.lines()]
    while lines := reader.lines():
        seen += [text.split(" ")[0] for _, text in lines]
    assert (tmp_path / "1.out.1").exists()
    assert seen == [str(number) for number in range(2_500)]
    reader.close()
