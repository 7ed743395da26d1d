"""How long somebody waits for their first job on a cluster that runs already.

``streamctl submit examples/hello.py`` as a process of its own, from its start to its line "RUNNING", and to the
moment at which a reader of the cluster's logs has the first line that the job printed.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from confluent_kafka import OFFSET_END, Consumer, TopicPartition
from pydantic import JsonValue

from headrace import clock
from headrace.embedded.cluster import Addresses
from headrace.errors import StillWaitingError
from headrace.protocol.control import LogLines
from headrace.protocol.topics import Topics
from streamctl.trial.cluster import example_file, load_average, trial_cluster

FIRST_LINE = "HELLO"
DEADLINE_S = 60.0


@dataclass(frozen=True)
class Submitted:
    """Several submissions one after the other, the first of them left out; seconds."""

    running_s: list[float] = field(default_factory=list)
    output_s: list[float] = field(default_factory=list)
    load: float = 0.0

    def json(self) -> JsonValue:
        return {
            "bench": "submit",
            "submissions": len(self.running_s),
            "running_p50_s": _middle(self.running_s),
            "running_max_s": round(max(self.running_s), 3),
            "first_output_p50_s": _middle(self.output_s),
            "first_output_max_s": round(max(self.output_s), 3),
            "load": self.load,
        }


def run_submit(times: int, say: Callable[[str], None]) -> Submitted:
    """Submit hello ``times`` times on a cluster of its own. Raises HeadraceError when one takes DEADLINE_S."""
    script = example_file("hello.py")
    with trial_cluster("submit", slots=2, say=say) as cluster:
        addresses = cluster.start()
        result = Submitted(load=load_average())
        for number in range(times + 1):
            running_s, output_s = _submit(addresses, str(script))
            say(f"RUNNING after {running_s:.2f} s, first output after {output_s:.2f} s")
            if number > 0:  # the first one warms the cluster up
                result.running_s.append(running_s)
                result.output_s.append(output_s)
        return result


def _submit(addresses: Addresses, script: str) -> tuple[float, float]:
    logs = _FirstLine(addresses)
    command = [str(Path(sys.executable).with_name("streamctl")), "submit", "--bootstrap", addresses.bootstrap, script]
    began_s = clock.monotonic_s()
    logs.start()
    running_s = None
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as submit:
        assert submit.stdout is not None
        for line in submit.stdout:
            if running_s is None and "RUNNING" in line:
                running_s = clock.monotonic_s() - began_s
    logs.join(DEADLINE_S)
    if running_s is None or logs.seen_s is None:
        raise StillWaitingError("trial-too-slow", f"hello has not run or not printed within {DEADLINE_S:.0f} s")
    return running_s, logs.seen_s - began_s


class _FirstLine(threading.Thread):
    """Waits for the first line of the job's output in the topic of all logs."""

    def __init__(self, addresses: Addresses) -> None:
        super().__init__(name="first line", daemon=True)
        self.seen_s: float | None = None
        topic = Topics(addresses.namespace).logs
        self._consumer = Consumer(
            {
                "bootstrap.servers": addresses.bootstrap,
                "group.id": "first-line",
                "enable.auto.commit": False,
                "fetch.wait.max.ms": 10,
                "log_level": 0,
            }
        )
        partitions = self._consumer.list_topics(topic, timeout=10).topics[topic].partitions
        ends = {p: self._consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=10) for p in partitions}
        self._consumer.assign(
            [TopicPartition(topic, p, OFFSET_END if end is None else end[1]) for p, end in ends.items()]
        )

    def run(self) -> None:
        deadline_s = clock.monotonic_s() + DEADLINE_S
        while self.seen_s is None and clock.monotonic_s() < deadline_s:
            message = self._consumer.poll(0.1)
            if message is not None and message.error() is None:
                lines = LogLines.model_validate_json(message.value() or b"").lines
                if any(FIRST_LINE in line for line in lines):
                    self.seen_s = clock.monotonic_s()
        self._consumer.close()


def _middle(values: list[float]) -> float:
    return round(sorted(values)[len(values) // 2], 3)
