"""Files as a sink: each record in exactly one finished part, whatever dies when; names, buckets, rolling."""

from __future__ import annotations

import itertools
import json
import os
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import pytest

from headrace.common import Configuration, Encoder, Row, WatermarkStrategy
from headrace.datastream import StreamExecutionEnvironment
from headrace.datastream.connectors.file_system import BucketAssigner, FileSink, OutputFileConfig, RollingPolicy
from headrace.datastream.connectors.number_seq import NumberSequenceSource
from headrace.datastream.execution import executor_installed
from headrace.errors import UsageError
from headrace.runtime import sequence_source
from headrace.runtime.files import sink as sink_module
from headrace.runtime.files.disk import Disk
from headrace.runtime.files.sink import PartFiles
from headrace.runtime.ports import UserCodeError
from headrace.runtime.state.tables import Tables
from headrace.testing.stepped import SteppedCluster, SteppedJob

TEXT = Encoder.simple_string_encoder()
BASE = BucketAssigner.base_path_bucket_assigner()
SMALL = RollingPolicy.default_rolling_policy(part_size=200, rollover_interval=1_000, inactivity_interval=1_000)


def to_files(folder: Path, encoder: Encoder = TEXT, policy: RollingPolicy = SMALL) -> FileSink:
    return (
        FileSink.for_row_format(str(folder), encoder).with_bucket_assigner(BASE).with_rolling_policy(policy).build()
    )


def start(cluster: SteppedCluster, sink: FileSink, numbers: int, parallelism: int = 2) -> SteppedJob:
    env = StreamExecutionEnvironment.get_execution_environment().set_parallelism(parallelism)
    options = Configuration()
    options.set_string("execution.commit-interval-ms", "5")
    env.configure(options)
    env.from_source(NumberSequenceSource(1, numbers), WatermarkStrategy.no_watermarks(), "n").sink_to(sink)
    with executor_installed(cluster):
        env.execute()
    return cluster.jobs[-1]


def parts(folder: Path) -> list[Path]:
    """What a reader of the folder sees."""
    return sorted(p for p in folder.rglob("*") if p.is_file() and ".in-progress" not in p.parts)


def lines(folder: Path) -> list[str]:
    return [line for part in parts(folder) for line in part.read_text().splitlines()]


def hidden(folder: Path) -> list[str]:
    return sorted(os.listdir(folder / ".in-progress"))


# ---- exactly once


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sequence_source, "BATCH_MAX", 10)


@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize("seed", range(8))
def test_kills_zombies_and_failing_commits_leave_every_record_once(seed: int, tmp_path: Path) -> None:
    cluster = SteppedCluster(seed, commit_faults=0.2)
    job = start(cluster, to_files(tmp_path), 1_500)
    job.zombies = seed % 2 == 1
    job.run(kill_share=0.1)
    assert Counter(lines(tmp_path)) == Counter(str(n) for n in range(1, 1_501))
    assert job.kills > 0
    assert len(parts(tmp_path)) > 4


class KilledError(BaseException):
    """The process is gone."""


class DyingDisk(Disk):
    """Dies before, or in the middle of, its n-th operation; then nobody has flushed what was only written."""

    def __init__(self) -> None:
        self.left = -1
        self.died = False
        self.rng = random.Random(1)
        self.synced: dict[str, int] = {}
        self.files: list[IO[bytes]] = []

    def _turn(self) -> None:
        self.left -= 1
        if self.left == 0:
            self.died = True
            raise KilledError

    def append(self, path: str) -> IO[bytes]:
        self._turn()
        file = super().append(path)
        self.files.append(file)
        self._turn()
        return file

    def sync(self, file: IO[bytes]) -> None:
        self._turn()
        super().sync(file)
        self.synced[file.name] = os.path.getsize(file.name)
        self._turn()

    def copy(self, source: str, target: IO[bytes], length: int) -> None:
        self._turn()
        super().copy(source, target, length)
        self._turn()

    def publish(self, hidden: str, final: str) -> None:
        self._turn()
        super().publish(hidden, final)
        self._turn()

    def delete(self, path: str) -> None:
        self._turn()
        super().delete(path)
        self._turn()

    def lose_power(self) -> None:
        """What was not synced is there in part, or not at all."""
        for file in self.files:
            if not file.closed:
                file.flush()  # a dead process flushes nothing; what it had is cut off below
                file.close()
            if os.path.exists(file.name):
                size, kept = os.path.getsize(file.name), self.synced.get(file.name, 0)
                os.truncate(file.name, self.rng.randint(min(kept, size), size))
        self.files.clear()


