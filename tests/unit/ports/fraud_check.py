"""A fraud check as PyFlink's users write it: a small payment and a large one within a minute raise an alert.

State says that the last payment of an account was small; a timer takes that back after a minute, and says so. Written
for PyFlink; the imports alone were changed.
"""

from headrace.common import Row, Time, Types, WatermarkStrategy
from headrace.common.watermark_strategy import TimestampAssigner
from headrace.datastream import StreamExecutionEnvironment
from headrace.datastream.functions import KeyedProcessFunction, RuntimeContext
from headrace.datastream.state import StateTtlConfig, ValueStateDescriptor

SMALL_AMOUNT = 1.00
LARGE_AMOUNT = 500.00
ONE_MINUTE = 60 * 1000

PAYMENT_TYPE = Types.ROW_NAMED(["account_id", "timestamp", "amount"], [Types.LONG(), Types.LONG(), Types.DOUBLE()])
ALERT_TYPE = Types.ROW_NAMED(["account_id", "what", "amount"], [Types.LONG(), Types.STRING(), Types.DOUBLE()])

PAYMENTS = [
    Row(1, 1_000, 0.50),  # small
    Row(2, 1_500, 0.10),  # small, of another account; nothing follows
    Row(1, 20_000, 800.00),  # large within the minute: alert
    Row(1, 30_000, 900.00),  # large again, but the payment before was large
    Row(3, 71_000, 600.00),  # nothing before it
    Row(3, 72_000, 0.99),
    Row(3, 73_000, 20.00),  # neither small nor large
    Row(3, 74_000, 501.00),
    Row(1, 200_000, 0.01),
    Row(1, 259_999, 500.01),  # just within the minute: alert
]


class PaymentTime(TimestampAssigner):
    def extract_timestamp(self, value, record_timestamp):
        return value[1]


class FraudDetector(KeyedProcessFunction):
    def __init__(self):
        self.flag_state = None
        self.timer_state = None

    def open(self, runtime_context: RuntimeContext):
        ttl = StateTtlConfig.new_builder(Time.days(1)).build()
        flag = ValueStateDescriptor("flag", Types.BOOLEAN())
        flag.enable_time_to_live(ttl)
        self.flag_state = runtime_context.get_state(flag)
        self.timer_state = runtime_context.get_state(ValueStateDescriptor("timer-state", Types.LONG()))

    def process_element(self, value, ctx: "KeyedProcessFunction.Context"):
        if self.flag_state.value() is not None:
            if value["amount"] > LARGE_AMOUNT:
                yield Row(account_id=value["account_id"], what="alert", amount=value["amount"])
            self.clean_up(ctx)
        if value["amount"] < SMALL_AMOUNT:
            self.flag_state.update(True)
            timer = ctx.timestamp() + ONE_MINUTE
            ctx.timer_service().register_event_time_timer(timer)
            self.timer_state.update(timer)

    def on_timer(self, timestamp: int, ctx: "KeyedProcessFunction.OnTimerContext"):
        self.timer_state.clear()
        self.flag_state.clear()
        yield Row(account_id=ctx.get_current_key(), what="all quiet", amount=0.0)

    def clean_up(self, ctx: "KeyedProcessFunction.Context"):
        ctx.timer_service().delete_event_time_timer(self.timer_state.value())
        self.timer_state.clear()
        self.flag_state.clear()


def alerts(env: StreamExecutionEnvironment):
    return (
        env.from_collection(PAYMENTS, type_info=PAYMENT_TYPE)
        .assign_timestamps_and_watermarks(
            WatermarkStrategy.for_monotonous_timestamps().with_timestamp_assigner(PaymentTime())
        )
        .key_by(lambda payment: payment["account_id"], key_type=Types.LONG())
        .process(FraudDetector(), output_type=ALERT_TYPE)
    )


if __name__ == "__main__":
    env = StreamExecutionEnvironment.get_execution_environment()
    env.set_parallelism(1)
    alerts(env).print()
    env.execute("fraud check")
