"""Settings that PyFlink programs set: kept, read back, and said to be without effect where they have none."""

from __future__ import annotations

import json
from typing import Any

import pytest

from headrace.common import Configuration, ExecutionConfig, UnusedSettingWarning
from headrace.datastream import (
    CheckpointingMode,
    ExternalizedCheckpointRetention,
    FileSystemCheckpointStorage,
    MemorySize,
    SlotSharingGroup,
    StreamExecutionEnvironment,
)
from headrace.errors import UsageError


@pytest.fixture
def env() -> StreamExecutionEnvironment:
    return StreamExecutionEnvironment.get_execution_environment()


def test_defaults_are_flinks(env: StreamExecutionEnvironment) -> None:
    config, checkpoints = env.get_config(), env.get_checkpoint_config()
    assert (config.get_auto_watermark_interval(), config.get_max_parallelism(), config.get_parallelism()) == (
        200,
        -1,
        1,
    )
    assert (config.get_task_cancellation_interval(), config.get_task_cancellation_timeout()) == (30_000, 180_000)
    assert (checkpoints.get_checkpoint_interval(), checkpoints.get_checkpoint_timeout()) == (-1, 600_000)
    assert (
        checkpoints.get_min_pause_between_checkpoints() == checkpoints.get_tolerable_checkpoint_failure_number() == 0
    )
    assert checkpoints.get_max_concurrent_checkpoints() == 1
    assert env.get_checkpointing_mode() is CheckpointingMode.EXACTLY_ONCE
    assert env.is_changelog_state_backend_enabled() is None
    assert FileSystemCheckpointStorage("file:///c").get_min_file_size_threshold() == 20_480
    assert ExecutionConfig() == ExecutionConfig()


@pytest.mark.parametrize(
    ("set_it", "read", "kept"),
    [
        (lambda e: e.enable_checkpointing(60_000), lambda e: e.get_checkpoint_interval(), 60_000),
        (lambda e: e.set_buffer_timeout(5), lambda e: e.get_buffer_timeout(), 5),
        (lambda e: e.enable_changelog_state_backend(True), lambda e: e.is_changelog_state_backend_enabled(), True),
        (lambda e: e.set_max_parallelism(50), lambda e: e.get_config().get_max_parallelism(), 50),
        (
            lambda e: e.get_config().set_auto_watermark_interval(1000),
            lambda e: e.get_config().get_auto_watermark_interval(),
            1000,
        ),
        (
            lambda e: e.get_checkpoint_config().set_externalized_checkpoint_retention(
                ExternalizedCheckpointRetention.RETAIN_ON_CANCELLATION
            ),
            lambda e: e.get_checkpoint_config().is_externalized_checkpoints_enabled(),
            True,
        ),
        (
            lambda e: e.enable_checkpointing(1000, CheckpointingMode.AT_LEAST_ONCE),
            lambda e: e.get_checkpointing_mode(),
            CheckpointingMode.AT_LEAST_ONCE,
        ),
    ],
)
def test_what_has_no_effect_is_kept_and_said_at_the_users_line(
    env: StreamExecutionEnvironment, set_it: Any, read: Any, kept: Any
) -> None:
    with pytest.warns(UnusedSettingWarning, match="has no effect: ") as said:
        set_it(env)
    assert read(env) == kept
    assert {warning.filename for warning in said} == {__file__}


def test_parallelism_of_the_config_is_the_environments(env: StreamExecutionEnvironment) -> None:
    env.get_config().set_parallelism(3)
    assert env.get_parallelism() == 3
    env.set_parallelism(2)
    assert env.get_config().get_parallelism() == 2


def test_operators_without_uid_are_refused_when_the_program_wants_it(env: StreamExecutionEnvironment) -> None:
    env.get_config().disable_auto_generated_uids()
    stream = env.from_collection([1]).uid("numbers").map(lambda n: n)
    stream.print().uid("out")
    with pytest.raises(UsageError, match=r"'Map' has no uid .*test_settings.py") as refused:
        env.program()
    assert refused.value.code == "uid-missing"
    stream.uid("same")
    env.program()


def test_the_plan_names_operators_and_what_they_read(env: StreamExecutionEnvironment) -> None:
    env.from_collection([1]).map(lambda n: n).key_by(lambda n: n).reduce(lambda a, b: a + b).print()
    nodes = json.loads(env.get_execution_plan())["nodes"]
    assert [node["pact"] for node in nodes] == ["Data Source", "Operator", "Operator", "Data Sink"]
    assert nodes[2]["predecessors"] == [{"id": 2, "ship_strategy": "HASH", "side": "second"}]


def test_archives_are_refused_with_the_way_out(env: StreamExecutionEnvironment) -> None:
    with pytest.raises(UsageError, match="archives are not unpacked") as refused:
        env.add_python_archive("venv.zip")
    assert "set_python_requirements" in refused.value.hint


def test_slot_sharing_groups_hold_what_they_were_given() -> None:
    group = SlotSharingGroup.builder("wide").set_cpu_cores(1.5).set_task_heap_memory_mb(100).build()
    assert (group.get_name(), group.get_cpu_cores()) == ("wide", 1.5)
    assert group.get_task_heap_memory() == MemorySize.of_mebi_bytes(100) == MemorySize(104_857_600)
    assert MemorySize.of_mebi_bytes(2).get_kibi_bytes() == 2048


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("[a, b, 'c, d']", ["a", "b", "c, d"]),
        ("- a\n- 'b'\n", ["a", "b"]),
        ("a;b;'c;d'", ["a", "b", "c;d"]),
        ("", []),
        ("one", ["one"]),
        ("['it''s']", ["it's"]),
    ],
)
def test_lists_in_options(text: str, items: list[str]) -> None:
    assert Configuration.parse_list_value(text) == items


@pytest.mark.parametrize("text", ["[a, b", "['a]", "[[a], b]", "- {a: 1}"])
def test_no_lists(text: str) -> None:
    with pytest.raises(ValueError, match="list|quote"):
        Configuration.parse_list_value(text)
