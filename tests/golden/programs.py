"""Programs whose JobGraphs are kept as golden files. Each takes an environment and adds its operators to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from headrace.common import Row, SimpleStringSchema, Time, Types, WatermarkStrategy
from headrace.datastream import (
    AggregateFunction,
    EventTimeSessionWindows,
    KeyedProcessFunction,
    OutputTag,
    ProcessFunction,
    ProcessWindowFunction,
    RuntimeContext,
    SessionWindowTimeGapExtractor,
    SlidingEventTimeWindows,
    StreamExecutionEnvironment,
    TimeWindow,
    TumblingEventTimeWindows,
)
from headrace.datastream.connectors.kafka import (
    KafkaOffsetsInitializer,
    KafkaRecordSerializationSchema,
    KafkaSink,
    KafkaSource,
)
from headrace.datastream.formats.json import JsonDeserializationSchema, JsonSerializationSchema
from headrace.datastream.state import ListStateDescriptor, ValueStateDescriptor


class Delays(AggregateFunction):
    def create_accumulator(self) -> tuple[int, float, float]:
        return 0, 0.0, float("-inf")

    def add(self, value: Any, accumulator: tuple[int, float, float]) -> tuple[int, float, float]:
        count, total, worst = accumulator
        return count + 1, total + value["delay"], max(worst, value["delay"])

    def get_result(self, accumulator: tuple[int, float, float]) -> tuple[int, float, float]:
        return accumulator

    def merge(self, acc_a: tuple[int, float, float], acc_b: tuple[int, float, float]) -> tuple[int, float, float]:
        return acc_a[0] + acc_b[0], acc_a[1] + acc_b[1], max(acc_a[2], acc_b[2])


class Day(ProcessWindowFunction[Any, Any, str, TimeWindow]):
    def process(
        self, key: str, context: ProcessWindowFunction.Context[TimeWindow], elements: Iterable[Any]
    ) -> Iterable[Any]:
        for flights, total, worst in elements:
            yield {
                "carrier": key,
                "day": context.window().start,
                "flights": flights,
                "mean": total / flights,
                "worst": worst,
            }


class WithName(KeyedProcessFunction):
    def open(self, runtime_context: RuntimeContext) -> None:
        self.name = runtime_context.get_state(ValueStateDescriptor("name", Types.STRING()))
        self.waiting = runtime_context.get_list_state(ListStateDescriptor("waiting"))

    def process_element(self, value: Any, ctx: KeyedProcessFunction.Context) -> Iterable[Any]:
        yield value


def kafka(topic: str) -> KafkaSource:
    return (
        KafkaSource.builder()
        .set_topics(topic)
        .set_starting_offsets(KafkaOffsetsInitializer.earliest())
        .set_bounded(KafkaOffsetsInitializer.latest())
        .set_value_only_deserializer(JsonDeserializationSchema())
        .build()
    )


def parse(text: Any) -> Any:
    return text


def flights(env: StreamExecutionEnvironment) -> None:
    """Daily delays by carrier, joined with the carrier's name from a second topic."""
    env.set_parallelism(2)
    times = WatermarkStrategy.for_monotonous_timestamps().with_timestamp_assigner(lambda v, _: v["time_ms"])
    days = (
        env.from_source(kafka("flights"), times, "flights")
        .map(parse)
        .key_by(lambda flight: flight["carrier"])
        .window(TumblingEventTimeWindows.of(Time.days(1)))
        .aggregate(Delays(), Day())
        .uid("days")
    )
    names = env.from_source(kafka("carriers"), WatermarkStrategy.no_watermarks(), "carriers")
    named = days.union(names).key_by(lambda row: row["carrier"]).process(WithName()).name("name").uid("name")
    serializer = (
        KafkaRecordSerializationSchema.builder()
        .set_topic("delays")
        .set_key_selector(lambda row: row["carrier"])
        .set_key_serialization_schema(SimpleStringSchema())
        .set_value_serialization_schema(JsonSerializationSchema())
        .build()
    )
    named.sink_to(KafkaSink.builder().set_record_serializer(serializer).build())


def word_count(env: StreamExecutionEnvironment) -> None:
    """The first program everybody writes, with declared types."""
    (
        env.from_collection(["to be or not", "to be"])
        .flat_map(str.split)
        .map(lambda word: Row(word, 1), Types.ROW_NAMED(["word", "count"], [Types.STRING(), Types.INT()]))
        .key_by(lambda row: row.word, Types.STRING())
        .sum("count")
        .print()
    )


def union(env: StreamExecutionEnvironment) -> None:
    """Three streams into one operator, and a stream united with itself."""
    env.set_parallelism(3)
    one = env.from_collection([1])
    two = env.from_collection([2]).map(parse)
    three = env.from_collection([3]).filter(bool).set_parallelism(1)
    together = one.union(two, three).map(parse)
    together.union(together).print("twice").set_parallelism(1)


def outputs(env: StreamExecutionEnvironment) -> None:
    """One operator read by several: some in its chain, some over edges of every kind."""
    env.set_parallelism(4)
    numbers = env.from_collection(range(9)).rebalance().map(parse).name("numbers")
    numbers.filter(bool).print("chained")
    numbers.filter(bool).start_new_chain().print("apart")
    numbers.broadcast().print("each")
    numbers.key_by(parse).reduce(max).print("most")
    numbers.map(parse).set_parallelism(2).print("fewer").set_parallelism(2)


class Sorted(ProcessFunction):
    """Pages without a visitor go to the side."""

    def process_element(self, value: Any, ctx: ProcessFunction.Context) -> Iterable[Any]:
        yield value if value["visitor"] else (NAMELESS, Row(value["page"]))


class Pause(SessionWindowTimeGapExtractor):
    def extract(self, element: Any) -> int:
        return int(element["pause_ms"])


NAMELESS = OutputTag("nameless", Types.ROW_NAMED(["page"], [Types.STRING()]))
LATE = OutputTag("late")


def visits(env: StreamExecutionEnvironment) -> None:
    """Sessions, sliding windows and side outputs, next to declared types and operators of their own chains."""
    times = WatermarkStrategy.for_monotonous_timestamps().with_timestamp_assigner(lambda v, _: v["time_ms"])
    sorted_ = env.from_source(kafka("pages"), times, "pages").process(Sorted()).set_parallelism(2)
    sorted_.get_side_output(NAMELESS).map(lambda row: row.page).print("nameless")
    keyed = sorted_.key_by(lambda page: page["visitor"])
    sessions = (
        keyed.window(EventTimeSessionWindows.with_dynamic_gap(Pause()))
        .allowed_lateness(60_000)
        .side_output_late_data(LATE)
        .aggregate(Delays(), output_type=Types.TUPLE([Types.LONG(), Types.FLOAT(), Types.FLOAT()]))
        .disable_chaining()
    )
    sessions.print("session")
    sessions.get_side_output(LATE).print("late")
    keyed.window(SlidingEventTimeWindows.of(Time.hours(1), Time.minutes(5))).reduce(max).print("hour")


PROGRAMS: dict[str, Callable[[StreamExecutionEnvironment], None]] = {
    program.__name__: program for program in (flights, outputs, union, visits, word_count)
}
