"""What ``execute`` hands to the executor, and what the executor's answer becomes."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest

from headrace.common import Configuration, JobClient, JobExecutionResult, SimpleStringSchema, WatermarkStrategy
from headrace.datastream import StreamExecutionEnvironment
from headrace.datastream.connectors.kafka import KafkaSource
from headrace.datastream.execution import Executor, active_executor, executor_installed
from headrace.datastream.submission import build_submission
from headrace.errors import UsageError
from headrace.protocol.submission import FixedDelay, Submit


@dataclass
class Client:
    job_id: str
    result: Future[JobExecutionResult] = field(default_factory=Future)

    def get_job_id(self) -> str:
        return self.job_id

    def get_job_execution_result(self) -> Future[JobExecutionResult]:
        return self.result

    def cancel(self) -> Future[None]:
        raise NotImplementedError


@dataclass
class Recorder:
    """An executor that keeps what it was given; ``ends`` is the result of a job that it waits for."""

    ends: str | None = None
    bootstrap: str | None = None
    calls: list[tuple[Submit, bytes, bool]] = field(default_factory=list)

    def submit(self, submit: Submit, code: bytes, *, wait: bool, dependencies: bytes = b"") -> JobClient:
        self.calls.append((submit, code, wait))
        client = Client(submit.job_id)
        if self.ends is not None:
            client.result.set_result(JobExecutionResult(submit.job_id, self.ends, 5))
        return client


def small_program(env: StreamExecutionEnvironment | None = None) -> StreamExecutionEnvironment:
    env = env or StreamExecutionEnvironment.get_execution_environment()
    env.from_collection([1]).map(str).print()
    return env


def test_execute_submits_graph_code_and_options() -> None:
    executor: Executor = (recorder := Recorder())
    options = Configuration({"restart-strategy.type": "fixed-delay", "my.option": "x", "pipeline.name": "mine"})
    with executor_installed(executor):
        result = small_program(StreamExecutionEnvironment(options)).execute()
    ((submit, code, wait),) = recorder.calls
    assert wait is True
    assert submit.name == "mine"
    assert submit.restart == FixedDelay()
    assert submit.config["my.option"] == "x"
    assert submit.code is None
    assert submit.delivery == "exactly-once"
    functions = msgspec.msgpack.decode(code, type=dict[str, bytes])
    used = {each for vertex in submit.graph.vertices for op in vertex.operators for each in op.functions.values()}
    assert used <= functions.keys()
    assert submit.client.python.startswith(f"{sys.version_info.major}.{sys.version_info.minor}.")
    assert result == JobExecutionResult(submit.job_id, "RUNNING")


def test_execute_gives_the_result_of_an_executor_that_waited() -> None:
    with executor_installed(Recorder(ends="FINISHED")):
        result = small_program().execute("name")
    assert (result.status, result.get_net_runtime()) == ("FINISHED", 5)


def test_execute_async_does_not_ask_to_wait() -> None:
    with executor_installed(recorder := Recorder()):
        client = small_program().execute_async("name")
    assert [wait for _, _, wait in recorder.calls] == [False]
    assert client.get_job_id() == recorder.calls[0][0].job_id


def test_an_environment_is_empty_after_execute() -> None:
    with executor_installed(recorder := Recorder()):
        env = small_program()
        env.execute("one")
        with pytest.raises(UsageError) as caught:
            env.execute("two")
        assert caught.value.code == "job-empty"
        small_program(env).execute("three")
    assert [submit.name for submit, _, _ in recorder.calls] == ["one", "three"]
    assert len(recorder.calls[1][0].graph.vertices[0].operators) == 3


def test_a_failed_translation_keeps_the_program() -> None:
    with executor_installed(Recorder()):
        env = small_program()
        with pytest.raises(UsageError, match="a job's name must be"):
            env.execute("x" * 201)
        env.execute("fits")


def test_the_installed_executor_gives_defaults_that_the_program_may_change() -> None:
    with executor_installed(Recorder(), parallelism=4, options={"pipeline.lanes": "8"}):
        env = StreamExecutionEnvironment.get_execution_environment()
        assert env.get_parallelism() == 4
        env.from_collection([1]).map(str)
        assert env.program().graph.nodes[1].lanes == 8
        env.set_parallelism(2)
        assert env.program().graph.nodes[1].parallelism == 2
    assert StreamExecutionEnvironment.get_execution_environment().get_parallelism() == 1


@pytest.mark.parametrize(
    ("named", "runs_on", "fits"),
    [
        ("localhost:9092", "127.0.0.1:9092", True),
        ("kafka:9092,other:9092", "OTHER:9092", True),
        ("PLAINTEXT://kafka:9092", "kafka:9092", True),
        ("localhost:9092", "127.0.0.1:19092", False),
        ("localhost:9092", None, False),
    ],
)
def test_only_the_kafka_that_runs_the_job_can_be_named(named: str, runs_on: str | None, fits: bool) -> None:
    source = KafkaSource.builder().set_bootstrap_servers(named).set_topics("t")
    recorder = Recorder(bootstrap=runs_on)
    with executor_installed(recorder):
        env = StreamExecutionEnvironment()
        schema = SimpleStringSchema()
        built = source.set_value_only_deserializer(schema).build()
        env.from_source(built, WatermarkStrategy.no_watermarks(), "events")
        if fits:
            env.execute()
        else:
            with pytest.raises(UsageError, match=f"'Source: events' names Kafka at {named}, and the job runs on"):
                env.execute()
    assert len(recorder.calls) == fits


def test_the_innermost_executor_counts() -> None:
    outer, inner = Recorder(), Recorder()
    with executor_installed(outer):
        with executor_installed(inner):
            assert active_executor() is inner
        assert active_executor() is outer


def run_plainly(script: Path, text: str, **variables: str) -> subprocess.CompletedProcess[str]:
    script.write_text(text)
    environment = {key: value for key, value in os.environ.items() if not key.startswith("HEADRACE_")}
    environment["HEADRACE_STATE_DIR"] = str(script.parent / "state")
    return subprocess.run(
        [sys.executable, str(script)],
        cwd=script.parent,
        env={**environment, **variables},
        capture_output=True,
        text=True,
    )


HEAD = """
from headrace.datastream import StreamExecutionEnvironment
env = StreamExecutionEnvironment.get_execution_environment().set_parallelism(2)
"""


def test_a_script_without_a_cluster_runs_in_its_own_process(tmp_path: Path) -> None:
    done = run_plainly(
        tmp_path / "job.py",
        HEAD
        + "env.from_collection([3, 1, 2, 1]).key_by(lambda n: n % 2).reduce(lambda a, b: a + b).print()\n"
        + "print(env.execute('sums').status)\n",
    )
    *lines, status = done.stdout.splitlines()
    assert (done.returncode, status) == (0, "FINISHED"), done
    assert sorted(line.split("> ")[1] for line in lines) == ["2", "3", "4", "5"]


def test_in_process_the_users_exception_ends_the_script_with_their_frame_first(tmp_path: Path) -> None:
    done = run_plainly(
        tmp_path / "job.py",
        HEAD
        + "def broken(n):\n    return 1 / (n - 2)\n"
        + "env.from_collection([1, 2]).map(broken).print()\nenv.execute('broken')\n",
    )
    assert done.returncode == 1
    first, *_, error = done.stderr.splitlines()
    assert first == "Traceback (most recent call last):"
    assert done.stderr.splitlines()[1] == f'  File "{tmp_path / "job.py"}", line 5, in broken'
    assert error == "error: job-failed: broken: Map: broken: ZeroDivisionError: division by zero"


def test_in_process_a_program_on_topics_says_that_kafka_is_missing(tmp_path: Path) -> None:
    done = run_plainly(
        tmp_path / "job.py",
        HEAD
        + "from headrace.common import SimpleStringSchema, WatermarkStrategy\n"
        + "from headrace.datastream.connectors.kafka import KafkaSource\n"
        + "source = KafkaSource.builder().set_topics('t').set_value_only_deserializer(SimpleStringSchema()).build()\n"
        + "env.from_source(source, WatermarkStrategy.no_watermarks(), 'events').print()\nenv.execute()\n",
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: kafka-not-named: the program uses Kafka (Source: events)")
    assert len(done.stderr.splitlines()) == 1


def test_the_same_program_under_the_same_id_has_the_same_content() -> None:
    first, second = (build_submission(small_program().program(), "n", job_id="0" * 32) for _ in range(2))
    assert first.submit.content_sha256() == second.submit.content_sha256()
    assert hashlib.sha256(first.code).digest() == hashlib.sha256(second.code).digest()
    assert first.submit.request_id != second.submit.request_id
