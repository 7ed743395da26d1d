"""DataStream and KeyedStream: how a program says what happens to its records.

Calling a method adds an operator to the program and returns the stream of its results; nothing runs until
``StreamExecutionEnvironment.execute``. Functions are checked for their kind here, and called only in the job.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from typing import TYPE_CHECKING, Any, NoReturn, overload

from headrace.common.call_site import wrong
from headrace.common.typeinfo import TypeInformation, Types
from headrace.common.watermark_strategy import WatermarkStrategy
from headrace.datastream.all_windowed_stream import AllWindowedStream
from headrace.datastream.collecting import CloseableIterator
from headrace.datastream.connected_streams import BroadcastConnectedStream, BroadcastStream, ConnectedStreams
from headrace.datastream.connectors.base import Sink
from headrace.datastream.functions import (
    FilterFunction,
    FlatMapFunction,
    KeyedProcessFunction,
    KeySelector,
    MapFunction,
    Partitioner,
    ProcessFunction,
    ReduceFunction,
)
from headrace.datastream.joined_streams import CoGroupedStreams, IntervalJoin, JoinedStreams
from headrace.datastream.operator_settings import OperatorSettings
from headrace.datastream.output_tag import OutputTag
from headrace.datastream.state import MapStateDescriptor
from headrace.datastream.transformation import Link, Transformation, checked_function, relinked, titled
from headrace.datastream.typed import (
    CustomPartition,
    KeyedFilter,
    KeyedFlatMap,
    KeyedMap,
    OneKey,
    Projection,
    TypedKey,
)
from headrace.datastream.window import CountSlidingWindowAssigner, CountTumblingWindowAssigner, WindowAssigner
from headrace.datastream.windowed_stream import WindowedStream
from headrace.graph.job_graph import SIDE_OUTPUTS, OperatorKind, Ship

if TYPE_CHECKING:
    from headrace.datastream.stream_execution_environment import StreamExecutionEnvironment

__all__ = [
    "AllWindowedStream",
    "BroadcastConnectedStream",
    "BroadcastStream",
    "CloseableIterator",
    "ConnectedStreams",
    "DataStream",
    "DataStreamSink",
    "KeyedStream",
    "WindowedStream",
]


class DataStream(OperatorSettings):
    """Records on their way from an operator, or from several after ``union``."""

    def __init__(
        self,
        env: StreamExecutionEnvironment,
        links: tuple[Link, ...],
        operator: Transformation | None = None,
        type_info: TypeInformation | None = None,
    ) -> None:
        self._env = env
        self._links = links
        self._operator = operator
        self._type = type_info or Types.PICKLED_BYTE_ARRAY()

    def get_name(self) -> str:
        return self._settings("get_name").name

    def get_type(self) -> TypeInformation:
        """The declared type of the records, PICKLED_BYTE_ARRAY when none was declared."""
        return self._type

    def get_execution_environment(self) -> StreamExecutionEnvironment:
        return self._env

    def map(self, func: MapFunction | Callable[[Any], Any], output_type: TypeInformation | None = None) -> DataStream:
        """One value for each value."""
        checked_function("map", func, MapFunction, lambdas=True)
        return self._then(OperatorKind.MAP, titled("Map", func), {"map": func}, output_type)

    def flat_map(
        self,
        func: FlatMapFunction | Callable[[Any], Iterable[Any] | None],
        output_type: TypeInformation | None = None,
    ) -> DataStream:
        """Any number of values for each value: an iterable, a generator, or None."""
        checked_function("flat_map", func, FlatMapFunction, lambdas=True)
        return self._then(OperatorKind.FLAT_MAP, titled("FlatMap", func), {"flat_map": func}, output_type)

    def filter(self, func: FilterFunction | Callable[[Any], bool]) -> DataStream:
        """The values for which ``func`` is true."""
        checked_function("filter", func, FilterFunction, lambdas=True)
        return self._then(OperatorKind.FILTER, titled("Filter", func), {"filter": func}, same_type=self._type)

    def process(self, func: ProcessFunction, output_type: TypeInformation | None = None) -> DataStream:
        """Any number of values for each value, with its event time."""
        checked_function("process", func, ProcessFunction, lambdas=False)
        return self._then(OperatorKind.PROCESS, titled("Process", func), {"process": func}, output_type)

    def get_side_output(self, output_tag: OutputTag) -> DataStream:
        """What ``process`` or the window before sent to this tag, with the event times it had there."""
        operator = self._settings("get_side_output")
        if not isinstance(output_tag, OutputTag):
            raise wrong(f"get_side_output() takes an OutputTag, not {output_tag!r:.80}")
        if operator.kind not in SIDE_OUTPUTS:
            raise wrong(
                f"get_side_output() of {operator.name!r}: only process() and windows have side outputs",
                hint="call it on the stream that process() gave, before anything else",
            )
        side = Transformation(
            OperatorKind.SIDE_OUTPUT,
            f"Side output: {output_tag.tag_id}",
            (Link(operator),),
            {"tag": output_tag.tag_id},
        )
        return self._made(side, output_tag.type_info or Types.PICKLED_BYTE_ARRAY(), output_tag.type_info)

    def key_by(
        self, key_selector: KeySelector | Callable[[Any], Any], key_type: TypeInformation | None = None
    ) -> KeyedStream:
        """The stream divided by key: all records of a key go to one lane, in order from each lane before.

        Keys are None, bool, int, float, str, bytes, Decimal, date, time, datetime, or tuples and Rows of these;
        another type fails the task by name. ``key_type`` coerces keys first.
        """
        checked_function("key_by", key_selector, KeySelector, lambdas=True)
        return KeyedStream(self._env, self._links, key_selector, key_type, self._type)

    def union(self, *streams: DataStream) -> DataStream:
        """The records of all these streams together, in no promised order between them."""
        links = self._links
        for stream in streams:
            if not isinstance(stream, DataStream):
                raise wrong(f"union() takes streams, not {stream!r:.80}")
            if stream._env is not self._env:
                raise wrong("union() of streams from two environments; make both from the same one")
            links += stream._links
        plain = tuple(link if link.key is None else Link(link.source) for link in links)
        return DataStream(self._env, plain, None, self._type)

    def window_all(self, window_assigner: WindowAssigner[Any, Any]) -> AllWindowedStream:
        """All records put into windows, in one lane."""
        _checked_assigner("window_all", window_assigner)
        return AllWindowedStream(self.key_by(OneKey()), window_assigner)

    def rebalance(self) -> DataStream:
        """The same records, dealt to the next operator's lanes in turn."""
        return self._shipped(Ship.REBALANCE)

    @overload
    def broadcast(self) -> DataStream: ...

    @overload
    def broadcast(
        self, broadcast_state_descriptor: MapStateDescriptor, *other_broadcast_state_descriptors: MapStateDescriptor
    ) -> BroadcastStream: ...

    def broadcast(
        self,
        broadcast_state_descriptor: MapStateDescriptor | None = None,
        *other_broadcast_state_descriptors: MapStateDescriptor,
    ) -> DataStream | BroadcastStream:
        """The same records, each to every lane of the next operator.

        With descriptors: a BroadcastStream, for another stream to ``connect`` with.
        """
        if broadcast_state_descriptor is None:
            return self._shipped(Ship.BROADCAST)
        return BroadcastStream(self, (broadcast_state_descriptor, *other_broadcast_state_descriptors))

    @overload
    def connect(self, ds: DataStream) -> ConnectedStreams: ...

    @overload
    def connect(self, ds: BroadcastStream) -> BroadcastConnectedStream: ...

    def connect(self, ds: DataStream | BroadcastStream) -> ConnectedStreams | BroadcastConnectedStream:
        """This stream and another, for one function that tells them apart."""
        keyed = isinstance(self, KeyedStream)
        if isinstance(ds, BroadcastStream):
            self._other("connect", ds.input_stream)
            return BroadcastConnectedStream(self, ds, keyed=keyed)
        self._other("connect", ds)
        return ConnectedStreams(self, ds, keyed=keyed and isinstance(ds, KeyedStream))

    def join(self, other_stream: DataStream) -> JoinedStreams:
        """Pairs of this stream's values and the other's that share key and window."""
        return JoinedStreams(self, self._other("join", other_stream))

    def co_group(self, other_stream: DataStream) -> CoGroupedStreams:
        """This stream's values and the other's, grouped by key and window."""
        return CoGroupedStreams(self, self._other("co_group", other_stream))

    def _other(self, method: str, stream: DataStream) -> DataStream:
        if not isinstance(stream, DataStream):
            raise wrong(f"{method}() takes a stream, not {stream!r:.80}")
        if stream._env is not self._env:
            raise wrong(f"{method}() of streams from two environments; make both from the same one")
        return stream

    def forward(self) -> DataStream:
        """The same records, lane i to lane i: the next operator must have the same parallelism."""
        return self._shipped(Ship.FORWARD)

    def shuffle(self) -> DataStream:
        """The same records, spread evenly; here dealt in turn, as ``rebalance``."""
        return self._shipped(Ship.REBALANCE)

    def rescale(self) -> DataStream:
        """The same records, spread evenly; here over all lanes of the next operator, as ``rebalance``."""
        return self._shipped(Ship.REBALANCE)

    def partition_custom(
        self,
        partitioner: Partitioner | Callable[[Any, int], int],
        key_selector: KeySelector | Callable[[Any], Any],
    ) -> DataStream:
        """The same records, each to the lane that ``partitioner`` says: partition(key, number of lanes), from 0.

        The stream is not keyed by it. A number that is no lane fails the job by name.
        """
        checked_function("partition_custom", partitioner, Partitioner, lambdas=True)
        checked_function("partition_custom", key_selector, KeySelector, lambdas=True)
        links = relinked(self._links, Ship.CUSTOM, CustomPartition(partitioner, key_selector))
        return DataStream(self._env, links, None, self._type)

    def project(self, *field_indexes: int) -> DataStream:
        """Some fields of each tuple or Row, by index, in this order; a tuple."""
        if not field_indexes or not all(type(index) is int and index >= 0 for index in field_indexes):
            raise wrong(f"project() takes indexes of fields, whole numbers from 0, not {field_indexes!r:.60}")
        return self._then(OperatorKind.MAP, "Projection", {"map": Projection(field_indexes)})

    def assign_timestamps_and_watermarks(self, watermark_strategy: WatermarkStrategy) -> DataStream:
        """Event times and watermarks as the strategy says; those from upstream end here."""
        if not isinstance(watermark_strategy, WatermarkStrategy):
            raise wrong(
                f"assign_timestamps_and_watermarks() takes a WatermarkStrategy, not {watermark_strategy!r:.80}"
            )
        assigner = watermark_strategy.assigner
        return self._then(
            OperatorKind.TIMESTAMPS,
            "Timestamps/Watermarks",
            {} if assigner is None else {"timestamp": assigner},
            params={"watermark": watermark_strategy.params()},
            same_type=self._type,
        )

    def print(self, sink_identifier: str | None = None) -> DataStreamSink:
        """Write each record to the task's standard output, after ``sink_identifier>`` when one is given.

        Lines appear in ``streamctl logs``. They are immediate: after a failure some may come again.
        """
        if sink_identifier is not None and not isinstance(sink_identifier, str):
            raise wrong(f"print() takes a str to stand before each line, not {sink_identifier!r:.60}")
        return self._sink(OperatorKind.PRINT, "Sink: Print to Std. Out", {"label": sink_identifier or ""}, {})

    def sink_to(self, sink: Sink) -> DataStreamSink:
        """Write the records to a system outside of the job."""
        if not isinstance(sink, Sink):
            hint = "call .build() on the builder" if hasattr(sink, "build") else ""
            raise wrong(f"sink_to() takes a Sink, such as a KafkaSink, not {sink!r:.80}", hint=hint)
        return self._sink(sink.kind, f"Sink: {sink.describe()}", sink.params(), sink.functions())

    def add_sink(self, sink_func: Sink) -> DataStreamSink:
        """As ``sink_to``."""
        return self.sink_to(sink_func)

    def execute_and_collect(
        self, job_execution_name: str | None = None, limit: int | None = None
    ) -> CloseableIterator | list[Any]:
        """Execute the program, with its other sinks, and get this stream's records here.

        Gives an iterator over the records as they are committed, which ends with the job; closing it before
        cancels the job, and so does ``limit``, which gives a list of at most so many records instead. Order is kept
        within a lane. Records must be picklable, and fit one Kafka message (1 MB) each. Raises as
        ``StreamExecutionEnvironment.execute`` does; JobFailedError comes after the records that were committed.
        """
        if limit is not None and (type(limit) is not int or limit < 1):
            raise wrong(f"execute_and_collect() takes a limit, a whole number from 1, not {limit!r:.60}")
        sink = Transformation(OperatorKind.COLLECT, "Sink: Collect", self._links)
        results = CloseableIterator(self._env._collect(sink, job_execution_name))
        if limit is None:
            return results
        with results:
            return list(islice(results, limit))

    # ---- how operators are added

    def _then(
        self,
        kind: OperatorKind,
        name: str,
        functions: dict[str, Any],
        output_type: TypeInformation | None = None,
        *,
        params: dict[str, Any] | None = None,
        same_type: TypeInformation | None = None,
    ) -> DataStream:
        """A new operator that reads this stream."""
        if output_type is not None and not isinstance(output_type, TypeInformation):
            raise wrong(f"a declared type must come from Types, such as Types.STRING(), not {output_type!r:.80}")
        type_info = output_type or same_type or Types.PICKLED_BYTE_ARRAY()
        return self._made(Transformation(kind, name, self._links, params or {}, functions), type_info, output_type)

    def _made(
        self, added: Transformation, type_info: TypeInformation, declared: TypeInformation | None
    ) -> DataStream:
        if declared is not None and declared.shapes:
            added.conversion = declared
        return DataStream(self._env, (Link(self._env._add(added)),), added, type_info)

    def _shipped(self, ship: Ship) -> DataStream:
        return DataStream(self._env, relinked(self._links, ship), None, self._type)

    def _sink(
        self, kind: OperatorKind, name: str, params: dict[str, Any], functions: dict[str, Any]
    ) -> DataStreamSink:
        return DataStreamSink(self._env._add(Transformation(kind, name, self._links, params, functions)))

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"cannot pickle {type(self).__name__!r} object")


