"""execute_and_collect in one process: results as they are committed, their end, and who ends the job."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import pytest
from tests.waiting import wait_until

from headrace.common import JobStatus, Row, WatermarkStrategy
from headrace.datastream import CloseableIterator, StreamExecutionEnvironment
from headrace.datastream.collecting import ResultReader
from headrace.datastream.connectors.number_seq import NumberSequenceSource
from headrace.datastream.execution import executor_installed
from headrace.errors import JobFailedError, UsageError
from headrace.in_process.executor import InProcessExecutor
from headrace.protocol.submission import Submit


@pytest.fixture(autouse=True)
def in_process() -> Iterator[None]:
    with executor_installed(InProcessExecutor()):
        yield


@dataclass
class Place:
    name: str
    size: int


def numbers(env: StreamExecutionEnvironment, last: int) -> Any:
    return env.from_source(NumberSequenceSource(0, last), WatermarkStrategy.no_watermarks(), "numbers")


def test_results_come_as_they_are_and_end_with_the_job() -> None:
    env = StreamExecutionEnvironment.get_execution_environment()
    values = [Place("a", 1), Row(x=1, y=None), ("t", 2.5), {"k": [1]}, None, b"\x00"]
    with env.from_collection(values).execute_and_collect("all kinds") as results:
        assert list(results) == values
    with pytest.raises(StopIteration):
        next(results)


def test_many_results_of_several_lanes_each_once() -> None:
    env = StreamExecutionEnvironment.get_execution_environment().set_parallelism(2)
    found = list(numbers(env, 4_999).key_by(lambda n: n % 7).reduce(lambda a, b: b).execute_and_collect())
    assert sorted(found) == list(range(5_000))


def test_a_limit_gives_a_list_and_ends_an_endless_job() -> None:
    env = StreamExecutionEnvironment.get_execution_environment()
    found = numbers(env, 2**62).map(lambda n: n * 2).execute_and_collect("endless", limit=5)
    assert found == [0, 2, 4, 6, 8]


def test_more_than_there_is_gives_what_there_is() -> None:
    env = StreamExecutionEnvironment.get_execution_environment()
    assert env.from_collection([1, 2]).execute_and_collect(limit=10) == [1, 2]


def test_closing_early_cancels_the_job() -> None:
    env = StreamExecutionEnvironment.get_execution_environment()
    results = numbers(env, 2**62).execute_and_collect()
    assert isinstance(results, CloseableIterator)
    assert list(itertools.islice(results, 3)) == [0, 1, 2]
    job = results._source._job  # type: ignore[attr-defined]
    assert job.get_job_status().result() is JobStatus.RUNNING
    results.close()
    results.close()
    assert job.get_job_status().result() is JobStatus.CANCELED
    assert job.get_job_execution_result().result().status == "CANCELED"


def test_a_failure_comes_after_the_committed_results_with_the_users_traceback() -> None:
    def positive(n: int) -> int:
        if n > 20_000:
            raise ValueError("too far")
        return n

    env = StreamExecutionEnvironment.get_execution_environment()
    found = []
    with pytest.raises(JobFailedError, match="too far") as raised:
        for value in numbers(env, 2**62).map(positive).execute_and_collect():
            found.append(value)
    assert found == list(range(len(found)))
    assert "in positive" in raised.value.user_traceback


def test_other_sinks_of_the_program_run_too(capsys: pytest.CaptureFixture[str]) -> None:
    env = StreamExecutionEnvironment.get_execution_environment()
    stream = env.from_collection([1])
    stream.print()
    assert stream.map(str).execute_and_collect(limit=1) == ["1"]
    assert env._transformations == [], "the environment is empty again"
    assert capsys.readouterr().out in ("1\n", "")


def test_a_program_that_cannot_run_keeps_its_streams_and_not_the_collect_sink() -> None:
    env = StreamExecutionEnvironment.get_execution_environment()
    lock = threading.Lock()
    stream = env.from_collection([1]).map(lambda x: lock and x)
    before = list(env._transformations)
    with pytest.raises(UsageError, match="map"):
        stream.execute_and_collect()
    assert env._transformations == before


@pytest.mark.parametrize("limit", [0, -1, "3", True, 2.0])
def test_a_limit_that_is_none_is_refused(limit: Any) -> None:
    env = StreamExecutionEnvironment.get_execution_environment()
    with pytest.raises(UsageError, match="a limit"):
        env.from_collection([1]).execute_and_collect(limit=limit)
    assert len(env._transformations) == 1


def test_an_executor_that_brings_nothing_back_says_so() -> None:
    class Bare:
        def submit(self, submit: Submit, code: bytes, *, wait: bool, dependencies: bytes = b"") -> Any:
            return self

        def get_job_id(self) -> str:
            return "x"

    with executor_installed(Bare()), pytest.raises(UsageError) as raised:
        StreamExecutionEnvironment.get_execution_environment().from_collection([1]).execute_and_collect()
    assert raised.value.code == "collect-unsupported"


def test_the_client_of_an_in_process_job_tells_its_state() -> None:
    env = StreamExecutionEnvironment.get_execution_environment()
    numbers(env, 2**62).filter(lambda n: False).print()
    client = env.execute_async("endless")
    assert client.get_job_status().result() is JobStatus.RUNNING
    result = client.get_job_execution_result()
    assert isinstance(result, Future) and not result.done()
    client.cancel().result()
    wait_until(result.done, deadline_s=30)
    assert (result.result().status, client.get_job_status().result()) == ("CANCELED", JobStatus.CANCELED)


def test_a_result_that_cannot_be_read_ends_the_job_with_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreadable(self: ResultReader) -> list[Any]:
        raise ValueError("cannot be unpickled")

    monkeypatch.setattr(ResultReader, "rest", unreadable)
    env = StreamExecutionEnvironment.get_execution_environment()
    results = env.from_collection([1]).execute_and_collect()
    job = results._source._job  # type: ignore[attr-defined]
    wait_until(job.get_job_execution_result().done, deadline_s=30)
    with pytest.raises(JobFailedError, match="cannot be unpickled"):
        list(results)


def test_a_lane_whose_id_was_taken_goes_on_as_nobody_else_runs_it() -> None:
    env = StreamExecutionEnvironment.get_execution_environment()
    results = numbers(env, 2**62).execute_and_collect()
    assert next(results) == 0
    job = results._source._job  # type: ignore[attr-defined]
    for parts, lane in job._lanes.values():
        lane._connection.producer(parts.transactional_id, 20.0).init(10.0)
        before = lane.commits
        wait_until(lambda lane=lane, before=before: lane.commits > before + 3, deadline_s=30)
    assert job.get_job_status().result() is JobStatus.RUNNING
    assert list(itertools.islice(results, 1_000)) == list(range(1, 1_001))
    results.close()


def test_values_of_a_class_within_a_function_come_back_as_they_do_through_an_exchange() -> None:
    @dataclass
    class Inner:
        n: int

    env = StreamExecutionEnvironment.get_execution_environment()
    assert env.from_collection([1]).map(lambda n: Inner(n)).execute_and_collect(limit=1) == [Inner(1)]
