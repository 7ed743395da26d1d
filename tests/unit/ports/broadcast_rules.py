"""Alerts on card payments by rules that change while the job runs.

Rules reach every task as a broadcast stream and are kept as broadcast state, each with the moment from which it
holds. A payment waits in keyed state until event time has reached it, so that it is judged by the rules of its own
moment, whatever the order in which the two streams are read.

Written against PyFlink's DataStream API; of the original, the imports are changed.
"""

from __future__ import annotations

from headrace.common import Row, Types, WatermarkStrategy
from headrace.common.watermark_strategy import TimestampAssigner
from headrace.datastream import StreamExecutionEnvironment
from headrace.datastream.functions import KeyedBroadcastProcessFunction, RuntimeContext
from headrace.datastream.state import MapStateDescriptor, ValueStateDescriptor

PAYMENT = Types.ROW_NAMED(["card", "amount", "time"], [Types.STRING(), Types.INT(), Types.LONG()])
RULE = Types.ROW_NAMED(["name", "limit", "time"], [Types.STRING(), Types.INT(), Types.LONG()])
RULES = MapStateDescriptor("rules", Types.STRING(), Types.PICKLED_BYTE_ARRAY())

PAYMENTS = [
    ("anna", 50, 1_000),
    ("ben", 250, 2_000),
    ("anna", 120, 3_000),
    ("ben", 90, 4_000),
    ("anna", 40, 5_000),
    ("carl", 500, 6_000),
    ("ben", 260, 7_000),
]
#: A limit of 0 ends a rule.
CHANGES = [
    ("single", 200, 0),
    ("total", 160, 2_500),
    ("single", 400, 5_500),
    ("total", 0, 6_500),
]


class EventTime(TimestampAssigner):
    def extract_timestamp(self, value: Row, record_timestamp: int) -> int:
        return value.time


class Alerts(KeyedBroadcastProcessFunction):
    """single: one payment above the limit. total: all payments of the card together above it."""

    def open(self, runtime_context: RuntimeContext) -> None:
        self.waiting = runtime_context.get_map_state(
            MapStateDescriptor("waiting", Types.LONG(), Types.LIST(Types.INT()))
        )
        self.total = runtime_context.get_state(ValueStateDescriptor("total", Types.INT()))

    def process_element(self, value: Row, ctx: KeyedBroadcastProcessFunction.ReadOnlyContext):
        self.waiting.put(value.time, (self.waiting.get(value.time) or []) + [value.amount])
        ctx.timer_service().register_event_time_timer(value.time)

    def process_broadcast_element(self, value: Row, ctx: KeyedBroadcastProcessFunction.Context):
        rules = ctx.get_broadcast_state(RULES)
        changes = rules.get(value.name) if rules.contains(value.name) else []
        rules.put(value.name, changes + [(value.time, value.limit)])

    def on_timer(self, timestamp: int, ctx: KeyedBroadcastProcessFunction.OnTimerContext):
        for amount in self.waiting.get(timestamp):
            total = (self.total.value() or 0) + amount
            self.total.update(total)
            for name, changes in ctx.get_broadcast_state(RULES).items():
                held = [limit for time, limit in sorted(changes) if time <= timestamp]
                limit = held[-1] if held else 0
                seen = amount if name == "single" else total
                if limit and seen > limit:
                    yield f"{timestamp} {ctx.get_current_key()}: {name} {seen} > {limit}"
        self.waiting.remove(timestamp)


def main() -> None:
    env = StreamExecutionEnvironment.get_execution_environment()
    env.set_parallelism(2)
    strategy = WatermarkStrategy.for_monotonous_timestamps().with_timestamp_assigner(EventTime())
    payments = env.from_collection(PAYMENTS, type_info=PAYMENT).assign_timestamps_and_watermarks(strategy)
    changes = env.from_collection(CHANGES, type_info=RULE).assign_timestamps_and_watermarks(strategy)
    alerts = (
        payments.key_by(lambda payment: payment.card, key_type=Types.STRING())
        .connect(changes.broadcast(RULES))
        .process(Alerts(), output_type=Types.STRING())
    )
    alerts.print()
    env.execute("alerts")


if __name__ == "__main__":
    main()
