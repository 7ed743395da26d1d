"""streamctl as people use it: real processes of a whole local cluster, scripts on disk, exit statuses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from headrace.embedded import EmbeddedCluster
from headrace.ids import new_job_id

pytestmark = pytest.mark.e2e

SLOTS = 2
WAIT_S = 60.0


@dataclass(frozen=True)
class Said:
    """How one run of streamctl ended."""

    status: int
    stdout: str
    stderr: str

    @property
    def objects(self) -> list[Any]:
        return [json.loads(line) for line in self.stdout.splitlines()]

    @property
    def last(self) -> Any:
        return self.objects[-1]


class Streamctl:
    """Runs the command against one cluster, in its own process."""

    def __init__(self, cluster: EmbeddedCluster, folder: Path) -> None:
        self.addresses = cluster.addresses
        self.folder = folder
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("HEADRACE_")},
            "HEADRACE_BOOTSTRAP": self.addresses.bootstrap,
            "HEADRACE_REST": self.addresses.rest,
            "HEADRACE_REDIS": self.addresses.redis,
            "HEADRACE_STATE_DIR": str(folder / "state"),
        }

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", "from streamctl.app import main; main()", *arguments],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *arguments: str) -> Said:
        process = self.start(*arguments)
        stdout, stderr = process.communicate(timeout=WAIT_S * 2)
        return Said(process.returncode, stdout, stderr)

    def script(self, name: str, text: str) -> str:
        (self.folder / name).write_text(text)
        return name

    def until(self, job_id: str, there: Callable[[Any], bool]) -> Any:
        """The job's detail once ``there`` holds."""
        deadline = time.monotonic() + WAIT_S
        while True:
            detail = self("show", job_id, "--json").last
            if there(detail):
                return detail
            assert time.monotonic() < deadline, detail
            time.sleep(0.2)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedCluster]:
    with EmbeddedCluster(tmp_path_factory.mktemp("cluster"), name="cli", slots=SLOTS) as running:
        yield running


@pytest.fixture
def streamctl(cluster: EmbeddedCluster, tmp_path: Path) -> Iterator[Streamctl]:
    """The command; every job that a test leaves running is cancelled, so that the next finds free slots."""
    command = Streamctl(cluster, tmp_path)
    yield command
    for job in command("list", "--json").last["jobs"]:
        if job["status"] not in ("FINISHED", "FAILED", "CANCELED"):
            assert command("cancel", job["job_id"], "--wait").status == 0


HEAD = """
from headrace.datastream import StreamExecutionEnvironment
env = StreamExecutionEnvironment.get_execution_environment()
"""
PRINTING = (
    HEAD
    + "env.from_collection(['one', 'two', 'three']).map(lambda text: text.upper()).print()\nenv.execute('printing')\n"
)
FAILING = HEAD + (
    "def halve(number):\n"
    "    return 1 / number\n"
    "env.from_collection([2, 1, 0]).map(halve).print()\n"
    "env.execute('failing')\n"
)
ENDLESS = """
import argparse
from headrace.common import SimpleStringSchema, WatermarkStrategy
from headrace.datastream import StreamExecutionEnvironment
from headrace.datastream.connectors.kafka import KafkaOffsetsInitializer, KafkaSource
parser = argparse.ArgumentParser()
parser.add_argument('--topic', required=True)
topic = parser.parse_args().topic
env = StreamExecutionEnvironment.get_execution_environment()
source = (
    KafkaSource.builder().set_topics(topic).set_starting_offsets(KafkaOffsetsInitializer.earliest())
    .set_value_only_deserializer(SimpleStringSchema()).build()
)
env.from_source(source, WatermarkStrategy.no_watermarks(), 'words').print()
env.execute('endless')
"""


@pytest.fixture(scope="module")
def topic(cluster: EmbeddedCluster) -> str:
    admin = AdminClient({"bootstrap.servers": cluster.addresses.bootstrap})
    admin.create_topics([NewTopic("words", 2)])["words"].result(20)
    return "words"


