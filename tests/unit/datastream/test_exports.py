"""The public face: names are exported once, and the API brings nothing of the runtime along."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys

import pytest

import headrace.common
import headrace.datastream

MODULES = sorted(
    info.name
    for package in (headrace.common, headrace.datastream)
    for info in pkgutil.walk_packages(package.__path__, package.__name__ + ".")
)
#: Where PyFlink programs import from, with names that they import.
PYFLINK = {
    "headrace.common": [
        "Row",
        "Types",
        "Configuration",
        "Duration",
        "Time",
        "WatermarkStrategy",
        "SimpleStringSchema",
    ],
    "headrace.common.configuration": ["Configuration"],
    "headrace.common.job_client": ["JobClient"],
    "headrace.common.job_execution_result": ["JobExecutionResult"],
    "headrace.common.serialization": ["SimpleStringSchema", "SerializationSchema", "DeserializationSchema"],
    "headrace.common.time": ["Duration", "Instant", "Time"],
    "headrace.common.typeinfo": ["RowTypeInfo", "TupleTypeInfo", "TypeInformation", "Types"],
    "headrace.common.types": ["Row"],
    "headrace.common.watermark_strategy": ["TimestampAssigner", "WatermarkStrategy"],
    "headrace.datastream": ["StreamExecutionEnvironment", "KeyedProcessFunction", "RuntimeContext", "DataStream"],
    "headrace.datastream.connectors": ["DeliveryGuarantee"],
    "headrace.datastream.connectors.base": ["DeliveryGuarantee"],
    "headrace.datastream.connectors.kafka": ["KafkaSource", "KafkaSink", "KafkaOffsetsInitializer"],
    "headrace.datastream.async_data_stream": ["AsyncDataStream"],
    "headrace.datastream.async_retry_predicates": [
        "empty_result_predicate",
        "exception_type_predicate",
        "has_exception_predicate",
    ],
    "headrace.datastream.async_retry_strategies": ["FixedDelayRetryStrategy", "NoRetryStrategy"],
    "headrace.datastream.data_stream": [
        "BroadcastConnectedStream",
        "BroadcastStream",
        "ConnectedStreams",
        "DataStream",
        "KeyedStream",
        "WindowedStream",
    ],
    "headrace.datastream.output_tag": ["OutputTag"],
    "headrace.datastream.formats.json": ["JsonRowDeserializationSchema", "JsonRowSerializationSchema"],
    "headrace.datastream.functions": [
        "BaseBroadcastProcessFunction",
        "BroadcastProcessFunction",
        "CoFlatMapFunction",
        "CoMapFunction",
        "CoProcessFunction",
        "KeyedBroadcastProcessFunction",
        "KeyedCoProcessFunction",
        "AsyncFunction",
        "AsyncRetryStrategy",
        "KeyedProcessFunction",
        "MapFunction",
        "ProcessWindowFunction",
    ],
    "headrace.datastream.state": [
        "BroadcastState",
        "ReadOnlyBroadcastState",
        "ListStateDescriptor",
        "MapStateDescriptor",
        "ValueStateDescriptor",
    ],
    "headrace.datastream.stream_execution_environment": ["StreamExecutionEnvironment"],
    "headrace.datastream.time_domain": ["TimeDomain"],
    "headrace.datastream.timerservice": ["TimerService"],
    "headrace.datastream.window": [
        "CountSlidingWindowAssigner",
        "CountTumblingWindowAssigner",
        "CountWindow",
        "EventTimeSessionWindows",
        "MergingWindowAssigner",
        "SessionWindowTimeGapExtractor",
        "ProcessingTimeSessionWindows",
        "SlidingEventTimeWindows",
        "SlidingProcessingTimeWindows",
        "TimeWindow",
        "TumblingEventTimeWindows",
        "TumblingProcessingTimeWindows",
    ],
}


@pytest.mark.parametrize("module", PYFLINK)
def test_modules_of_pyflink_have_their_names(module: str) -> None:
    assert set(PYFLINK[module]) <= set(importlib.import_module(module).__all__)


@pytest.mark.parametrize("name", [*MODULES, "headrace.common", "headrace.datastream"])
def test_all_is_sorted_and_true(name: str) -> None:
    module = importlib.import_module(name)
    names = getattr(module, "__all__", [])
    assert names == sorted(names)
    assert [each for each in names if not hasattr(module, each)] == []


def test_the_api_imports_no_client_of_kafka_and_nothing_of_the_runtime() -> None:
    code = "import sys, importlib\nfor name in sys.argv[1:]: importlib.import_module(name)\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, *MODULES], check=True, capture_output=True, text=True)
    loaded = done.stdout.split()
    unwanted = ("confluent_kafka", "redis", "faust", "fastapi", "headrace.runtime", "headrace.log", "headrace.store")
    assert [name for name in loaded if name.startswith(unwanted)] == []
