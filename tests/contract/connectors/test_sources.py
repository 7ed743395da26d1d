"""Sources that ship with Headrace, against the contract of PollingSource."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from headrace.datastream.connectors import PollingSource
from headrace.datastream.connectors.file_system import FileSource, StreamFormat
from headrace.datastream.formats.csv import CsvReaderFormat, CsvSchema
from headrace.runtime import sequence_source
from headrace.runtime.files import source as file_source
from headrace.runtime.files.source import PolledFiles
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


class TestTextFiles(SourceConformance):
    @pytest.fixture(autouse=True)
    def files(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(file_source, "RECORDS_MAX", 10)
        self.folder = tmp_path
        for number in range(4):
            (tmp_path / f"{number}.txt").write_text("".join(f"{number}:{line}\r\n" for line in range(40)))
        (tmp_path / "empty.txt").touch()

    def source(self) -> PollingSource:
        source = FileSource.for_record_stream_format(StreamFormat.text_line_format(), str(self.folder)).build()
        return PolledFiles.of(source.params())


class TestCsvFiles(SourceConformance):
    @pytest.fixture(autouse=True)
    def files(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(file_source, "RECORDS_MAX", 7)
        self.folder = tmp_path
        for number in range(3):
            rows = "".join(f'{line},"{number}\n{line}"\n\n' for line in range(30))
            (tmp_path / f"{number}.csv").write_text(f"line,text\n{rows}")

    def source(self) -> PollingSource:
        schema = CsvSchema.builder().add_string_column("text").add_number_column("line").set_use_header().build()
        source = FileSource.for_record_stream_format(CsvReaderFormat.for_schema(schema), str(self.folder)).build()
        return PolledFiles.of(source.params())


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