def _checked_assigner(method: str, assigner: Any) -> None:
    if not isinstance(assigner, WindowAssigner):
        raise wrong(
            f"{method}() takes a window assigner, such as TumblingEventTimeWindows.of(Time.minutes(1)), not "
            f"{assigner!r}"
        )


class DataStreamSink(OperatorSettings):
    """The end of a stream: an operator that gives nothing on."""

    def __init__(self, operator: Transformation) -> None:
        self._operator = operator


class KeyedStream(DataStream):
    """A stream divided by key. Operators that follow see one key's records in one lane, and hold state for each key.

    name(), uid() and set_parallelism() belong to the operator before or after it.
    """

    def __init__(
        self,
        env: StreamExecutionEnvironment,
        links: tuple[Link, ...],
        key_selector: KeySelector | Callable[[Any], Any],
        key_type: TypeInformation | None,
        type_info: TypeInformation,
    ) -> None:
        if key_type is not None and not isinstance(key_type, TypeInformation):
            raise wrong(f"a declared type must come from Types, such as Types.STRING(), not {key_type!r:.80}")
        key = key_selector if key_type is None else TypedKey(key_selector, key_type)
        super().__init__(env, relinked(links, Ship.HASH, key), None, type_info)

    def map(self, func: MapFunction | Callable[[Any], Any], output_type: TypeInformation | None = None) -> DataStream:
        """One value for each value; a MapFunction can hold keyed state."""
        if not isinstance(func, MapFunction):
            return super().map(func, output_type)
        return self._keyed(titled("Map", func), KeyedMap(func), output_type)

    def flat_map(
        self,
        func: FlatMapFunction | Callable[[Any], Iterable[Any] | None],
        output_type: TypeInformation | None = None,
    ) -> DataStream:
        """Any number of values for each value; a FlatMapFunction can hold keyed state."""
        if not isinstance(func, FlatMapFunction):
            return super().flat_map(func, output_type)
        return self._keyed(titled("FlatMap", func), KeyedFlatMap(func), output_type)

    def filter(self, func: FilterFunction | Callable[[Any], bool]) -> DataStream:
        """The values for which ``func`` is true; a FilterFunction can hold keyed state."""
        if not isinstance(func, FilterFunction):
            return super().filter(func)
        return self._keyed(titled("Filter", func), KeyedFilter(func), None, same_type=self._type)

    def process(  # type: ignore[override]  # as in Flink: a keyed stream takes another kind of function
        self, func: KeyedProcessFunction, output_type: TypeInformation | None = None
    ) -> DataStream:
        """Any number of values for each value and timer, with state and timers of the key."""
        checked_function("process", func, KeyedProcessFunction, lambdas=False)
        return self._keyed(titled("KeyedProcess", func), func, output_type)

    def reduce(self, func: ReduceFunction | Callable[[Any, Any], Any]) -> DataStream:
        """A running reduction of each key: the first value as it is, then each new result."""
        checked_function("reduce", func, ReduceFunction, lambdas=True)
        return self._then(OperatorKind.REDUCE, titled("Reduce", func), {"reduce": func}, same_type=self._type)

    def sum(self, position_to_sum: int | str = 0) -> DataStream:
        """A running sum of each key over a field, by index or name; over bare numbers without one.

        The other fields stay those of the key's first record.
        """
        return self._aggregation("sum", position_to_sum)

    def min(self, position_to_min: int | str = 0) -> DataStream:
        """The running least of a field; the other fields stay those of the key's first record."""
        return self._aggregation("min", position_to_min)

    def max(self, position_to_max: int | str = 0) -> DataStream:
        """The running greatest of a field; the other fields stay those of the key's first record."""
        return self._aggregation("max", position_to_max)

    def min_by(self, position_to_min_by: int | str = 0) -> DataStream:
        """The running record with the least of a field; the earlier one among equals."""
        return self._aggregation("min_by", position_to_min_by)

    def max_by(self, position_to_max_by: int | str = 0) -> DataStream:
        """The running record with the greatest of a field; the earlier one among equals."""
        return self._aggregation("max_by", position_to_max_by)

    def window(self, window_assigner: WindowAssigner[Any, Any]) -> WindowedStream:
        """Each key's records put into windows."""
        _checked_assigner("window", window_assigner)
        return WindowedStream(self, window_assigner)

    def interval_join(self, other_stream: KeyedStream) -> IntervalJoin:
        """Pairs of this stream's values and the other's of equal keys, by the distance of their event times."""
        if not isinstance(other_stream, KeyedStream):
            raise wrong(f"interval_join() takes a keyed stream, not {other_stream!r:.80}", hint="call key_by() first")
        self._other("interval_join", other_stream)
        return IntervalJoin(self, other_stream)

    def count_window(self, size: int, slide: int = 0) -> WindowedStream:
        """Each key's records in windows of ``size`` of them, a new one each ``slide``; 0: side by side."""
        return self.window(CountSlidingWindowAssigner(size, slide) if slide else CountTumblingWindowAssigner(size))

    def shuffle(self) -> NoReturn:
        """Refused: the key decides where a record goes."""
        self._no_shipping("shuffle")

    def rescale(self) -> NoReturn:
        """Refused: the key decides where a record goes."""
        self._no_shipping("rescale")

    def partition_custom(self, *_arguments: Any) -> NoReturn:
        """Refused: the key decides where a record goes."""
        self._no_shipping("partition_custom")

    def rebalance(self) -> NoReturn:
        """Refused: the key decides where a record goes."""
        self._no_shipping("rebalance")

    def broadcast(self, *_descriptors: Any) -> NoReturn:
        """Refused: the key decides where a record goes."""
        self._no_shipping("broadcast")

    def forward(self) -> NoReturn:
        """Refused: the key decides where a record goes."""
        self._no_shipping("forward")

    def _no_shipping(self, method: str) -> NoReturn:
        raise wrong(
            f"{method}() after key_by(): the key decides where a record of a keyed stream goes",
            code="keyed-stream-partitioning",
            hint=f"call {method}() before key_by() or after the operator that follows it",
        )

    def _keyed(
        self,
        name: str,
        func: KeyedProcessFunction,
        output_type: TypeInformation | None,
        *,
        same_type: TypeInformation | None = None,
    ) -> DataStream:
        functions = {"process": func}
        return self._then(OperatorKind.KEYED_PROCESS, name, functions, output_type, same_type=same_type)

    def _aggregation(self, op: str, field: int | str) -> DataStream:
        if type(field) not in (int, str) or field == "" or (isinstance(field, int) and field < 0):
            raise wrong(f"{op}() takes the index or the name of a field, not {field!r:.60}")
        params = {"op": op, "field": field}
        return self._then(OperatorKind.AGGREGATE, f"{op}({field})", {}, params=params, same_type=self._type)
