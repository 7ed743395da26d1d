"""ConnectedStreams and BroadcastConnectedStream: two streams read by one function, each by a method of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from headrace.common.call_site import wrong
from headrace.common.typeinfo import TypeInformation, Types
from headrace.datastream.functions import (
    BroadcastProcessFunction,
    CoFlatMapFunction,
    CoMapFunction,
    CoProcessFunction,
    Function,
    KeyedBroadcastProcessFunction,
    KeyedCoProcessFunction,
    KeySelector,
)
from headrace.datastream.state import MapStateDescriptor
from headrace.datastream.transformation import Transformation, checked_function, titled
from headrace.datastream.typed import CoFlatMapped, CoMapped
from headrace.graph.job_graph import OperatorKind, Ship

if TYPE_CHECKING:
    from headrace.datastream.data_stream import DataStream

__all__ = ["BroadcastConnectedStream", "BroadcastStream", "ConnectedStreams", "two_input"]


def two_input(
    first: DataStream,
    second: DataStream,
    kind: OperatorKind,
    name: str,
    functions: dict[str, Any],
    output_type: TypeInformation | None,
    params: dict[str, Any] | None = None,
) -> DataStream:
    """A new operator that reads two streams."""
    if output_type is not None and not isinstance(output_type, TypeInformation):
        raise wrong(f"a declared type must come from Types, such as Types.STRING(), not {output_type!r:.80}")
    links = first._links + tuple(replace(link, input=1) for link in second._links)
    added = Transformation(kind, name, links, params or {}, functions)
    return first._made(added, output_type or Types.PICKLED_BYTE_ARRAY(), output_type)


class ConnectedStreams:
    """Two streams whose values one function sees, in no promised order between the streams.

    The watermark of what follows is the lesser of the two. When both streams are keyed, functions may hold keyed
    state, which the two share.
    """

    def __init__(self, first: DataStream, second: DataStream, *, keyed: bool) -> None:
        self.stream1 = first
        self.stream2 = second
        self._keyed = keyed

    def key_by(
        self,
        key_selector1: KeySelector | Callable[[Any], Any],
        key_selector2: KeySelector | Callable[[Any], Any],
        key_type: TypeInformation | None = None,
    ) -> ConnectedStreams:
        """Both streams divided by key; values of equal keys meet in one lane."""
        return ConnectedStreams(
            self.stream1.key_by(key_selector1, key_type), self.stream2.key_by(key_selector2, key_type), keyed=True
        )

    def map(self, func: CoMapFunction, output_type: TypeInformation | None = None) -> DataStream:
        """One value for each value of either stream."""
        checked_function("map", func, CoMapFunction, lambdas=False)
        return self._process(titled("Co-Map", func), CoMapped(func), output_type)

    def flat_map(self, func: CoFlatMapFunction, output_type: TypeInformation | None = None) -> DataStream:
        """Any number of values for each value of either stream."""
        checked_function("flat_map", func, CoFlatMapFunction, lambdas=False)
        return self._process(titled("Co-FlatMap", func), CoFlatMapped(func), output_type)

    def process(
        self, func: CoProcessFunction | KeyedCoProcessFunction, output_type: TypeInformation | None = None
    ) -> DataStream:
        """Any number of values for each value of either stream, and for each timer when both are keyed."""
        if isinstance(func, KeyedCoProcessFunction):
            if not self._keyed:
                raise wrong(
                    f"process() with the KeyedCoProcessFunction {type(func).__name__} needs two keyed streams",
                    code="function-invalid",
                    hint="call key_by() on the connected streams, or on both before connect()",
                )
        else:
            checked_function("process", func, CoProcessFunction, lambdas=False)
        return self._process(titled("Co-Process", func), func, output_type)

    def _process(self, name: str, func: Function, output_type: TypeInformation | None) -> DataStream:
        kind = OperatorKind.KEYED_CO_PROCESS if self._keyed else OperatorKind.CO_PROCESS
        return two_input(self.stream1, self.stream2, kind, name, {"process": func}, output_type)


class BroadcastStream:
    """A stream on its way to every lane, with the descriptors of the state that the lanes keep of it."""

    def __init__(self, input_stream: DataStream, descriptors: tuple[MapStateDescriptor, ...]) -> None:
        names = [descriptor.get_name() for descriptor in descriptors if isinstance(descriptor, MapStateDescriptor)]
        if len(names) != len(descriptors):
            raise wrong(f"broadcast() takes MapStateDescriptors, not {descriptors!r:.200}")
        if len(set(names)) != len(names):
            raise wrong(f"broadcast() has two states of one name: {', '.join(names)}")
        self.input_stream = input_stream
        self.broadcast_state_descriptors = descriptors


class BroadcastConnectedStream:
    """A stream, keyed or not, beside a broadcast one."""

    def __init__(self, stream: DataStream, broadcast: BroadcastStream, *, keyed: bool) -> None:
        self.non_broadcast_stream = stream
        self.broadcast_stream = broadcast
        self._keyed = keyed

    def process(
        self,
        func: BroadcastProcessFunction[Any, Any, Any] | KeyedBroadcastProcessFunction[Any, Any, Any, Any],
        output_type: TypeInformation | None = None,
    ) -> DataStream:
        """Any number of values for each value of either: a KeyedBroadcastProcessFunction when the stream is keyed."""
        kind = KeyedBroadcastProcessFunction if self._keyed else BroadcastProcessFunction
        checked_function("process", func, kind, lambdas=False)
        source = self.broadcast_stream.input_stream
        return two_input(
            self.non_broadcast_stream,
            source._shipped(Ship.BROADCAST),
            OperatorKind.KEYED_BROADCAST_PROCESS if self._keyed else OperatorKind.BROADCAST_PROCESS,
            titled("Broadcast-Process", func),
            {"process": func},
            output_type,
            {"broadcast_states": [d.get_name() for d in self.broadcast_stream.broadcast_state_descriptors]},
        )