@pytest.mark.usefixtures("small_batches")
def test_death_at_every_operation_of_the_disk_leaves_every_record_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = DyingDisk()
    monkeypatch.setattr(sink_module, "Disk", lambda: disk)
    tiny = RollingPolicy.default_rolling_policy(part_size=60)
    for operation in itertools.count(1):
        folder = tmp_path / str(operation)
        disk.left, disk.died = operation, False
        cluster = SteppedCluster(operation, commit_faults=0.1)
        job = start(cluster, to_files(folder, policy=tiny), 300, 1)
        while not lived(job.run):
            disk.lose_power()
            disk.left = disk.rng.randrange(1, 60)
            restart(job, disk)
        assert Counter(lines(folder)) == Counter(str(n) for n in range(1, 301)), operation
        if not disk.died:  # the whole job has fewer operations
            break
    assert operation > 50


def restart(job: SteppedJob, disk: DyingDisk) -> None:
    """Until an attempt lives long enough to be started."""
    while not lived(lambda: job.kill("v1/0")):
        disk.lose_power()
        disk.left = disk.rng.randrange(1, 60)


def lived(call: Callable[[], Any]) -> bool:
    try:
        call()
        return True
    except KilledError:
        return False
    except UserCodeError as error:  # a chain lays it at the door of whoever ran when the process died
        if isinstance(error.__cause__, KilledError):
            return False
        raise


def test_a_finished_lane_that_died_before_renaming_still_gives_its_parts_their_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Unrenaming(Disk):
        def publish(self, hidden: str, final: str) -> None:
            raise KilledError

    with monkeypatch.context() as dying:
        dying.setattr(sink_module, "Disk", Unrenaming)
        job = start(SteppedCluster(), to_files(tmp_path), 10, 1)
        with pytest.raises(KilledError):
            job.run()
    assert lines(tmp_path) == []
    job.kill("v1/0")
    assert job.finished()
    assert lines(tmp_path) == [str(n) for n in range(1, 11)]


# ---- what is there when


class OneSink:
    """The parts of one sink, with commits made by the test."""

    def __init__(self, folder: Path, policy: RollingPolicy = SMALL, assigner: BucketAssigner = BASE) -> None:
        builder = (
            FileSink.for_row_format(str(folder), TEXT).with_rolling_policy(policy).with_bucket_assigner(assigner)
        )
        names = OutputFileConfig.builder().with_part_prefix("p").with_part_suffix(".txt").build()
        self._params = builder.with_output_file_config(names).build().params()
        self.tables = Tables()
        self.now_ms = 1_700_000_000_000
        self.c = -1
        self.restart()

    def restart(self) -> None:
        self.sink = PartFiles(
            self._params,
            lambda value: f"{value}\n".encode(),
            self.tables.table("sink/parts"),
            origin="job-1-v1.1-0",
            clock_ms=lambda: self.now_ms,
        )
        self.sink.open()

    def commit(self, *, final: bool = False) -> None:
        self.c += 1
        self.sink.prepare(self.c, final=final)
        self.tables.take_changes()
        self.tables.committed()
        self.sink.committed()

    def abort(self) -> None:
        self.sink.prepare(self.c + 1, final=False)
        self.tables.take_changes()
        self.tables.rollback(keep_in_flight=False)
        self.sink.close()
        self.restart()


@pytest.fixture
def one(tmp_path: Path) -> Iterator[OneSink]:
    one = OneSink(tmp_path)
    yield one
    one.sink.close()


def test_a_part_appears_when_it_is_closed_and_its_commit_stands(one: OneSink, tmp_path: Path) -> None:
    one.sink.write("a")
    one.commit()
    assert parts(tmp_path) == []
    one.now_ms += 999
    assert not one.sink.due()
    one.now_ms += 1
    assert one.sink.due()
    one.sink.prepare(7, final=False)
    assert parts(tmp_path) == []
    one.tables.take_changes()
    one.tables.committed()
    one.sink.committed()
    assert [part.name for part in parts(tmp_path)] == ["p-job-1-v1.1-0-000007.txt"]
    assert not one.sink.due()


