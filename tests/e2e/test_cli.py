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
from typing import IO, Any

import psutil
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from pydantic import BaseModel
from tests.waiting import wait_until

from headrace.embedded import EmbeddedCluster
from headrace.ids import is_job_id, new_job_id
from streamctl.json_schemas import SCHEMAS
from streamctl.kafka import Connection

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
        said = Said(process.returncode, stdout, stderr)
        if "--json" in arguments:
            for each in said.objects:
                model_of(arguments, each).model_validate(each)
        return said

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


def model_of(arguments: tuple[str, ...], printed: Any) -> type[BaseModel]:
    """The documented form of what a command printed with --json."""
    if "error" in printed:
        return SCHEMAS["any, when it fails"]
    name = " ".join(arguments[: 2 if arguments[0] == "config" else 1])
    if name == "topics" and "--peek" in arguments:
        name = "topics TOPIC --peek"
    elif name == "topics" and "topic" in printed:
        name = "topics TOPIC"
    elif name == "topics" and "--job" in arguments:
        name = "topics --job"
    return SCHEMAS[name]


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


def test_submit_when_the_script_does_not_parse_then_2_and_its_line(streamctl: Streamctl) -> None:
    said = streamctl("submit", streamctl.script("job.py", HEAD + "env.from_collection([1)\n"))
    assert said.status == 2
    assert "job.py line 4" in said.stderr and "[script-syntax]" in said.stderr
    assert "runpy" not in said.stderr


def test_submit_when_a_key_cannot_be_one_then_1_and_what_to_use(streamctl: Streamctl) -> None:
    keyed = "env.from_collection([1, 2]).key_by(lambda n: [n]).reduce(lambda a, b: a).print()\n"
    script = streamctl.script("job.py", HEAD + keyed + "env.execute('keyed')\n")
    said = streamctl("submit", script, "--wait", "--json")
    assert said.status == 1, said
    message = said.last["error"]["message"]
    assert "key-unsupported" in message and "list cannot be a key" in message and "tuple(key)" in message, message


def test_submit_when_records_have_no_event_time_then_1_and_what_to_do(streamctl: Streamctl) -> None:
    script = streamctl.script(
        "job.py",
        HEAD
        + "from headrace.common import Time\n"
        + "from headrace.datastream import TumblingEventTimeWindows\n"
        + "windows = env.from_collection([('a', 1)]).key_by(lambda pair: pair[0])\n"
        + "windows = windows.window(TumblingEventTimeWindows.of(Time.seconds(5)))\n"
        + "windows.reduce(lambda a, b: a).print()\n"
        + "env.execute('timeless')\n",
    )
    said = streamctl("submit", script, "--wait", "--json")
    assert said.status == 1, said
    assert "event-time-missing" in said.last["error"]["message"], said.last


def test_submit_when_the_parallelism_is_above_the_lanes_then_2(streamctl: Streamctl) -> None:
    said = streamctl("submit", streamctl.script("job.py", PRINTING), "-p", "65")
    assert said.status == 2
    assert "[parallelism-invalid]" in said.stderr and "from 1 to 64, not 65" in said.stderr


def test_submit_when_the_script_never_executes_then_2_and_says_so(streamctl: Streamctl) -> None:
    said = streamctl("submit", streamctl.script("job.py", HEAD + "env.from_collection([1]).print()\n"))
    assert said.status == 2
    assert "[script-no-execute]" in said.stderr


SLOW_TO_BUILD = (
    """
import time
print("building", flush=True)
for _ in range(600):
    time.sleep(0.1)  # one long sleep may begin in the moment after a signal, and then is not cut short
"""
    + PRINTING
)


def interrupt(process: subprocess.Popen[str]) -> Said:
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=WAIT_S)
    assert "Traceback" not in stderr
    return Said(process.returncode, stdout, stderr)


def read_until(stream: IO[str] | None, text: str) -> None:
    assert stream is not None
    assert any(text in line for line in stream), f"it ended without saying {text!r}"


def test_submit_when_interrupted_while_the_script_builds_then_130_and_nothing_was_submitted(
    streamctl: Streamctl,
) -> None:
    before = streamctl("list", "--json").last
    building = streamctl.start("submit", streamctl.script("job.py", SLOW_TO_BUILD))
    read_until(building.stdout, "building")
    said = interrupt(building)
    assert (said.status, said.stderr) == (130, "interrupted; nothing was submitted\n")
    assert streamctl("list", "--json").last == before


