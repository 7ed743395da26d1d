"""Metrics of user functions: groups, kinds, bounds, and the way to Prometheus."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from tests.unit.operators.one_lane import OneLane, op

from headrace.datastream import MapFunction, RuntimeContext
from headrace.metrics import METRICS_MAX, Meter, MetricRegistry


class Counting(MapFunction):
    def open(self, runtime_context: RuntimeContext) -> None:
        group = runtime_context.get_metrics_group()
        self.seen = group.counter("seen")
        self.sizes = group.add_group("by", "size").distribution("sizes")
        self.rate = group.meter("rate")
        self.last = 0
        group.gauge("last", lambda: self.last)
        group.gauge("broken", lambda: 1 // 0)

    def map(self, value: Any) -> Any:
        self.seen.inc()
        self.sizes.update(value)
        self.rate.mark_event(2)
        self.last = value
        return value


def test_functions_count_and_the_lane_tells() -> None:
    lane = OneLane(op("kafka_source", watermark=None), op("map", {"map": Counting()}, name="Map: Counting"))
    lane.source([5, 3, 9], [None, None, None])
    values = lane.chain.user_metrics()["Map: Counting"]
    assert values.pop("rate.per_s") >= 0
    assert values == {
        "seen": 3,
        "by.size.sizes.count": 3,
        "by.size.sizes.sum": 17,
        "by.size.sizes.min": 3,
        "by.size.sizes.max": 9,
        "rate.count": 6,
        "last": 9,
    }


def test_a_gauge_that_raises_is_left_out_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    registry = MetricRegistry()
    group = registry.group("op")
    group.gauge("broken", lambda: 1 // 0)
    group.gauge("text", lambda: "x")  # type: ignore[arg-type, return-value]
    group.counter("fine").inc(2)
    with caplog.at_level(logging.WARNING):
        assert [registry.values() for _ in range(3)] == [{"op": {"fine": 2}}] * 3
    assert [record.getMessage() for record in caplog.records] == [
        "the gauge broken has no value: ZeroDivisionError: integer division or modulo by zero",
        "the gauge text has no value: TypeError: it gave 'x'",
    ]


def test_names_are_of_one_kind_and_not_too_many() -> None:
    group = MetricRegistry().group("op")
    assert group.counter("a") is group.counter("a")
    with pytest.raises(ValueError, match=r"'op.a' is a counter already"):
        group.meter("a")
    for number in range(METRICS_MAX - 1):
        group.counter(f"c{number}")
    with pytest.raises(ValueError, match="one too many"):
        group.counter("more")
    with pytest.raises(TypeError, match="a gauge takes a function"):
        group.gauge("g", 3)  # type: ignore[arg-type]


def test_a_meters_rate_is_of_its_span() -> None:
    now_s = 0.0
    meter = Meter(10, lambda: now_s)
    meter.mark_event(50)
    now_s = 5.0
    assert meter.get_rate() == 10.0
    now_s = 100.0
    meter.get_rate()
    now_s = 111.0
    assert meter.get_rate() == 0.0 and meter.get_count() == 50
