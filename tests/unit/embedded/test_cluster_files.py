from __future__ import annotations

import os
from pathlib import Path

from headrace.embedded.cluster_files import (
    ClusterState,
    ServiceState,
    ServiceStatus,
    read_spec,
    read_state,
    state_file,
    write_state,
)
from headrace.embedded.processes import identify


def test_a_state_comes_back_as_it_was_written(tmp_path: Path) -> None:
    kafka = ServiceStatus(state=ServiceState.HEALTHY, pid=7, started_s=1.5, starts=3)
    state = ClusterState(services={"kafka": kafka, "redis": ServiceStatus()}, warnings=("careful",))
    write_state(tmp_path, state)
    assert read_state(tmp_path) == state
    assert list(read_state(tmp_path).services) == ["kafka", "redis"]
    assert os.listdir(tmp_path) == ["state.json"]


def test_a_missing_or_unreadable_file_is_an_empty_state(tmp_path: Path) -> None:
    assert read_state(tmp_path) == ClusterState() and read_spec(tmp_path) is None
    for text in ("", "{", "[]", '{"services": 5}'):
        state_file(tmp_path).write_text(text)
        assert read_state(tmp_path) == ClusterState()


def test_fields_of_a_later_version_are_ignored(tmp_path: Path) -> None:
    state_file(tmp_path).write_text('{"version": 9, "new": 1, "services": {"kafka": {"state": "HEALTHY", "new": 2}}}')
    assert read_state(tmp_path).healthy


def test_running_looks_at_the_processes_not_at_what_was_written() -> None:
    me = identify(os.getpid())
    alive = ServiceStatus(state=ServiceState.STOPPED, pid=me.pid, started_s=me.started_s)
    gone = ServiceStatus(state=ServiceState.HEALTHY, pid=me.pid, started_s=me.started_s - 100)
    assert ClusterState(services={"kafka": alive}).running
    assert not ClusterState(services={"kafka": gone}).running
    assert not ClusterState().running


def test_healthy_means_every_service() -> None:
    healthy, starting = ServiceStatus(state=ServiceState.HEALTHY), ServiceStatus(state=ServiceState.STARTING)
    assert ClusterState(services={"kafka": healthy, "redis": healthy}).healthy
    assert not ClusterState(services={"kafka": healthy, "redis": starting}).healthy
    assert not ClusterState().healthy
