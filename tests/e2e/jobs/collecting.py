"""Jobs that bring their results back, or are followed by their JobClient; what happens is printed."""

from __future__ import annotations

import argparse
import json
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headrace.common import WatermarkStrategy
from headrace.datastream import StreamExecutionEnvironment
from headrace.datastream.connectors.number_seq import NumberSequenceSource


@dataclass
class Seen:
    number: int
    count: int


GATE_S = 60.0


def numbers(env: StreamExecutionEnvironment, last: int) -> Any:
    return env.from_source(NumberSequenceSource(0, last), WatermarkStrategy.no_watermarks(), "numbers")


def raising(number: int) -> int:
    if number == 7:
        raise ValueError("seven")
    return number


def say(**facts: Any) -> None:
    print(json.dumps(facts), flush=True)


def seen_once(number: int) -> Seen:
    return Seen(number % 100, 1)


def all_of(env: StreamExecutionEnvironment, count: int, gate: str) -> None:
    """Counts by key, through an exchange; results are objects of the script's own class.

    With ``gate``, half-way the job waits until there is such a file.
    """

    def passed(number: int) -> bool:
        if gate and number == count // 2:
            deadline_s = time.monotonic() + GATE_S
            while not Path(gate).exists():
                assert time.monotonic() < deadline_s, "the gate stays closed"
                time.sleep(0.01)
        return True

    stream = numbers(env, count - 1).filter(passed).map(seen_once).key_by(lambda seen: seen.number)
    counts = stream.reduce(lambda a, b: Seen(a.number, a.count + b.count))
    most: dict[int, int] = {}
    total = 0
    for seen in counts.execute_and_collect("collecting"):
        assert isinstance(seen, Seen)
        total += 1
        if total == count // 10:
            say(tenth=True)
        most[seen.number] = max(most.get(seen.number, 0), seen.count)
    say(results=total, keys=len(most), counts=sorted(set(most.values())))


def client(env: StreamExecutionEnvironment) -> None:
    numbers(env, 2**62).filter(lambda n: False).print()
    job = env.execute_async("followed")
    say(job=job.get_job_id(), status=job.get_job_status().result(), done=job.get_job_execution_result().done())
    job.cancel().result()
    result = job.get_job_execution_result().result(60)
    say(status=job.get_job_status().result(), result=result.status, id=result.get_job_id() == job.get_job_id())


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["all", "limit", "endless", "raising", "client"])
    parser.add_argument("count", type=int, nargs="?", default=50_000)
    parser.add_argument("--gate", default="")
    given = parser.parse_args()
    what = given.what
    env = StreamExecutionEnvironment.get_execution_environment()
    if what == "all":
        all_of(env, given.count, given.gate)
    elif what == "limit":
        say(found=numbers(env, 2**62).execute_and_collect("endless", limit=4))
    elif what == "endless":
        signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever the process was started with
        for number in numbers(env, 2**62).execute_and_collect("endless"):
            if number == 0:
                say(first=True)
    elif what == "raising":
        for _ in numbers(env, 2**62).map(raising).execute_and_collect("raising"):
            pass
    else:
        client(env)
