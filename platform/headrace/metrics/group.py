"""Counters, meters, gauges and distributions in named groups; one registry for each lane."""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

from headrace.clock import monotonic_s

#: Metrics of one lane; more are refused, as each is sent every second.
METRICS_MAX = 200
#: Characters of a metric's name with those of its groups.
NAME_MAX = 200
#: What a meter's rate is over.
RATE_S = 60.0

Value = int | float
M = TypeVar("M")
log = logging.getLogger(__name__)


class Counter:
    """A number that goes up and down. ``inc`` is an addition: use it as often as you like."""

    def __init__(self) -> None:
        self.count = 0

    def inc(self, n: int = 1) -> None:
        self.count += n

    def dec(self, n: int = 1) -> None:
        self.count -= n

    def get_count(self) -> int:
        return self.count


class Meter:
    """Counts events; its rate is that of the last ``time_span_in_seconds``."""

    def __init__(self, time_span_in_seconds: float = RATE_S, clock_s: Callable[[], float] = monotonic_s) -> None:
        self.count = 0
        self._span_s = time_span_in_seconds
        self._clock_s = clock_s
        self._looks: deque[tuple[float, int]] = deque([(clock_s(), 0)])

    def mark_event(self, n: int = 1) -> None:
        self.count += n

    def get_count(self) -> int:
        return self.count

    def get_rate(self) -> float:
        """Events a second since the oldest look within the span; each call is a look."""
        now_s = self._clock_s()
        self._looks.append((now_s, self.count))
        while len(self._looks) > 2 and now_s - self._looks[1][0] >= self._span_s:
            self._looks.popleft()
        then_s, before = self._looks[0]
        return (self.count - before) / (now_s - then_s) if now_s > then_s else 0.0


class Distribution:
    """What whole numbers were given, in four figures."""

    def __init__(self) -> None:
        self.count = self.sum = 0
        self.least: int | None = None
        self.greatest: int | None = None

    def update(self, value: int) -> None:
        self.count += 1
        self.sum += value
        if self.least is None or value < self.least:
            self.least = value
        if self.greatest is None or value > self.greatest:
            self.greatest = value


class MetricGroup:
    """A place for metrics with a name; groups can hold groups. The same name gives the same metric."""

    def __init__(self, registry: MetricRegistry, scope: tuple[str, ...]) -> None:
        self._registry = registry
        self._scope = scope

    def add_group(self, name: str, extra: str | None = None) -> MetricGroup:
        """The group of that name within this one; with ``extra``, the group of a key and its value."""
        return MetricGroup(self._registry, (*self._scope, str(name), *([] if extra is None else [str(extra)])))

    def counter(self, name: str) -> Counter:
        return self._registry.metric(self._scope, name, Counter)

    def meter(self, name: str, time_span_in_seconds: int = int(RATE_S)) -> Meter:
        return self._registry.metric(self._scope, name, Meter, lambda: Meter(time_span_in_seconds))

    def distribution(self, name: str) -> Distribution:
        return self._registry.metric(self._scope, name, Distribution)

    def gauge(self, name: str, obj: Callable[[], Value]) -> None:
        """``obj`` is called from another thread than the function's, about once a second; keep it quick.

        When it raises, or gives no number, its value is left out and that is logged once.
        """
        if not callable(obj):
            raise TypeError(f"a gauge takes a function that gives a number, not {obj!r:.60}")
        self._registry.metric(self._scope, name, _Gauge, lambda: _Gauge(obj))


class _Gauge:
    def __init__(self, function: Callable[[], Value]) -> None:
        self.value = function


class MetricRegistry:
    """The metrics of one lane: ``group`` of an operator, ``values`` of all."""

    def __init__(self) -> None:
        self._metrics: dict[tuple[str, ...], Any] = {}
        self._blamed: set[Any] = set()  #: metrics that had no value once

    def group(self, operator: str) -> MetricGroup:
        return MetricGroup(self, (operator,))

    def metric(self, scope: tuple[str, ...], name: str, kind: type[M], make: Callable[[], M] | None = None) -> M:
        """The metric of that name, made if absent. Raises ValueError for another kind, one too many, or its name."""
        key = (*scope, str(name))
        _check_name(".".join(key[1:]))
        found: M | None = self._metrics.get(key)
        if found is None:
            if len(self._metrics) >= METRICS_MAX:
                raise ValueError(f"metric {'.'.join(key)!r} is one too many: a lane has at most {METRICS_MAX}")
            found = self._metrics[key] = (make or kind)()
        if type(found) is not kind:
            raise ValueError(f"metric {'.'.join(key)!r} is a {_kind(found)} already")
        return found

    def values(self) -> dict[str, dict[str, Value]]:
        """By operator: metric names, groups before them with dots, and their values now. Any thread.

        What is no finite number is left out, with the other figures of its metric, and that is logged once.
        """
        values: dict[str, dict[str, Value]] = {}
        for key, metric in list(self._metrics.items()):
            operator, name = key[0], ".".join(key[1:])
            try:
                figures = {figure: _plain(value) for figure, value in _figures(name, metric).items()}
            except Exception as error:  # noqa: BLE001 - user code and numbers of its making, on a thread of ours
                self._blame(name, metric, error)
            else:
                values.setdefault(operator, {}).update(figures)
        return values

    def _blame(self, name: str, metric: Any, error: Exception) -> None:
        if metric not in self._blamed:
            self._blamed.add(metric)
            log.warning("the %s %s has no value: %s: %s", _kind(metric), name, type(error).__name__, error)


def _check_name(name: str) -> None:
    """Names go through JSON with each report, which takes no half characters."""
    if len(name) > NAME_MAX or not name.isprintable():
        raise ValueError(f"a metric is named by at most {NAME_MAX} printable characters, not {name!r:.60}")


def _kind(metric: Any) -> str:
    return type(metric).__name__.strip("_").lower()


def _figures(name: str, metric: Any) -> dict[str, Any]:
    """Names and values as user code left them."""
    match metric:
        case Counter():
            return {name: metric.count}
        case Meter():
            return {f"{name}.count": metric.count, f"{name}.per_s": round(metric.get_rate(), 3)}
        case Distribution():
            figures = {"count": metric.count, "sum": metric.sum, "min": metric.least, "max": metric.greatest}
            return {f"{name}.{figure}": value for figure, value in figures.items() if value is not None}
        case _:
            return {name: metric.value()}


def _plain(value: Any) -> Value:
    """The number as JSON has it: numbers of other types become floats. Raises for what is no finite number."""
    if type(value) is int and abs(value) < 1 << 63:
        return value
    number = math.nan if isinstance(value, (str, bytes)) else float(value)
    if not math.isfinite(number):
        raise TypeError(f"it gave {value!r:.60}")
    return number