@pytest.mark.parametrize("format_", ["text", "json"])
def test_submit_when_interrupted_before_the_answer_then_130_and_how_to_repeat_it(
    streamctl: Streamctl, cluster: EmbeddedCluster, format_: str
) -> None:
    quiet = f"quiet-{format_}"  # a namespace whose Dispatchers are all away
    admin = AdminClient({"bootstrap.servers": cluster.addresses.bootstrap})
    names = [f"{quiet}.{short}" for short in ("jobs", "job-events", "artifacts")]
    for created in admin.create_topics([NewTopic(name, 1) for name in names]).values():
        created.result(20)
    options = ["--json"] if format_ == "json" else []
    waiting = streamctl.start("submit", streamctl.script("job.py", PRINTING), "--namespace", quiet, *options)
    deadline = time.monotonic() + WAIT_S
    with Connection(cluster.addresses.bootstrap, {}) as kafka:
        while kafka.offsets(f"{quiet}.jobs", 0) == (0, 0):  # looked at often: it waits for 10 s only
            assert time.monotonic() < deadline
    said = interrupt(waiting)
    assert said.status == 130, said
    text = said.last["error"]["hint"] if options else said.stderr
    job_id = said.last["job_id"] if options else text.partition("--job-id ")[2].split()[0]
    assert is_job_id(job_id)
    assert f"job {job_id[:12]} may have been submitted: `streamctl show {job_id}` tells" in text
    assert f"submitting again with --job-id {job_id} is safe" in text


def test_submit_when_interrupted_while_the_job_waits_then_130_and_it_stays(streamctl: Streamctl, topic: str) -> None:
    script = streamctl.script("job.py", ENDLESS)
    waiting = streamctl.start("submit", script, "-p", str(SLOTS + 1), "--", "--topic", topic)
    read_until(waiting.stderr, f"waiting for {SLOTS + 1} slots")
    said = interrupt(waiting)
    assert said.status == 130
    line = said.stderr.splitlines()[-1]
    assert line.startswith("interrupted; job ") and "stays and starts when it can" in line
    assert streamctl("show", line.split()[2], "--json").last["job"]["status"] == "CREATED"


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


def test_topics_of_a_running_job_lists_detail_lag_and_records(streamctl: Streamctl, cluster: EmbeddedCluster) -> None:
    admin = AdminClient({"bootstrap.servers": cluster.addresses.bootstrap})
    admin.create_topics([NewTopic("peeked", 2)])["peeked"].result(20)
    producer = Producer({"bootstrap.servers": cluster.addresses.bootstrap})
    for number in range(5):
        producer.produce("peeked", f"word {number}", key=b"\xff", headers=[("n", b"1")], partition=number % 2)
    assert producer.flush(20) == 0
    script = streamctl.script("job.py", ENDLESS)
    job = streamctl("submit", script, "--json", "--", "--topic", "peeked").last["job_id"]
    names = [each["name"] for each in streamctl("topics", "--json").last["topics"]]
    assert "peeked" in names and not any(name.startswith(("__", "headrace.")) for name in names)
    every = {each["name"]: each["kind"] for each in streamctl("topics", "--all", "--json").last["topics"]}
    assert every["headrace.job-log"] == "control" and every[f"headrace.s.{job}.1.v1"] == "lane log"

    def read() -> list[Any]:
        partitions = streamctl("topics", "peeked", "--job", job, "--json").last["topic"]["partitions"]
        return [(each["records"], each["read_to"], each["lag"]) for each in partitions]

    deadline = time.monotonic() + WAIT_S
    while read() != [(3, 3, 0), (2, 2, 0)]:
        assert time.monotonic() < deadline, read()
    (source, *_) = streamctl("topics", "--job", job, "--json").last["topics"]
    assert (source["name"], source["role"], source["lag"]) == ("peeked", "source", 0)
    first = streamctl("topics", "peeked", "--peek", "9", "--partition", "1", "--json").objects
    assert [each["value"] for each in first] == ["word 1", "word 3"]
    assert first[0]["key_base64"] == "/w==" and first[0]["headers"] == [{"name": "n", "value": "1"}]
    last = streamctl("topics", "peeked", "--peek", "2", "--from-end", "--json").objects
    assert {each["value"] for each in last} <= {f"word {n}" for n in range(5)} and len(last) == 2
    log = streamctl("topics", f"headrace.s.{job}.1.v1", "--peek", "1", "--from-end")
    assert "commit" in log.stdout and "at peeked/" in log.stdout


def test_topics_when_there_is_none_of_that_name_then_2_and_one_that_is_close(
    streamctl: Streamctl, topic: str
) -> None:
    said = streamctl("topics", "wrds")
    assert (said.status, said.stdout) == (2, "")
    assert "[topic-unknown]" in said.stderr and f"did you mean {topic}" in said.stderr


