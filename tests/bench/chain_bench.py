"""What runs inside a lane, without Kafka: CPU per record of chains and state. Run by hand:

    python -m tests.bench.chain_bench [NAME...]

CPU time of this process, best of several rounds, so that other load on the machine disturbs little.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable
from typing import Any

import msgspec
from tests.unit.operators.one_lane import OneLane, op

from headrace.common.typeinfo import Types
from headrace.datastream.functions import AggregateFunction, KeyedProcessFunction, ProcessJoinFunction, RuntimeContext
from headrace.datastream.state import ValueStateDescriptor
from headrace.graph.job_graph import Edge, Ship
from headrace.runtime.exchange import EdgeBuffer
from headrace.runtime.operators.formats import make_decoder
from headrace.runtime.state.tables import MISSING, Tables

ROUNDS = 15
BATCH = 4_000
ROWS = 40_000
KEYS = 1_000


def records(count: int) -> list[bytes]:
    """JSON of about 100 bytes, 1,000 keys, ``v`` below 70 in 70 % of them."""
    rng = random.Random(1)
    return [
        msgspec.json.encode(
            {"k": f"key-{rng.randrange(KEYS)}", "v": rng.randrange(100), "t": 1_700_000_000_000 + n // 10, "i": n,
             "pad": "x" * 35}
        )
        for n in range(count)
    ]  # fmt: skip


def measured(run: Callable[[], None], prepare: Callable[[], None] = lambda: None) -> float:
    """CPU seconds of the quickest round."""
    best = float("inf")
    for _ in range(ROUNDS):
        prepare()
        begun = time.process_time()
        run()
        best = min(best, time.process_time() - begun)
    return best


def report(name: str, seconds: float, count: int = ROWS) -> None:
    per_record = seconds / count
    print(f"{name:46s} {per_record * 1e6:6.3f} us/record {1 / per_record / 1e3:8.0f} k/s")


class Columns:
    """An edge writer of three appends, as the least that a real one does."""

    def __init__(self) -> None:
        self.keys: list[Any] = []
        self.values: list[Any] = []
        self.times: list[Any] = []

    def write(self, value: Any, time_ms: int | None) -> None:
        self.keys.append(value["k"])
        self.values.append(value)
        self.times.append(time_ms)

    def clear(self) -> None:
        for column in (self.keys, self.values, self.times):
            column.clear()


def with_writer(lane: OneLane, writer: Any) -> OneLane:
    """The lane with another edge writer on its last operator."""
    lane.edge_override = writer
    lane.start()
    return lane


def bench_source() -> None:
    data = records(ROWS)
    times: list[int] = list(range(ROWS))
    decode = make_decoder({"kind": "json", "tolerant": False})
    source = op("kafka_source", {"timestamp": lambda v, t: v["t"]}, watermark={"kind": "monotonous", "delay_ms": 0})
    plain = op("kafka_source", watermark=None)
    keep = op("filter", {"filter": lambda v: v["v"] < 70})

    def batches(run: Callable[[list[Any], list[int]], None]) -> Callable[[], None]:
        def all_batches() -> None:
            for at in range(0, ROWS, BATCH):
                run(data[at : at + BATCH], times[at : at + BATCH])

        return all_batches

    report("decode JSON to dict", measured(batches(lambda raw, t: decode(raw) and None)))
    columns = Columns()
    for name, head in (("decode, filter, edge write", plain), ("  with timestamps and watermarks", source)):
        lane = with_writer(OneLane(head, keep), columns)
        run = batches(lambda raw, t, c=lane.chain: c.process_source(decode(raw), t, "s/0"))
        report(name, measured(run, columns.clear))
    edge = Edge(id="e0", source="v1", operator=0, target="v2", ship=Ship.HASH, key="k")
    buffer = EdgeBuffer(edge, source_lane=0, target_lanes=8)
    buffer.set_key_selector(lambda v: v["k"])
    lane = with_writer(OneLane(source, keep), buffer)
    run = batches(lambda raw, t, c=lane.chain: c.process_source(decode(raw), t, "s/0"))
    report("  and the real hash edge", measured(run, buffer.reset))
    four = [op("map", {"map": lambda v: v}), keep, op("map", {"map": lambda v: v}), keep]
    values = decode(data)
    lane = with_writer(OneLane(plain, *four), columns)
    report("source, map, filter, map, filter, write", measured(lambda: lane.source(values, times), columns.clear))


class Mean(AggregateFunction):
    def create_accumulator(self) -> Any:
        return (0, 0)

    def add(self, value: Any, accumulator: Any) -> Any:
        return accumulator[0] + value, accumulator[1] + 1

    def get_result(self, accumulator: Any) -> Any:
        return accumulator[0] / accumulator[1]

    def merge(self, acc_a: Any, acc_b: Any) -> Any:
        return acc_a[0] + acc_b[0], acc_a[1] + acc_b[1]


class ListMean(Mean):
    def create_accumulator(self) -> Any:
        return [0, 0]

    def add(self, value: Any, accumulator: Any) -> Any:
        accumulator[0] += value
        accumulator[1] += 1
        return accumulator

    def merge(self, acc_a: Any, acc_b: Any) -> Any:
        return [acc_a[0] + acc_b[0], acc_a[1] + acc_b[1]]


class Last:
    def process(self, key: Any, context: Any, elements: Any) -> Any:
        return (len(elements),)


def bench_window() -> None:
    rng = random.Random(2)
    keys = [f"key-{rng.randrange(KEYS)}" for _ in range(ROWS)]
    ints = [rng.randrange(KEYS) for _ in range(ROWS)]
    values = [rng.randrange(100) for _ in range(ROWS)]
    times = [1_700_000_000_000 + n // 2 + rng.randrange(200) for n in range(ROWS)]
    assigner = {"kind": "tumbling_event_time", "size_ms": 10_000, "offset_ms": 0}

    def window(functions: dict[str, Any], lateness: int, kind: dict[str, Any]) -> OneLane:
        return OneLane(op("window", functions, assigner=kind, evaluation=list(functions),
                          allowed_lateness_ms=lateness))  # fmt: skip

    def run(
        name: str,
        functions: dict[str, Any],
        lateness: int = 0,
        its_keys: list[Any] = keys,
        kind: dict[str, Any] = assigner,
    ) -> None:
        lane = window(functions, lateness, kind)
        base = 0

        def rows() -> None:
            nonlocal base
            base += 40_000
            for at in range(0, ROWS, BATCH):
                part = slice(at, at + BATCH)
                lane.chain.process_rows(0, its_keys[part], values[part], moved[part])
            lane.advance(moved[-1] - 1_000)

        def prepare() -> None:
            lane.commit()
            lane.committed = {0: []}
            lane.log.clear()
            moved[:] = [t + base for t in times]

        moved: list[int] = list(times)
        report(f"window {name}", measured(rows, prepare))

    run("reduce lambda", {"reduce": lambda a, b: a + b})
    run("reduce lambda, int keys", {"reduce": lambda a, b: a + b}, its_keys=ints)
    run("aggregate, tuple accumulator", {"aggregate": Mean()})
    run("aggregate, list accumulator", {"aggregate": ListMean()})
    run("aggregate, allowed lateness", {"aggregate": Mean()}, 5_000)
    run("process (elements kept)", {"process": Last()})
    sliding = {"kind": "sliding_event_time", "size_ms": 10_000, "slide_ms": 2_500}
    run("sliding, 4 for each row, reduce", {"reduce": lambda a, b: a + b}, kind=sliding)
    sessions = {"kind": "session_event_time", "gap_ms": 2_000}
    run("session reduce", {"reduce": lambda a, b: a + b}, kind=sessions)
    run("session aggregate, list accumulator", {"aggregate": ListMean()}, kind=sessions)
    run("session process (elements kept)", {"process": Last()}, kind=sessions)


class Count(KeyedProcessFunction):
    def open(self, runtime_context: RuntimeContext) -> None:
        self.count = runtime_context.get_state(ValueStateDescriptor("count", Types.LONG()))

    def process_element(self, value: Any, ctx: Any) -> Any:
        n = (self.count.value() or 0) + 1
        self.count.update(n)
        yield n


class Timed(Count):
    def process_element(self, value: Any, ctx: Any) -> Any:
        self.count.update((self.count.value() or 0) + 1)
        ctx.timer_service().register_event_time_timer(ctx.timestamp() // 1_000 * 1_000 + 1_000)

    def on_timer(self, timestamp: int, ctx: Any) -> Any:
        yield ctx.get_current_key(), self.count.value()


def bench_keyed() -> None:
    rng = random.Random(3)
    rows = [(f"key-{rng.randrange(KEYS)}", (f"key-{n % 7}", n % 100, 1.5), n) for n in range(ROWS)]
    keys, values, times = ([row[column] for row in rows] for column in range(3))
    dicts = [{"k": k, "v": n % 100} for n, k in enumerate(keys)]

    def run(name: str, operator: Any, its_values: list[Any]) -> None:
        lane = OneLane(operator)
        step = 0

        def all_rows() -> None:
            nonlocal step
            lane.chain.process_rows(0, keys, its_values, [t + step for t in times])
            step += ROWS
            lane.advance(step - 2_000)

        def prepare() -> None:
            lane.commit()
            lane.committed = {0: []}
            lane.log.clear()

        report(name, measured(all_rows, prepare))

    def larger(a: Any, b: Any) -> Any:
        return (a[0], a[1] + b[1], a[2])

    run("KeyedProcessFunction, ValueState", op("keyed_process", {"process": Count()}), values)
    run("KeyedProcessFunction, state and timers", op("keyed_process", {"process": Timed()}), values)
    run("reduce of tuples", op("reduce", {"reduce": larger}), values)
    run("reduce of dicts", op("reduce", {"reduce": lambda a, b: {**a, "v": a["v"] + b["v"]}}), dicts)
    run("sum of a tuple field", op("aggregate", op="sum", field=1), values)


class Pair(ProcessJoinFunction):
    def process_element(self, left: Any, right: Any, ctx: Any) -> Any:
        yield left["k"], left["v"], right["v"]


def bench_join() -> None:
    """Both sides of an interval join in turn, 10 s bounds, with the commits of what they keep."""
    rng = random.Random(4)

    def run(name: str, keys: int, rows_per_ms: float) -> None:
        lane = OneLane(op("interval_join", {"process": Pair()}, lower_ms=-10_000, upper_ms=10_000))
        step = pairs = 0
        sides = [[(f"key-{rng.randrange(keys)}", int(n / rows_per_ms)) for n in range(ROWS // 2)] for _ in range(2)]
        values = [[{"k": key, "v": n % 100, "t": t, "i": n} for n, (key, t) in enumerate(side)] for side in sides]

        def all_rows() -> None:
            nonlocal step, pairs
            for at in range(0, ROWS // 2, BATCH // 4):
                part = slice(at, at + BATCH // 4)
                for side in (0, 1):
                    rows = sides[side][part]
                    its_keys, times = [row[0] for row in rows], [row[1] + step for row in rows]
                    lane.chain.process_rows(side, its_keys, values[side][part], times)
                lane.advance(times[-1] - 500)
                lane.tables.take_changes()
                lane.tables.committed()
            pairs = len(lane._edges[0].rows)
            lane._edges[0].rows.clear()
            step += int(ROWS // 2 / rows_per_ms)

        seconds = measured(all_rows)
        report(f"interval join {name}, {pairs / ROWS:.1f} pairs a row", seconds)

    run("of 100,000 keys", 100_000, 2)
    run("of 20,000 keys", 20_000, 1)
    run("of 1,000 keys", 1_000, 0.5)


def bench_state() -> None:
    keys = [f"key-{n % KEYS}" for n in range(ROWS)]
    many = [f"key-{n}" for n in range(ROWS)]
    tables = Tables()
    table = tables.table("t")

    def put() -> None:
        write = table.put
        for key in keys:
            write("", key, 1)

    def get() -> None:
        read = table.get
        for key in keys:
            read("", key)

    def inlined() -> None:
        space, undo = table.enter("")
        for key in keys:
            old = space.get(key, MISSING)
            if key not in undo:
                undo[key] = old
            space[key] = old

    report("table.put", measured(put))
    report("table.get", measured(get))
    report("read and write on enter()'s dicts", measured(inlined))
    taken = [0.0]

    def touch_all() -> None:
        for key in many:
            table.put("", key, len(key))
        begun = time.process_time()
        tables.take_changes()
        taken[0] = time.process_time() - begun
        tables.committed()

    touch_all()
    report("put of keys new to the frame, and its commit", measured(touch_all))
    report("  of which take_changes", taken[0])


BENCHES = {
    "source": bench_source,
    "window": bench_window,
    "keyed": bench_keyed,
    "join": bench_join,
    "state": bench_state,
}

if __name__ == "__main__":
    for chosen in sys.argv[1:] or BENCHES:
        BENCHES[chosen]()
