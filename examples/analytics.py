"""A shop as it happens: what sells, how visitors become buyers, which way they take.

    python examples/analytics.py                              two days of a made-up shop in seconds, on this terminal
    streamctl submit examples/analytics.py -p 2               on the cluster, then: streamctl logs -f analytics
    streamctl submit examples/analytics.py -- --topics shop   to the topics shop-products, shop-sessions, shop-funnel
                                                              and shop-late, which must exist

products    units and revenue of each product and hour, by event time
sessions    the path of each visit: a visit ends when half an hour passes without an event of the user
funnel      of each day's visits by new users, and by known ones, how many came how far
late        events that came when their visit or hour was over already; nothing is lost without a word

The events are those of shop.py.
"""

import argparse
from datetime import UTC, datetime

import shop

from headrace.common import Duration, Time, TimestampAssigner, WatermarkStrategy
from headrace.datastream import (
    AggregateFunction,
    MapFunction,
    OutputTag,
    ProcessWindowFunction,
    RuntimeContext,
    StreamExecutionEnvironment,
)
from headrace.datastream.connectors.datagen import DataGeneratorSource, RateLimiterStrategy
from headrace.datastream.connectors.kafka import KafkaRecordSerializationSchema, KafkaSink
from headrace.datastream.formats.json import JsonSerializationSchema
from headrace.datastream.window import EventTimeSessionWindows, TumblingEventTimeWindows

STAGES = ("visit", "product", "cart", "checkout", "order")
LATE_ORDERS = OutputTag("late orders")
LATE_EVENTS = OutputTag("late events")


class ShopEvents(MapFunction):
    """From the number of an event to the event."""

    def __init__(self, seed, late_share):
        self.seed, self.late_share = seed, late_share

    def open(self, runtime_context: RuntimeContext):
        self.events = shop.events(self.seed, self.late_share)

    def map(self, value):
        return self.events[value]


class HappenedAt(TimestampAssigner):
    def extract_timestamp(self, value, record_timestamp):
        return value["at"]


class Sales(AggregateFunction):
    def create_accumulator(self):
        return 0, 0

    def add(self, value, accumulator):
        return accumulator[0] + value["units"], accumulator[1] + value["cents"]

    def get_result(self, accumulator):
        return accumulator

    def merge(self, acc_a, acc_b):
        return acc_a[0] + acc_b[0], acc_a[1] + acc_b[1]


class ProductHour(ProcessWindowFunction):
    def process(self, key, context, elements):
        for units, cents in elements:
            yield {"product": key, "hour": utc(context.window().start), "units": units, "revenue": cents / 100}


class Session(ProcessWindowFunction):
    """The path of one visit, in the order in which it happened."""

    def process(self, key, context, elements):
        events = sorted(elements, key=lambda event: event["at"])
        path = [step(event) for event in events if event["kind"] != "user"]
        yield {
            "user": key,
            "new": any(event["kind"] == "user" for event in events),
            "start": utc(events[0]["at"]),
            "seconds": (events[-1]["at"] - events[0]["at"]) // 1000,
            "path": path,
            "stage": max(map(stage, path), key=STAGES.index, default="visit"),
        }


class Funnel(AggregateFunction):
    """How many sessions reached each stage; who reached one has reached those before it."""

    def create_accumulator(self):
        return [0] * len(STAGES)

    def add(self, value, accumulator):
        reached = STAGES.index(value["stage"])
        return [count + (number <= reached) for number, count in enumerate(accumulator)]

    def get_result(self, accumulator):
        return accumulator

    def merge(self, acc_a, acc_b):
        return [a + b for a, b in zip(acc_a, acc_b, strict=True)]


class FunnelDay(ProcessWindowFunction):
    def process(self, key, context, elements):
        for counts in elements:
            day = utc(context.window().start)[:10]
            yield {"visitors": "new" if key else "known", "day": day, **dict(zip(STAGES, counts, strict=True))}


def step(event):
    """How an event stands in a path."""
    return "order" if event["kind"] == "order" else event["page"]


def stage(page):
    """How far a visitor has come who is on this page."""
    if page in shop.PRICES:
        return "product"
    return page if page in STAGES else "visit"


def utc(at_ms):
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")


def send(rows, name, topics):
    """To a Kafka topic, or to the terminal when there are none."""
    if topics is None:
        return rows.print(name)
    serializer = KafkaRecordSerializationSchema.builder().set_topic(f"{topics}-{name}")
    serializer.set_value_serialization_schema(JsonSerializationSchema())
    return rows.sink_to(KafkaSink.builder().set_record_serializer(serializer.build()).build())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=7, help="another seed, another shop")
    parser.add_argument("--late-share", type=float, default=0.01, help="how many of the events come hours late")
    parser.add_argument("--rate", type=float, default=400, help="events a second")
    parser.add_argument("--topics", metavar="PREFIX", help="write to topics; else everything is printed")
    options = parser.parse_args()

    env = StreamExecutionEnvironment.get_execution_environment()
    source = DataGeneratorSource(
        ShopEvents(options.seed, options.late_share),
        count=len(shop.events(options.seed, options.late_share)),
        rate_limiter_strategy=RateLimiterStrategy.per_second(options.rate),
    )
    out_of_order = WatermarkStrategy.for_bounded_out_of_orderness(Duration.of_minutes(1))
    events = env.from_source(source, out_of_order.with_timestamp_assigner(HappenedAt()), "shop")

    products = (
        events.filter(lambda event: event["kind"] == "order")
        .key_by(lambda order: order["product"])
        .window(TumblingEventTimeWindows.of(Time.hours(1)))
        .side_output_late_data(LATE_ORDERS)
        .aggregate(Sales(), ProductHour())
        .name("products")
    )
    sessions = (
        events.key_by(lambda event: event["user"])
        .window(EventTimeSessionWindows.with_gap(Time.minutes(30)))
        .side_output_late_data(LATE_EVENTS)
        .process(Session())
        .name("sessions")
    )
    funnel = (
        sessions.key_by(lambda session: session["new"])
        .window(TumblingEventTimeWindows.of(Time.days(1)))
        .aggregate(Funnel(), FunnelDay())
        .name("funnel")
    )
    late_orders = products.get_side_output(LATE_ORDERS).map(lambda event: {"missed": "hour", **event})
    late_events = sessions.get_side_output(LATE_EVENTS).map(lambda event: {"missed": "session", **event})
    send(products, "products", options.topics)
    send(sessions, "sessions", options.topics)
    send(funnel, "funnel", options.topics)
    send(late_orders.union(late_events), "late", options.topics)
    env.execute("analytics")


if __name__ == "__main__":
    main()
