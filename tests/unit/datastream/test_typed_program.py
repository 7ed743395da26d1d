"""Programs may be checked with mypy: the package is typed, and names inside of classes are found."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = """
from collections.abc import Iterator

from headrace.common import Duration, Time, Types, WatermarkStrategy
from headrace.datastream import (
    KeyedProcessFunction,
    RuntimeContext,
    StreamExecutionEnvironment,
    TumblingEventTimeWindows,
)
from headrace.datastream.state import StateTtlConfig, ValueStateDescriptor


class Last(KeyedProcessFunction):
    def open(self, runtime_context: RuntimeContext) -> None:
        descriptor = ValueStateDescriptor("last", Types.LONG())
        descriptor.enable_time_to_live(
            StateTtlConfig.new_builder(Time.seconds(1))
            .set_update_type(StateTtlConfig.UpdateType.OnReadAndWrite)
            .set_state_visibility(StateTtlConfig.StateVisibility.NeverReturnExpired)
            .build()
        )
        self.last = runtime_context.get_state(descriptor)
        self.seen = runtime_context.get_metrics_group().counter("seen")

    def process_element(
        self, value: tuple[str, int], ctx: KeyedProcessFunction.Context
    ) -> Iterator[tuple[str, int | None]]:
        self.seen.inc()
        self.last.update(value[1])
        yield value[0], ctx.timestamp()


env = StreamExecutionEnvironment.get_execution_environment()
strategy = WatermarkStrategy.for_bounded_out_of_orderness(Duration.of_seconds(1))
timed = env.from_collection([("a", 1)]).assign_timestamps_and_watermarks(
    strategy.with_timestamp_assigner(lambda value, _: value[1])
)
keyed = timed.key_by(lambda value: value[0], key_type=Types.STRING())
keyed.window(TumblingEventTimeWindows.of(Time.seconds(1))).reduce(lambda a, b: a).print()
keyed.process(Last()).print()
env.execute("typed")
"""


def checked(folder: Path, text: str) -> str:
    (folder / "job.py").write_text(text)
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(folder / "cache"), "job.py"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False).stdout


def test_a_program_passes_mypy_and_its_mistakes_do_not(tmp_path: Path) -> None:
    assert checked(tmp_path, PROGRAM) == "Success: no issues found in 1 source file\n"
    wrong = PROGRAM.replace("self.seen.inc()", 'self.seen.inc("two")').replace("Time.seconds(1))\n", '"1 s")\n', 1)
    found = checked(tmp_path, wrong)
    assert found.count("error:") == 2 and "[arg-type]" in found, found