def test_submit_wait_when_it_finishes_then_0_and_its_lines_are_in_the_logs(streamctl: Streamctl) -> None:
    said = streamctl("submit", streamctl.script("job.py", PRINTING), "--wait", "--json")
    assert said.status == 0, said
    assert said.last == {"job_id": said.last["job_id"], "name": "printing", "status": "FINISHED"}
    lines = streamctl("logs", said.last["job_id"], "--follow", "--json")
    assert lines.status == 0
    assert {each["line"] for each in lines.objects} >= {"ONE", "TWO", "THREE"}
    lane = lines.objects[0]["lane"]
    for subtask, wanted in ((lane, lines.stdout), (lane.split("/")[0], lines.stdout), ("v9", "")):
        assert streamctl("logs", said.last["job_id"], "--subtask", subtask, "--json").stdout == wanted


def test_submit_when_it_runs_then_returns_and_list_show_cancel_know_it(streamctl: Streamctl, topic: str) -> None:
    said = streamctl("submit", streamctl.script("job.py", ENDLESS), "-p", "2", "--json", "--", "--topic", topic)
    assert said.status == 0, said
    assert said.last["status"] == "RUNNING"
    job_id = said.last["job_id"]
    listed = {job["job_id"]: job for job in streamctl("list", "--json").last["jobs"]}
    assert listed[job_id]["status"] == "RUNNING"
    detail = streamctl("show", job_id[:12], "--json").last
    assert {lane["state"] for lane in detail["job"]["lanes"].values()} == {"RUNNING"}
    assert len(detail["job"]["lanes"]) == 2
    assert "RUNNING" in streamctl("show", "endless").stdout
    ended = streamctl("cancel", "endless", "--wait", "--json")
    assert (ended.status, ended.last["status"]) == (0, "CANCELED")
    again = streamctl("cancel", job_id, "--json")
    assert again.status == 2
    assert again.last["error"]["code"] == "job-ended"


def test_submit_wait_when_user_code_raises_then_1_and_their_frame_first(streamctl: Streamctl) -> None:
    script = streamctl.script("job.py", FAILING)
    said = streamctl("submit", script, "--wait", "-D", "restart-strategy.type=none")
    assert said.status == 1, said
    shown = said.stderr[said.stderr.index("Traceback (most recent call last):") :].splitlines()
    assert shown[1].strip() == f'File "{streamctl.folder / "job.py"}", line 5, in halve'
    assert shown[2].strip() == "return 1 / number"
    assert "ZeroDivisionError: division by zero" in said.stderr
    assert "[job-failed]" in said.stderr


def test_submit_when_cancelled_by_another_then_5(streamctl: Streamctl, topic: str) -> None:
    job_id = new_job_id()
    script = streamctl.script("job.py", ENDLESS)
    waiting = streamctl.start("submit", script, "--wait", "--job-id", job_id, "--json", "--", "--topic", topic)
    deadline = time.monotonic() + WAIT_S
    while all(job["job_id"] != job_id for job in streamctl("list", "--json").last["jobs"]):
        assert time.monotonic() < deadline
    streamctl.until(job_id, lambda detail: detail["job"]["status"] == "RUNNING")
    assert streamctl("cancel", job_id).status == 0
    stdout, _ = waiting.communicate(timeout=WAIT_S)
    assert waiting.returncode == 5
    assert json.loads(stdout.splitlines()[-1])["error"]["code"] == "job-canceled"


