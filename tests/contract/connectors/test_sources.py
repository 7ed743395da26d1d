"""Sources that ship with Headrace, against the contract of PollingSource."""

from __future__ import annotations

from typing import Any

import pytest

from headrace.datastream.connectors import PollingSource
from headrace.runtime import sequence_source
from headrace.runtime.sequence_source import SequenceSource
from headrace.testing.connectors import SourceConformance
from headrace_connectors.host_metrics import HostMetricsOptions, HostMetricsSource


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sequence_source, "BATCH_MAX", 25)


class TestNumberSequence(SourceConformance):
    def source(self) -> PollingSource:
        return SequenceSource(1, 500, None)


class TestGeneratedIndexes(SourceConformance):
    def source(self) -> PollingSource:
        return SequenceSource(0, 199, 1_000.0)


class TestHostMetrics(SourceConformance):
    repeatable = False

    def source(self) -> PollingSource:
        return HostMetricsSource(HostMetricsOptions(interval_ms=100, samples=20))

    def identity(self, record: Any) -> Any:
        return f"{record['host']} {record['at']}"


class TestHostMetricsOneByOne(TestHostMetrics):
    def source(self) -> PollingSource:
        options = HostMetricsOptions(interval_ms=250, samples=5, layout="metric", metrics=("cpu", "memory"))
        return HostMetricsSource(options)

    def identity(self, record: Any) -> Any:
        return f"{record['host']} {record['at']} {record['metric']}"
