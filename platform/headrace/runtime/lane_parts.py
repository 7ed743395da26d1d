"""What a lane is made of, built from its task: graph, functions, inputs, buffers, state tables, chain."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from headrace.clock import monotonic_s, now_ms
from headrace.datastream.connectors.polling import PollingSource
from headrace.graph.job_graph import Edge, JobGraph, Operator, OperatorKind, Ship, Vertex
from headrace.log.lane import LaneConnection, Split
from headrace.protocol.attempt import Attempt
from headrace.protocol.topics import Topics, split_lane, transactional_id
from headrace.protocol.worker_pipe import LaneTask
from headrace.runtime.collection_input import CollectionInput
from headrace.runtime.commit import SinkRecord
from headrace.runtime.eventtime.held import NO_STRATEGY, has_strategy
from headrace.runtime.exchange import EdgeBuffer
from headrace.runtime.exchange_input import MESSAGES_MAX, ExchangeInput
from headrace.runtime.functions import CodeBundle, FunctionLoadError, as_callable, function_ids
from headrace.runtime.inputs import Inputs
from headrace.runtime.job_code import load_failure
from headrace.runtime.kafka_input import KafkaInput
from headrace.runtime.kafka_splits import Subscription
from headrace.runtime.lane_log import LaneLogPartition
from headrace.runtime.operators.chain import FusedChain, make_chain
from headrace.runtime.operators.formats import make_decoder
from headrace.runtime.output import Output
from headrace.runtime.polled_sources import polled_source
from headrace.runtime.polling_input import PollingInput
from headrace.runtime.ports import Chain, EdgeWriter
from headrace.runtime.state.tables import Tables
from headrace.runtime.undecodable import DeadLetters, FailingJob, Undecodable

COMMIT_INTERVAL_OPTION = "execution.commit-interval-ms"
COMMIT_INTERVAL_MS = 100
DIRECT_COMMIT_INTERVAL_MS = 1000


class _Sinks:
    """Where the chain's sinks write: the lane's list of records for the next commit."""

    def __init__(self, records: list[SinkRecord]) -> None:
        self._append = records.append

    def write(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: list[tuple[str, bytes | None]] | None,
        timestamp_ms: int | None,
    ) -> None:
        self._append(SinkRecord(topic, key, value, headers, timestamp_ms))


class TaskParts:
    """Implements LaneParts for a task that came over the pipe."""

    def __init__(
        self,
        task: LaneTask,
        namespace: str,
        output: Output,
        bundle: CodeBundle | None = None,
        clock_ms: Callable[[], int] = now_ms,
        clock_s: Callable[[], float] = monotonic_s,
    ) -> None:
        """``clock_ms``: the time of day; ``clock_s``: monotonic.

        Raises UsageError (module-missing, package-version) or FunctionLoadError when the user's code cannot be
        loaded here.
        """
        self.graph = JobGraph.model_validate_json(task.graph)
        self.name = task.lane
        self.owner_id = f"{task.attempt}:{os.getpid()}:{secrets.token_hex(4)}"
        vertex_id, self.lane = split_lane(task.lane)
        self.vertex: Vertex = self.graph.vertex(vertex_id)
        self.direct = task.delivery == "at-least-once"
        default_ms = DIRECT_COMMIT_INTERVAL_MS if self.direct else COMMIT_INTERVAL_MS
        self.interval_s = int(task.config.get(COMMIT_INTERVAL_OPTION, default_ms)) / 1000
        self._task = task
        self._clock_ms, self._clock_s = clock_ms, clock_s
        self._output = output
        self._topics = Topics(namespace)
        self._bundle = bundle or self._read_bundle()
        self._function_ids = function_ids(self.graph, vertex_id)
        self.transactional_id = transactional_id(task.job, task.incarnation, vertex_id, self.lane)
        self.hint_group = self._topics.hint_group(task.job, task.incarnation)
        self._chain: FusedChain | None = None
        self._late_before = 0  #: what chains before this one dropped
        self.sink_records: list[SinkRecord] = []
        self.tables = Tables()
        self.exchange_topics = {e.id: self._exchange(e) for e in self.graph.outputs(vertex_id)}
        self.buffers = [self._buffer(e) for e in self.graph.outputs(vertex_id)]
        self.inputs: Inputs = self._inputs()
        self.output_splits: list[Split] = [
            (self.exchange_topics[b.edge.id], target) for b in self.buffers for target in range(b.target_lanes)
        ]

    def log_of(self, connection: LaneConnection) -> LaneLogPartition:
        topic = self._topics.lane_log(self._task.job, self._task.incarnation, self.vertex.id)
        return LaneLogPartition(connection, topic, self.lane)

    def new_chain(self, wake: Callable[[], None]) -> Chain:
        functions = self._load(self._function_ids)
        for buffer in self.buffers:
            if buffer.edge.key is None:
                continue
            if buffer.edge.ship is Ship.CUSTOM:
                buffer.set_partition(functions[buffer.edge.key].lane_of)
            else:
                buffer.set_key_selector(as_callable(functions[buffer.edge.key], "get_key"))
        writers: dict[int, list[EdgeWriter]] = {}
        for buffer in self.buffers:
            writers.setdefault(buffer.edge.operator, []).append(buffer)
        chain = make_chain(
            self.vertex,
            functions,
            lane=self.lane,
            lanes=self.vertex.lanes,
            attempt=sum(Attempt.parse(self._task.attempt)) - 1,
            tables=self.tables,
            edge_writers=writers,
            sink_writer=_Sinks(self.sink_records),
            print_line=lambda text: self._output.line("stdout", text),
            origin=f"{self._task.job[:12]}-{self._task.incarnation}",
            results=self._topics.results(self._task.job, self._task.incarnation),
            clock_ms=self._clock_ms,
            wake=wake,
        )
        if isinstance(self.inputs, KafkaInput | CollectionInput | PollingInput):
            self.inputs.attach(chain)
        self._late_before, self._chain = self.late_dropped, chain
        return chain

    @property
    def late_dropped(self) -> int:
        """Records too late for their window, in this attempt; what is read again counts again. Any thread."""
        return self._late_before + (0 if self._chain is None else self._chain.late_dropped)

    def user_metrics(self) -> dict[str, dict[str, int | float]]:
        """Metrics of the user's functions since the lane's last rewind, by operator. Any thread."""
        return {} if self._chain is None else self._chain.user_metrics()

    # ---- inputs and outputs

    def _exchange(self, edge: Edge) -> str:
        return self._topics.exchange(self._task.job, self._task.incarnation, edge.id)

    def _buffer(self, edge: Edge) -> EdgeBuffer:
        lanes = self.graph.vertex(edge.target).lanes
        writer = self.vertex.operators[edge.operator].name
        return EdgeBuffer(edge, source_lane=self.lane, target_lanes=lanes, writer=writer)

    @property
    def source_group(self) -> str:
        """Consumer group under which a Kafka source shows its positions to ordinary lag tools; "" for none."""
        params = self.vertex.operators[0].params
        return str(params.get("group_id") or self.hint_group) if params.get("commit_offsets", True) else ""

    def _kafka_input(self, head: Operator) -> KafkaInput:
        subscription = Subscription.of(head.params, self.lane, self.vertex.lanes, self._topics.name(""))
        partitions: Mapping[str, int] = self._task.source_partitions.get(head.uid, {})
        return KafkaInput(
            subscription,
            subscription.own(partitions),
            head.params,
            make_decoder(head.params["format"]),
            self._undecodable(head),
            group=str(head.params.get("group_id") or self.hint_group),
            clock_s=self._clock_s,
            direct=self.direct,
        )

    def _undecodable(self, head: Operator) -> Undecodable:
        topic = head.params.get("dead_letter_topic")
        if topic is None:
            return FailingJob()
        origin = {"job": self._task.job, "source": head.name}
        return DeadLetters(str(topic), _Sinks(self.sink_records), origin, self._clock_ms)

    def _inputs(self) -> Inputs:
        head = self.vertex.operators[0]
        if head.kind is OperatorKind.KAFKA_SOURCE:
            return self._kafka_input(head)
        if head.kind is OperatorKind.COLLECTION_SOURCE:
            return CollectionInput(self._function(head.functions["items"]), self.lane)
        source = polled_source(head, lambda: self._function(head.functions["source"]))
        if source is not None:
            return self._polling_input(head, source)
        edges = self.graph.inputs(self.vertex.id)
        return ExchangeInput(
            self.lane,
            [(e, self._exchange(e), self._source_lanes(e)) for e in edges],
            direct=self.direct,
            awaited=any(map(_awaits_watermarks, self.vertex.operators)),
            # What an async function cannot take yet waits in the chain, as state: no more than a message of it.
            messages_max=1 if head.kind is OperatorKind.ASYNC_WAIT else MESSAGES_MAX,
            hint="" if has_strategy(self.graph, self.vertex.id) else NO_STRATEGY,
        )

    def _function(self, function_id: str) -> Any:
        return self._load([function_id])[function_id]

    def _read_bundle(self) -> CodeBundle:
        try:
            return CodeBundle(self._task.code)
        except FunctionLoadError as error:
            raise load_failure(error, self.graph, self._task.packages) from error

    def _load(self, function_ids: Iterable[str]) -> dict[str, Any]:
        try:
            return self._bundle.load(function_ids)
        except FunctionLoadError as error:
            raise load_failure(error, self.graph, self._task.packages) from error

    def _polling_input(self, head: Operator, source: PollingSource) -> PollingInput:
        watermark: Any = head.params.get("watermark") or {}
        return PollingInput(
            source,
            self.tables.table(f"{head.uid}/splits"),
            name=head.name,
            lane=self.lane,
            lanes=self.vertex.lanes,
            idleness_ms=watermark.get("idleness_ms") or 0,
            clock_ms=self._clock_ms,
        )

    def _source_lanes(self, edge: Edge) -> list[int]:
        """Lanes that write to this lane over ``edge``: all of the source vertex, one for forward."""
        if edge.ship is Ship.FORWARD:
            return [self.lane]
        return list(range(self.graph.vertex(edge.source).lanes))

    @property
    def input_splits(self) -> dict[Split, str]:
        """Every split this lane reads, with its edge id; "" for a Kafka source's own. Any thread."""
        if isinstance(self.inputs, KafkaInput):
            return dict.fromkeys(self.inputs.splits, "")
        return {(self._exchange(e), self.lane): e.id for e in self.graph.inputs(self.vertex.id)}


def _awaits_watermarks(operator: Operator) -> bool:
    """Whether an operator holds rows until event time has come: windows do, and joins keep them until then."""
    assigner = operator.params.get("assigner")
    if operator.kind is OperatorKind.INTERVAL_JOIN:
        return True
    return isinstance(assigner, dict) and str(assigner.get("kind")).endswith("event_time")