def test_submit_when_slots_are_short_then_4_with_the_reason_and_it_starts_when_some_join(
    streamctl: Streamctl, topic: str
) -> None:
    arguments = ("-p", "3", "--timeout", "4", "--json", "--", "--topic", topic)
    said = streamctl("submit", streamctl.script("job.py", ENDLESS), *arguments)
    assert said.status == 4, said
    assert said.last["error"]["code"] == "job-not-running-yet"
    assert "slot" in said.last["error"]["message"]
    job_id = said.last["job_id"]
    joined = streamctl.start("taskmanager", "--slots", "2", "--id", "joined")
    try:
        streamctl.until(job_id, lambda detail: detail["job"]["status"] == "RUNNING")
        assert streamctl("cancel", job_id, "--wait").status == 0
    finally:
        joined.send_signal(signal.SIGTERM)
        joined.communicate(timeout=WAIT_S)


def test_submit_when_repeated_then_acknowledged_again_and_other_content_is_rejected(
    streamctl: Streamctl, topic: str
) -> None:
    job_id = new_job_id()
    script = streamctl.script("job.py", ENDLESS)
    first = streamctl("submit", script, "--job-id", job_id, "--json", "--", "--topic", topic)
    again = streamctl("submit", script, "--job-id", job_id, "--json", "--", "--topic", topic)
    assert first.last == again.last
    assert first.last["status"] == "RUNNING"
    other = streamctl("submit", script, "--job-id", job_id, "--name", "other", "--json", "--", "--topic", topic)
    assert other.status == 2, other
    assert streamctl("show", job_id, "--json").last["job"]["name"] == "endless"


def test_submit_when_a_topic_is_missing_then_1_and_its_name_before_anything_starts(streamctl: Streamctl) -> None:
    said = streamctl("submit", streamctl.script("job.py", ENDLESS), "--json", "--", "--topic", "not-there")
    assert said.status == 1, said
    assert "not-there" in said.last["error"]["message"]


def test_submit_when_the_code_is_large_then_it_runs_all_the_same(streamctl: Streamctl) -> None:
    script = streamctl.script(
        "job.py",
        "import random\n" + HEAD + "table = random.Random(1).randbytes(2_500_000)\n"
        "env.from_collection([1]).map(lambda n: f'{n} of {len(table)}').print()\n"
        "env.execute('large')\n",
    )
    said = streamctl("submit", script, "--wait", "--json")
    assert (said.status, said.last["status"]) == (0, "FINISHED"), said
    lines = streamctl("logs", said.last["job_id"], "--follow", "--json").objects
    assert "1 of 2500000" in {each["line"] for each in lines}


def test_submit_when_the_script_raises_then_2_and_their_traceback(streamctl: Streamctl) -> None:
    said = streamctl("submit", streamctl.script("job.py", HEAD + "[][3]\n"))
    assert said.status == 2
    assert said.stderr.splitlines()[1].strip() == f'File "{streamctl.folder / "job.py"}", line 4, in <module>'
    assert "IndexError: list index out of range" in said.stderr
    assert "[script-failed]" in said.stderr


def test_submit_when_the_script_never_executes_then_2_and_says_so(streamctl: Streamctl) -> None:
    said = streamctl("submit", streamctl.script("job.py", HEAD + "env.from_collection([1]).print()\n"))
    assert said.status == 2
    assert "[script-no-execute]" in said.stderr


def test_submit_wait_when_interrupted_then_130_and_the_job_runs_on(streamctl: Streamctl, topic: str) -> None:
    job_id = new_job_id()
    script = streamctl.script("job.py", ENDLESS)
    waiting = streamctl.start("submit", script, "--wait", "--job-id", job_id, "--", "--topic", topic)
    deadline = time.monotonic() + WAIT_S
    while all(job["job_id"] != job_id for job in streamctl("list", "--json").last["jobs"]):
        assert time.monotonic() < deadline
    streamctl.until(job_id, lambda detail: detail["job"]["status"] == "RUNNING")
    waiting.send_signal(signal.SIGINT)
    _, stderr = waiting.communicate(timeout=WAIT_S)
    assert waiting.returncode == 130
    assert "runs on" in stderr.splitlines()[-1]
    assert "Traceback" not in stderr
    assert streamctl("show", job_id, "--json").last["job"]["status"] == "RUNNING"
