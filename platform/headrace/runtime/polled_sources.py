"""From an operator of the JobGraph to the polled source it stands for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from headrace.datastream.connectors.polling import PollingSource
from headrace.graph.job_graph import Operator, OperatorKind
from headrace.runtime.files.source import PolledFiles
from headrace.runtime.sequence_source import SequenceSource


def _number_sequence(params: Any, _load: Callable[[], Any]) -> PollingSource:
    return SequenceSource(params["start"], params["end"], None)


def _datagen(params: Any, _load: Callable[[], Any]) -> PollingSource:
    count = params.get("count")
    return SequenceSource(0, None if count is None else count - 1, params.get("rate_per_s"))


def _files(params: Any, _load: Callable[[], Any]) -> PollingSource:
    return PolledFiles.of(params)


def _connector(_params: Any, load: Callable[[], Any]) -> PollingSource:
    source: PollingSource = load()
    return source


_SOURCES: dict[OperatorKind, Callable[[Any, Callable[[], Any]], PollingSource]] = {
    OperatorKind.NUMBER_SEQUENCE_SOURCE: _number_sequence,
    OperatorKind.DATAGEN_SOURCE: _datagen,
    OperatorKind.FILE_SOURCE: _files,
    OperatorKind.POLLING_SOURCE: _connector,
}


def polled_source(operator: Operator, load: Callable[[], Any]) -> PollingSource | None:
    """The source of ``operator``, None when it is of another kind. ``load`` gives its function "source"."""
    make = _SOURCES.get(operator.kind)
    return None if make is None else make(operator.params, load)
