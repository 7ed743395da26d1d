"""Metrics of user functions: groups, kinds, bounds, and the way to Prometheus."""

from __future__ import annotations

import json
import logging
from decimal import Decimal
from typing import Any

import pytest
from tests.unit.operators.one_lane import OneLane, op

from headrace.datastream import MapFunction, RuntimeContext
from headrace.metrics import METRICS_MAX, Meter, MetricGroup, MetricRegistry
from headrace.protocol.control import LaneMetrics


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


class OddNumber:
    """Adds up, and is no number."""

    def __radd__(self, other: Any) -> Any:
        return self


class WideNumber:
    """As a number of an array library: no int, but it can be made one."""

    def __radd__(self, other: Any) -> Any:
        return self

    def __float__(self) -> float:
        return 7.0


def gives(value: Any) -> Any:
    return lambda group: group.gauge("odd", lambda: value)


@pytest.mark.parametrize(
    ("use", "value"),
    [
        (gives(float("nan")), None),
        (gives(float("inf")), None),
        (gives(10**400), None),
        (gives(10**5000), None),
        (gives(None), None),
        (gives("5"), None),
        (gives(True), 1.0),
        (gives(1 << 70), float(1 << 70)),
        (lambda group: group.counter("odd").inc(Decimal("1.5")), 1.5),
        (lambda group: group.counter("odd").inc(WideNumber()), 7.0),
        (lambda group: group.counter("odd").inc(OddNumber()), None),
        (lambda group: group.counter("odd").inc(float("inf")), None),
    ],
)
def test_no_number_of_a_users_making_breaks_the_report_of_a_lane(use: Any, value: float | None) -> None:
    registry = MetricRegistry()
    group: MetricGroup = registry.group("op")
    group.counter("fine").inc()
    use(group)
    sent = LaneMetrics.model_validate_json(json.dumps({"attempt": "1.0", "user": registry.values()}))
    kept = LaneMetrics.model_validate_json(sent.model_dump_json()).user["op"]
    assert kept == ({"fine": 1.0} if value is None else {"fine": 1.0, "odd": value})


@pytest.mark.parametrize("name", ["x" * 201, "half \ud800", "two\nlines"])
def test_names_that_no_report_can_carry_are_refused(name: str) -> None:
    group = MetricRegistry().group("op")
    for named in (group.counter, group.add_group(name).counter):
        with pytest.raises(ValueError, match="a metric is named by"):
            named(name)
