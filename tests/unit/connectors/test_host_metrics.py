"""Host metrics: what is computed from counters, at which times, and options that cannot be."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import headrace_connectors.host_metrics as package
from headrace.errors import UsageError
from headrace_connectors.host_metrics import HostMetricsOptions, HostMetricsSource
from headrace_connectors.host_metrics.machine import Machine, Reading, measured
from headrace_connectors.host_metrics.source import HostMetricsReader

FIRST = Reading(10.0, 100.0, 400.0, 1.5, 3_000, 4_000, 50.0, 1_000, 2_000, 5_000, 6_000)
LATER = Reading(12.0, 103.0, 404.0, 2.25, 1_000, 4_000, 51.0, 1_500, 2_000, 9_000, 6_001)


def test_rates_are_over_the_time_between() -> None:
    assert measured(FIRST, LATER, ("cpu", "memory", "disk", "network")) == {
        "cpu_percent": 75.0,
        "load_1m": 2.25,
        "memory_percent": 25.0,
        "memory_used_bytes": 1_000,
        "disk_percent": 51.0,
        "disk_read_bytes_per_s": 250.0,
        "disk_written_bytes_per_s": 0.0,
        "network_received_bytes_per_s": 2_000.0,
        "network_sent_bytes_per_s": 0.5,
    }


def test_only_what_was_asked_for_is_there() -> None:
    assert list(measured(FIRST, LATER, ("memory",))) == ["memory_percent", "memory_used_bytes"]


def test_a_counter_that_is_missing_or_starts_over() -> None:
    missing = dataclasses.replace(LATER, disk_read_bytes=None)
    assert measured(FIRST, missing, ("disk",))["disk_read_bytes_per_s"] is None
    over = dataclasses.replace(LATER, network_received_bytes=3)
    assert measured(FIRST, over, ("network",))["network_received_bytes_per_s"] == 0.0


def test_two_readings_at_once_divide_by_nothing() -> None:
    assert measured(FIRST, FIRST, ("cpu", "network"))["cpu_percent"] == 0.0


def test_this_machine() -> None:
    machine = Machine("/")
    numbers = measured(machine.read(0.0), machine.read(1.0), ("cpu", "memory", "disk", "network"))
    assert 0 <= numbers["cpu_percent"] <= 100
    assert 0 < numbers["memory_percent"] < 100
    assert numbers["memory_used_bytes"] > 1_000_000
    assert 0 < numbers["disk_percent"] <= 100


def readings() -> Iterator[Reading]:
    at = FIRST
    while True:
        yield at
        at = dataclasses.replace(at, at_s=at.at_s + 1, cpu_busy_s=at.cpu_busy_s + 1, cpu_total_s=at.cpu_total_s + 2)


def reader(position: tuple[int, int] = (0, 0), **options: Any) -> HostMetricsReader:
    given = readings()
    return HostMetricsReader(HostMetricsOptions(host="h", **options), position, lambda _s: next(given), lambda: 0.0)


def taken(reader: HostMetricsReader, *times_ms: int) -> list[int]:
    """Event times of what is read at these times."""
    found = []
    for now_ms in times_ms:
        batch = reader.next_batch(now_ms)
        assert batch is not None
        found += [record["at"] for record in batch.records]
        assert batch.times is None or list(batch.times) == [record["at"] for record in batch.records]
    return found


def test_samples_come_at_whole_multiples_of_the_interval() -> None:
    assert taken(reader(), 10_300, 10_999, 11_000, 11_400, 12_050, 12_999, 13_000) == [11_000, 12_000, 13_000]


def test_time_that_was_missed_stays_missing() -> None:
    assert taken(reader(), 10_300, 11_000, 17_700, 18_000) == [11_000, 17_000, 18_000]


def test_a_restart_repeats_no_sample_even_when_the_clock_went_back() -> None:
    first = reader()
    first.next_batch(10_300)
    batch = first.next_batch(11_000)
    assert batch is not None
    assert taken(reader(batch.position), 9_000, 11_000, 11_500, 12_000) == [12_000]


def test_the_end_after_so_many_samples() -> None:
    limited = reader(samples=2)
    assert taken(limited, 0, 1_000, 2_000) == [1_000, 2_000]
    assert limited.next_batch(3_000) is None


def test_records_of_both_layouts() -> None:
    sample = reader(metrics=("cpu",))
    sample.next_batch(0)
    batch = sample.next_batch(1_000)
    assert batch is not None
    assert list(batch.records) == [{"host": "h", "at": 1_000, "cpu_percent": 50.0, "load_1m": 1.5}]
    single = reader(metrics=("cpu",), layout="metric")
    single.next_batch(0)
    batch = single.next_batch(1_000)
    assert batch is not None
    assert list(batch.records) == [
        {"host": "h", "at": 1_000, "metric": "cpu_percent", "value": 50.0},
        {"host": "h", "at": 1_000, "metric": "load_1m", "value": 1.5},
    ]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"interval_ms": 5}, "interval_ms cannot be 5"),
        ({"interval": 5}, "has no option 'interval'; it has disk_path, host, interval_ms"),
        ({"metrics": ("cpu", "gpu")}, "metrics cannot be 'gpu'"),
        ({"metrics": ("cpu", "cpu")}, "a metric is named twice"),
        ({"layout": "wide"}, "layout cannot be 'wide'"),
        ({"samples": 0}, "samples cannot be 0"),
    ],
)
def test_options_that_cannot_be(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=re.escape(said)) as refused:
        HostMetricsOptions(**options)
    assert refused.value.code == "connector-option-invalid"
    assert re.search(r"test_host_metrics\.py:\d+", refused.value.message)


def test_the_readme_lists_every_option_and_every_number() -> None:
    text = (Path(package.__file__).parent / "README.md").read_text()
    names = [*HostMetricsOptions.model_fields, *measured(FIRST, LATER, ("cpu", "memory", "disk", "network"))]
    assert [name for name in names if f"`{name}`" not in text] == []


def test_what_people_see_of_it() -> None:
    source = HostMetricsSource(HostMetricsOptions(interval_ms=500))
    assert source.describe() == "host metrics"
    assert source.params()["interval_ms"] == 500