def test_a_part_is_closed_by_size_age_or_silence(tmp_path: Path) -> None:
    policy = RollingPolicy.default_rolling_policy(part_size=10, rollover_interval=5_000, inactivity_interval=2_000)
    one = OneSink(tmp_path, policy)
    one.sink.write("123456789")
    assert one.sink.due()
    one.commit()
    assert lines(tmp_path) == ["123456789"]
    for _ in range(4):
        one.sink.write("x")
        one.commit()
        assert len(parts(tmp_path)) == 1
        one.now_ms += 1_500
    assert one.sink.due()  # by age: 6 s
    one.commit()
    one.sink.write("y")
    one.commit()
    one.now_ms += 2_000
    assert one.sink.due()  # by silence
    one.commit()
    assert lines(tmp_path) == ["123456789", "x", "x", "x", "x", "y"]


def test_every_commit_can_be_a_part(tmp_path: Path) -> None:
    one = OneSink(tmp_path, RollingPolicy.on_checkpoint_rolling_policy())
    for value in "abc":
        one.sink.write(value)
        one.commit()
        one.commit()
    assert [part.read_text() for part in parts(tmp_path)] == ["a\n", "b\n", "c\n"]


def test_an_aborted_commit_leaves_nothing(one: OneSink, tmp_path: Path) -> None:
    one.sink.write("a")
    one.commit()
    one.sink.write("never")
    one.now_ms += 1_000
    one.abort()
    one.sink.write("b")
    one.commit(final=True)
    assert lines(tmp_path) == ["a", "b"]
    assert hidden(tmp_path) == []


def test_a_restart_gives_closed_parts_their_names_at_once(one: OneSink, tmp_path: Path) -> None:
    one.sink.write("a")
    one.sink.prepare(0, final=True)
    one.tables.take_changes()
    one.tables.committed()
    one.restart()
    assert lines(tmp_path) == ["a"]


def test_files_of_older_attempts_go_when_a_commit_proved_who_owns_the_lane(one: OneSink, tmp_path: Path) -> None:
    one.sink.write("a")
    one.commit()
    (first,) = hidden(tmp_path)
    one.sink.close()
    one.restart()
    assert len(hidden(tmp_path)) == 2
    one.commit()
    (second,) = hidden(tmp_path)
    assert second != first
    assert (tmp_path / ".in-progress" / second).read_text() == "a\n"


def test_a_stalled_attempt_deletes_nothing_of_a_newer_one(tmp_path: Path) -> None:
    newer = OneSink(tmp_path)
    newer.sink.write("b")
    newer.commit()
    stalled = OneSink(tmp_path)  # it restored what stood before that commit, and looks at the folder only now
    stalled.sink.prepare(0, final=False)  # it never gets to committed(): its commit is refused
    newer.sink.write("c")
    newer.commit(final=True)
    assert lines(tmp_path) == ["b", "c"]


def test_a_stalled_attempt_that_writes_on_changes_nothing(tmp_path: Path) -> None:
    older = OneSink(tmp_path)
    older.sink.write("a")
    older.commit()
    newer = OneSink.__new__(OneSink)
    newer.__dict__.update(older.__dict__)
    newer.restart()
    older.sink.write("zombie")
    older.sink.prepare(1, final=False)
    older.tables.rollback(keep_in_flight=False)
    newer.restart()
    newer.sink.write("b")
    newer.commit(final=True)
    assert lines(tmp_path) == ["a", "b"]


def test_other_files_in_the_folder_are_let_be(one: OneSink, tmp_path: Path) -> None:
    other = tmp_path / ".in-progress" / "p-job-1-v1.1-1-aa-1"
    other.parent.mkdir(exist_ok=True)
    other.write_text("of lane 1")
    one.sink.write("a")
    one.commit()
    assert other.exists()


def test_a_part_that_is_gone_is_an_error_and_no_loss_in_silence(one: OneSink, tmp_path: Path) -> None:
    one.sink.write("a")
    one.commit()
    one.sink.close()
    (tmp_path / ".in-progress" / hidden(tmp_path)[0]).unlink()
    with pytest.raises(FileNotFoundError, match="in-progress"):
        one.restart()


def test_buckets_are_folders_named_by_the_time(tmp_path: Path) -> None:
    assigner = BucketAssigner.date_time_bucket_assigner("yyyy-MM-dd/HHmm", "Europe/Berlin")
    one = OneSink(tmp_path, assigner=assigner)
    one.sink.write("a")
    one.now_ms += 60_000
    one.sink.write("b")
    one.sink.write("c")
    one.commit(final=True)
    assert [(str(p.parent.relative_to(tmp_path)), p.read_text()) for p in parts(tmp_path)] == [
        ("2023-11-14/2313", "a\n"),
        ("2023-11-14/2314", "b\nc\n"),
    ]


