"""Sinks: f(value, time) for Kafka records, f(value) for print and files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from headrace.graph.job_graph import Operator
from headrace.runtime.files.sink import PartFiles
from headrace.runtime.operators.context import Task
from headrace.runtime.operators.formats import make_encoder, make_line_encoder
from headrace.runtime.ports import SinkWriter
from headrace.runtime.state.isolation import dumps
from headrace.runtime.state.tables import Table


def kafka_sink(operator: Operator, functions: Mapping[str, Any], writer: SinkWriter) -> Callable[[Any, Any], None]:
    """``functions``: role to callable. Serializes and hands the record to the lane's transaction."""
    topic = str(operator.params["topic"])
    encode_value = make_encoder(str(operator.params.get("value_format") or "bytes"))
    key_format = operator.params.get("key_format")
    encode_key = make_encoder(None if key_format is None else str(key_format))
    value_of, key_of = functions.get("value"), functions.get("key")
    headers_of, time_of = functions.get("headers"), functions.get("timestamp")
    write = writer.write

    def sink(value: Any, _time_ms: int | None) -> None:
        out = value if value_of is None else value_of(value)
        key = None if key_of is None else encode_key(key_of(value))
        headers = None if headers_of is None else _pairs(headers_of(value))
        write(topic, key, encode_value(out), headers, None if time_of is None else time_of(value))

    return sink


def collect_sink(topic: str, writer: SinkWriter) -> Callable[[Any], None]:
    """Values as they are, pickled, for the client that submitted the job (headrace.datastream.collecting)."""
    write = writer.write

    def sink(value: Any) -> None:
        write(topic, None, dumps(value), None, None)

    return sink


def _pairs(headers: Any) -> list[tuple[str, bytes | None]] | None:
    if headers is None:
        return None
    return list(headers.items()) if isinstance(headers, Mapping) else list(headers)


def file_sink(operator: Operator, index: int, vertex: str, encoder: Any, task: Task, table: Table) -> PartFiles:
    """``encoder``: the program's Encoder, None when the parameters say how."""
    params: Any = operator.params
    encode = make_line_encoder(params["encoder"]) if encoder is None else encoder.encode
    origin = f"{task.origin}-{vertex}.{index}-{task.lane}"
    return PartFiles(params, encode, table, origin=origin, clock_ms=task.clock_ms)


def print_sink(label: str, lane: int, lanes: int, line: Callable[[str], None]) -> Callable[[Any], None]:
    """Flink's form: ``label> value``, with ``label:lane>`` (counted from 1) when several lanes print."""
    marks = [mark for mark in (label, str(lane + 1) if lanes > 1 else "") if mark]
    prefix = f"{':'.join(marks)}> " if marks else ""

    def sink(value: Any) -> None:
        line(f"{prefix}{value}")

    return sink
