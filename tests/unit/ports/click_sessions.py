"""Sessions of clicks, and the clicks that came too late for theirs; as PyFlink's users write it.

Ten people click once a second and pause for a hundred seconds after every fifteen minutes. Written for PyFlink; the
imports alone were changed.
"""

from collections.abc import Iterable

from headrace.common import Duration, Time, Types, WatermarkStrategy
from headrace.common.watermark_strategy import TimestampAssigner
from headrace.datastream import OutputTag, ProcessWindowFunction, StreamExecutionEnvironment
from headrace.datastream.window import EventTimeSessionWindows, TimeWindow

CLICK_TYPE = Types.TUPLE([Types.STRING(), Types.LONG(), Types.STRING()])
SESSION_TYPE = Types.TUPLE([Types.STRING(), Types.LONG(), Types.LONG(), Types.INT()])
LATE_CLICKS = OutputTag("late-clicks", CLICK_TYPE)
GAP = Time.seconds(30)


def clicks():
    for second in range(8_000):
        if second % 1_000 < 900:
            for person in range(10):
                yield f"u{person}", second * 1_000, "/page"
    yield "u0", 5_000, "/late"
    yield "u3", 6_000, "/late"


class ClickTime(TimestampAssigner):
    def extract_timestamp(self, value: tuple[str, int, str], record_timestamp: int) -> int:
        return value[1]


class Session(ProcessWindowFunction[tuple, tuple, str, TimeWindow]):
    def process(
        self, key: str, context: ProcessWindowFunction.Context[TimeWindow], elements: Iterable[tuple]
    ) -> Iterable[tuple]:
        return [(key, context.window().start, context.window().end, len([each for each in elements]))]


def sessions(env: StreamExecutionEnvironment):
    strategy = WatermarkStrategy.for_bounded_out_of_orderness(Duration.of_seconds(5)).with_timestamp_assigner(
        ClickTime()
    )
    return (
        env.from_collection(list(clicks()), type_info=CLICK_TYPE)
        .assign_timestamps_and_watermarks(strategy)
        .key_by(lambda click: click[0], key_type=Types.STRING())
        .window(EventTimeSessionWindows.with_gap(GAP))
        .side_output_late_data(LATE_CLICKS)
        .process(Session(), SESSION_TYPE)
    )


if __name__ == "__main__":
    env = StreamExecutionEnvironment.get_execution_environment()
    env.set_parallelism(1)
    ended = sessions(env)
    ended.print("session")
    ended.get_side_output(LATE_CLICKS).print("late")
    env.execute("click sessions")