# ---- in jobs


def test_a_quiet_lane_still_closes_its_parts(tmp_path: Path) -> None:
    cluster = SteppedCluster()
    cluster.topic("in", 1, ["a", "b"])
    from headrace.datastream.connectors.kafka import KafkaSource
    from headrace.datastream.formats.json import JsonDeserializationSchema

    source = KafkaSource.builder().set_topics("in").set_value_only_deserializer(JsonDeserializationSchema()).build()
    env = StreamExecutionEnvironment.get_execution_environment()
    env.from_source(source, WatermarkStrategy.no_watermarks(), "in").sink_to(to_files(tmp_path))
    with executor_installed(cluster):
        env.execute()
    cluster.jobs[-1].run(lambda: parts(tmp_path))
    assert lines(tmp_path) == ["a", "b"]


def test_names_of_parts(tmp_path: Path) -> None:
    cluster = SteppedCluster()
    job = start(cluster, to_files(tmp_path), 100)
    job.run()
    form = rf"part-{job.get_job_id()[:12]}-1-v1\.1-[01]-\d{{6}}"
    assert [part.name for part in parts(tmp_path) if not re.fullmatch(form, part.name)] == []


def test_json_lines(tmp_path: Path) -> None:
    cluster = SteppedCluster()
    env = StreamExecutionEnvironment.get_execution_environment()
    env.from_elements({"n": 1}, Row(n=2), None, [3]).sink_to(to_files(tmp_path, Encoder.json_encoder()))
    with executor_installed(cluster):
        env.execute()
    cluster.jobs[-1].run()
    assert [json.loads(line) for line in lines(tmp_path)] == [{"n": 1}, {"n": 2}, None, [3]]


class Framed(Encoder):
    def encode(self, value: Any) -> bytes:
        if value == 3:
            raise ValueError("three")
        return f"<{value}>".encode()


def test_an_encoder_of_the_program(tmp_path: Path) -> None:
    start(SteppedCluster(), to_files(tmp_path, Framed()), 2, 1).run()
    assert [part.read_text() for part in parts(tmp_path)] == ["<1><2>"]


def test_an_error_of_an_encoder_is_laid_at_its_door(tmp_path: Path) -> None:
    job = start(SteppedCluster(), to_files(tmp_path, Framed()), 4, 1)
    with pytest.raises(UserCodeError, match="ValueError: three") as failed:
        job.run()
    assert failed.value.operator == f"Sink: {tmp_path}"


# ---- what a program may write


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: FileSink.for_row_format("a", "text"), "takes an Encoder"),  # type: ignore[arg-type]
        (lambda: FileSink.for_row_format("s3://bucket/a", TEXT), "cannot write to s3://bucket/a"),
        (lambda: BucketAssigner.date_time_bucket_assigner("yyyy-ww"), "no date format"),
        (lambda: BucketAssigner.date_time_bucket_assigner("/yyyy"), "no date format"),
        (lambda: BucketAssigner.date_time_bucket_assigner("../yyyy"), "no date format"),
        (lambda: BucketAssigner.date_time_bucket_assigner("yyyy", "Mars/Olympus"), "no time zone"),
        (lambda: RollingPolicy.default_rolling_policy(part_size=0), "part_size must be a whole number from 1"),
        (lambda: OutputFileConfig.builder().with_part_prefix(".hidden"), "a name cannot begin with"),
        (lambda: OutputFileConfig.builder().with_part_suffix("/x"), "a name cannot end with"),
        (lambda: Encoder.simple_string_encoder("klingon"), "knows no charset"),
    ],
)
def test_what_cannot_work_is_refused_where_it_is_written(wrong: Callable[[], Any], said: str) -> None:
    with pytest.raises(UsageError, match=said) as refused:
        wrong()
    assert "test_file_sink.py:" in refused.value.message


def test_buckets_are_hours_by_themselves(tmp_path: Path) -> None:
    params = FileSink.for_row_format(str(tmp_path), TEXT).build().params()
    assert params["bucket"] == {"strftime": "%Y-%m-%d--%H", "timezone": "UTC"}
    assert json.loads(json.dumps(params)) == params
