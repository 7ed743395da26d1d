"""The names that PyFlink programs use most, with their methods, in the modules where PyFlink 2.3 has them."""

from __future__ import annotations

import importlib

import pytest

#: module: {name: methods}. Methods stand in one string, separated by blanks.
NAMES: dict[str, dict[str, str]] = {
    "common": {
        "Row": "as_dict set_field_names",
        "Types": "STRING BOOLEAN SHORT INT LONG FLOAT DOUBLE BIG_DEC BYTE CHAR BIG_INT SQL_DATE "
        "SQL_TIME SQL_TIMESTAMP "
        "PICKLED_BYTE_ARRAY ROW ROW_NAMED TUPLE PRIMITIVE_ARRAY BASIC_ARRAY OBJECT_ARRAY LIST MAP",
        "Time": "milliseconds seconds minutes hours days to_milliseconds",
        "Duration": "of_millis of_seconds of_minutes of_hours of_days",
        "WatermarkStrategy": "for_monotonous_timestamps for_bounded_out_of_orderness no_watermarks "
        "with_timestamp_assigner with_idleness",
        "Configuration": "set_string set_integer set_boolean set_float set_bytearray get_string "
        "get_integer get_boolean "
        "get_float get_bytearray key_set add_all add_all_to_dict to_dict contains_key remove_config parse_list_value",
        "ExecutionConfig": "enable_closure_cleaner disable_closure_cleaner is_closure_cleaner_enabled "
        "set_auto_watermark_interval get_auto_watermark_interval set_parallelism get_parallelism set_max_parallelism "
        "get_max_parallelism set_task_cancellation_interval get_task_cancellation_interval "
        "set_task_cancellation_timeout get_task_cancellation_timeout enable_auto_generated_uids "
        "disable_auto_generated_uids has_auto_generated_uids_enabled enable_object_reuse disable_object_reuse "
        "is_object_reuse_enabled set_global_job_parameters get_global_job_parameters set_use_snapshot_compression "
        "is_use_snapshot_compression",
        "JobClient": "get_job_id get_job_status get_job_execution_result cancel",
        "JobExecutionResult": "get_job_id get_net_runtime",
        "Encoder": "simple_string_encoder",
        "SimpleStringSchema": "serialize",
        "Instant": "of_epoch_milli to_epoch_milli",
        "JobStatus": "",
        "TypeInformation": "",
    },
    "common.typeinfo": {
        "RowTypeInfo": "get_field_names get_field_types",
        "TupleTypeInfo": "get_field_types",
        "Types": "STRING",
    },
    "common.types": {"Row": ""},
    "common.time": {"Time": "", "Duration": "", "Instant": ""},
    "common.watermark_strategy": {"TimestampAssigner": "extract_timestamp", "WatermarkStrategy": ""},
    "common.serialization": {
        "Encoder": "",
        "SimpleStringSchema": "",
        "SerializationSchema": "",
        "DeserializationSchema": "",
    },
    "common.configuration": {"Configuration": ""},
    "common.execution_config": {"ExecutionConfig": ""},
    "datastream": {
        "StreamExecutionEnvironment": "get_execution_environment from_collection from_source execute execute_async "
        "configure set_parallelism get_parallelism set_max_parallelism get_max_parallelism set_runtime_mode "
        "set_buffer_timeout "
        "get_buffer_timeout set_default_local_parallelism get_default_local_parallelism "
        "disable_operator_chaining is_chaining_enabled get_config get_checkpoint_config enable_checkpointing "
        "get_checkpoint_interval get_checkpointing_mode enable_changelog_state_backend "
        "is_changelog_state_backend_enabled add_python_file add_python_archive set_python_requirements "
        "set_python_executable get_execution_plan register_slot_sharing_group",
        "DataStream": "name get_name get_type uid set_parallelism set_max_parallelism "
        "force_non_parallel map flat_map "
        "filter key_by process union connect broadcast shuffle rebalance rescale forward project partition_custom "
        "assign_timestamps_and_watermarks window_all get_side_output add_sink sink_to print execute_and_collect "
        "slot_sharing_group set_description start_new_chain disable_chaining set_uid_hash  get_execution_environment",
        "KeyedStream": "reduce sum min max min_by max_by window count_window process",
        "ConnectedStreams": "key_by map flat_map process",
        "BroadcastConnectedStream": "process",
        "BroadcastStream": "",
        "WindowedStream": "trigger allowed_lateness side_output_late_data reduce aggregate apply process",
        "AllWindowedStream": "trigger allowed_lateness side_output_late_data reduce aggregate apply process",
        "OutputTag": "",
        "AsyncDataStream": "unordered_wait ordered_wait unordered_wait_with_retry ordered_wait_with_retry",
        "CheckpointConfig": "get_checkpointing_mode set_checkpointing_mode get_checkpoint_interval "
        "set_checkpoint_interval get_checkpoint_timeout set_checkpoint_timeout get_min_pause_between_checkpoints "
        "set_min_pause_between_checkpoints get_max_concurrent_checkpoints set_max_concurrent_checkpoints "
        "get_tolerable_checkpoint_failure_number set_tolerable_checkpoint_failure_number "
        "set_externalized_checkpoint_retention get_externalized_checkpoint_retention "
        "is_unaligned_checkpoints_enabled "
        "enable_unaligned_checkpoints disable_unaligned_checkpoints set_checkpoint_storage_dir "
        "is_checkpointing_enabled",
        "CheckpointingMode": "EXACTLY_ONCE AT_LEAST_ONCE",
        "ExternalizedCheckpointRetention": "DELETE_ON_CANCELLATION RETAIN_ON_CANCELLATION "
        "NO_EXTERNALIZED_CHECKPOINTS",
        "RuntimeExecutionMode": "STREAMING BATCH AUTOMATIC",
        "SlotSharingGroup": "builder get_name",
        "MemorySize": "of_mebi_bytes get_bytes",
        "EmbeddedRocksDBStateBackend": "set_predefined_options",
        "HashMapStateBackend": "",
        "PredefinedOptions": "DEFAULT",
        "JobManagerCheckpointStorage": "get_max_state_size",
        "FileSystemCheckpointStorage": "get_checkpoint_path",
        "TimeDomain": "EVENT_TIME PROCESSING_TIME",
        "TimerService": "register_event_time_timer",
    },
    "datastream.functions": {
        "MapFunction": "map open close",
        "FlatMapFunction": "flat_map open close",
        "FilterFunction": "filter open close",
        "ReduceFunction": "reduce open close",
        "KeySelector": "get_key",
        "CoMapFunction": "map1 map2",
        "CoFlatMapFunction": "flat_map1 flat_map2",
        "AggregateFunction": "create_accumulator add get_result merge",
        "ProcessFunction": "process_element Context",
        "KeyedProcessFunction": "process_element on_timer Context OnTimerContext",
        "CoProcessFunction": "process_element1 process_element2 Context",
        "KeyedCoProcessFunction": "process_element1 process_element2 on_timer Context OnTimerContext",
        "BroadcastProcessFunction": "process_element process_broadcast_element Context ReadOnlyContext",
        "KeyedBroadcastProcessFunction": "process_element process_broadcast_element on_timer Context ReadOnlyContext",
        "WindowFunction": "apply",
        "AllWindowFunction": "apply",
        "ProcessWindowFunction": "process clear Context",
        "ProcessAllWindowFunction": "process clear Context",
        "RuntimeContext": "get_state get_list_state get_map_state get_reducing_state get_aggregating_state "
        "get_metrics_group get_task_name get_index_of_this_subtask get_number_of_parallel_subtasks",
        "AsyncFunction": "async_invoke timeout",
        "Partitioner": "partition",
    },
    "datastream.state": {
        "ValueState": "value update clear",
        "ListState": "get add add_all update clear",
        "MapState": "get put put_all remove contains items keys values is_empty clear",
        "ReducingState": "get add clear",
        "AggregatingState": "get add clear",
        "ValueStateDescriptor": "enable_time_to_live get_name",
        "ListStateDescriptor": "enable_time_to_live",
        "MapStateDescriptor": "enable_time_to_live",
        "ReducingStateDescriptor": "enable_time_to_live",
        "AggregatingStateDescriptor": "enable_time_to_live",
        "StateTtlConfig": "new_builder get_ttl UpdateType StateVisibility",
        "BroadcastState": "get put remove contains",
        "ReadOnlyBroadcastState": "get contains items",
    },
    "datastream.window": {
        "TumblingEventTimeWindows": "of",
        "SlidingEventTimeWindows": "of",
        "TumblingProcessingTimeWindows": "of",
        "SlidingProcessingTimeWindows": "of",
        "EventTimeSessionWindows": "with_gap with_dynamic_gap",
        "ProcessingTimeSessionWindows": "with_gap with_dynamic_gap",
        "GlobalWindows": "create",
        "CountSlidingWindowAssigner": "",
        "CountTumblingWindowAssigner": "",
        "SessionWindowTimeGapExtractor": "extract",
        "Trigger": "on_element on_processing_time on_event_time clear",
        "TriggerResult": "CONTINUE FIRE PURGE FIRE_AND_PURGE",
        "CountTrigger": "of",
        "EventTimeTrigger": "create",
        "ProcessingTimeTrigger": "create",
        "ContinuousEventTimeTrigger": "of",
        "ContinuousProcessingTimeTrigger": "of",
        "PurgingTrigger": "of",
        "TimeWindow": "max_timestamp",
        "CountWindow": "",
        "GlobalWindow": "",
        "WindowAssigner": "",
        "MergingWindowAssigner": "",
    },
    "datastream.output_tag": {"OutputTag": ""},
    "datastream.data_stream": {"DataStream": "", "KeyedStream": "", "ConnectedStreams": ""},
    "datastream.stream_execution_environment": {"StreamExecutionEnvironment": ""},
    "datastream.execution_mode": {"RuntimeExecutionMode": ""},
    "datastream.checkpoint_config": {"CheckpointConfig": "", "ExternalizedCheckpointRetention": ""},
    "datastream.checkpointing_mode": {"CheckpointingMode": ""},
    "datastream.slot_sharing_group": {"SlotSharingGroup": "", "MemorySize": ""},
    "datastream.state_backend": {
        "EmbeddedRocksDBStateBackend": "",
        "PredefinedOptions": "",
        "HashMapStateBackend": "",
    },
    "datastream.checkpoint_storage": {"JobManagerCheckpointStorage": "", "FileSystemCheckpointStorage": ""},
    "datastream.async_data_stream": {"AsyncDataStream": ""},
    "datastream.timerservice": {"TimerService": ""},
    "datastream.time_domain": {"TimeDomain": ""},
    "datastream.connectors.file_system": {
        "FileSource": "for_record_stream_format",
        "FileSink": "for_row_format",
        "OutputFileConfig": "builder",
        "RollingPolicy": "default_rolling_policy on_checkpoint_rolling_policy",
    },
    "datastream.connectors.kafka": {
        "KafkaSource": "builder",
        "KafkaSink": "builder",
        "KafkaOffsetsInitializer": "earliest",
    },
    "datastream.connectors.number_seq": {"NumberSequenceSource": ""},
    "datastream.formats.json": {"JsonRowDeserializationSchema": "builder", "JsonRowSerializationSchema": "builder"},
    "datastream.formats.csv": {"CsvSchema": "builder", "CsvReaderFormat": "for_schema"},
}
CASES = [(module, name, methods) for module, names in NAMES.items() for name, methods in names.items()]


@pytest.mark.parametrize(("module", "name", "methods"), CASES, ids=[f"{m}.{n}" for m, n, _ in CASES])
def test_the_name_is_where_pyflink_has_it(module: str, name: str, methods: str) -> None:
    found = getattr(importlib.import_module(f"headrace.{module}"), name)
    assert [method for method in methods.split() if not hasattr(found, method)] == []