def test_show_names_the_process_of_each_lane(streamctl: Streamctl, topic: str) -> None:
    job = streamctl("submit", streamctl.script("job.py", ENDLESS), "--json", "--", "--topic", topic).last["job_id"]
    detail = streamctl.until(job, lambda found: all(each["pid"] for each in found["workers"].values()))
    assert detail["workers"].keys() == {"v1/0"}
    worker = psutil.Process(detail["workers"]["v1/0"]["pid"])
    assert "headrace" in " ".join(worker.cmdline())


def test_top_prints_one_sample_when_nobody_watches(streamctl: Streamctl, topic: str) -> None:
    job = streamctl("submit", streamctl.script("job.py", ENDLESS), "--json", "--", "--topic", topic).last["job_id"]
    found: list[Any] = []

    def rates_are_there() -> bool:  # two reports of the lane: RUNNING comes before the first, another each second
        found.append(streamctl("top", "--interval", "1.5", "--json").last)
        return found[-1]["jobs"][0]["commits_per_s"] is not None

    wait_until(rates_are_there, deadline_s=WAIT_S)
    sample = found[-1]
    assert [each["job_id"] for each in sample["jobs"]] == [job]
    assert [(each["slots"], each["occupied"]) for each in sample["taskmanagers"]] == [(SLOTS, 1)]
    page = streamctl("top", "--once")
    assert page.status == 0 and "TaskManagers" in page.stdout and job[:8] in page.stdout


def test_doctor_when_all_is_well_then_0(streamctl: Streamctl) -> None:
    said = streamctl("doctor", "--json")
    findings = {each["check"]: each["found"] for each in said.last["findings"] if each["grade"] == "ok"}
    assert said.status == 0, said
    assert {"kafka", "hanging transactions", "control topics", "job topics", "redis", "dispatcher"} <= findings.keys()
    assert findings["kafka release"] == "release 4.2" and findings["hanging transactions"] == "none"
    assert findings["clocks"].startswith("Kafka, Redis: within ")


def test_doctor_when_redis_is_away_then_1_and_what_to_do(streamctl: Streamctl) -> None:
    said = streamctl("doctor", "--redis", "redis://127.0.0.1:1/0")
    assert said.status == 1
    assert "fail  redis" in said.stdout and "start it, or name another with --redis" in said.stdout


def test_doctor_when_a_control_topic_loses_records_by_itself_then_1(
    streamctl: Streamctl, cluster: EmbeddedCluster
) -> None:
    names = [f"ill.{short}" for short in ("jobs", "job-log", "plans", "task-events", "job-events", "logs")]
    admin = AdminClient({"bootstrap.servers": cluster.addresses.bootstrap})
    for created in admin.create_topics([NewTopic(name, 1) for name in [*names, "ill.artifacts"]]).values():
        created.result(20)
    said = streamctl("doctor", "--namespace", "ill", "--json")
    (control,) = [each for each in said.last["findings"] if each["check"] == "control topics"]
    assert said.status == 1 and (control["grade"], control["found"]) == ("fail", "missing: ill.dead-letters")
    admin.create_topics([NewTopic("ill.dead-letters", 1)])["ill.dead-letters"].result(20)
    said = streamctl("doctor", "--namespace", "ill", "--json")
    (control,) = [each for each in said.last["findings"] if each["check"] == "control topics"]
    assert "ill.job-log: cleanup.policy is delete, must be compact" in control["found"]


def test_completion_offers_ids_and_names_of_jobs(streamctl: Streamctl, topic: str) -> None:
    job = streamctl("submit", streamctl.script("job.py", ENDLESS), "--json", "--", "--topic", topic).last["job_id"]
    asking = {"COMP_WORDS": "streamctl show endl", "COMP_CWORD": "2", "_STREAMCTL_COMPLETE": "complete_bash"}
    streamctl.environment |= asking
    deadline = time.monotonic() + WAIT_S
    while streamctl().stdout.split() != ["endless"]:  # REST has one second to answer
        assert time.monotonic() < deadline, streamctl()
    streamctl.environment["COMP_WORDS"] = f"streamctl cancel {job[:5]}"
    while job[:12] not in streamctl().stdout.split():
        assert time.monotonic() < deadline
    rest = streamctl.environment["HEADRACE_REST"]
    streamctl.environment["HEADRACE_REST"] = "http://127.0.0.1:1"
    gone = streamctl()
    assert (gone.stdout.strip(), gone.stderr) == ("", "")
    streamctl.environment["HEADRACE_REST"] = rest
    for name in asking:
        del streamctl.environment[name]
