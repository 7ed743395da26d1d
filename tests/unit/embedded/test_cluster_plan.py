"""Which cluster comes out of options, of what it was before, and of what still runs."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path

import pytest

from headrace.embedded.cluster_files import ClusterSpec
from headrace.embedded.cluster_plan import ClusterOptions, Software, plan_cluster
from headrace.embedded.java import Java
from headrace.embedded.ports import CHOSEN_FROM
from headrace.errors import HeadraceError, UsageError
from headrace.settings import Settings

OPTIONS = ClusterOptions("t", platform=True, slots=None, kafka_port=None, redis_port=None, rest_port=None)
SOFTWARE = Software(Java(Path("/java"), "25.0.2"), (Path("/jars/a.jar"),), Path("/redis-server"))


def plan(
    directory: Path,
    options: ClusterOptions = OPTIONS,
    before: ClusterSpec | None = None,
    running: frozenset[str] = frozenset(),
) -> ClusterSpec:
    settings = Settings(cache_dir=directory / "cache", namespace="ns")
    return plan_cluster(directory, options, SOFTWARE, settings, before=before, running=set(running))


def test_a_new_cluster_gets_four_slots_and_different_free_ports(tmp_path: Path) -> None:
    spec = plan(tmp_path)
    ports = [spec.ports.kafka, spec.ports.controller, spec.ports.redis, spec.ports.rest]
    assert spec.slots == 4 and len(set(ports)) == 4 and all(port in CHOSEN_FROM for port in ports)
    assert spec.namespace == "ns" and spec.aot_cache is not None


def test_what_is_not_asked_for_stays_as_it_was(tmp_path: Path) -> None:
    before = plan(tmp_path, replace(OPTIONS, slots=7))
    assert plan(tmp_path, before=before) == before
    changed = plan(tmp_path, replace(OPTIONS, slots=2, kafka_port=0), before=before)
    assert changed.slots == 2 and changed.ports.redis == before.ports.redis
    assert changed.ports.kafka != before.ports.kafka


def test_ports_of_running_servers_are_kept_although_they_are_taken(tmp_path: Path) -> None:
    before = plan(tmp_path)
    with socket.socket() as kafka:
        kafka.bind(("127.0.0.1", before.ports.kafka))
        kafka.listen()
        assert plan(tmp_path, before=before, running=frozenset({"kafka"})) == before
        assert plan(tmp_path, replace(OPTIONS, kafka_port=0), before, frozenset({"kafka"})) == before
        with pytest.raises(HeadraceError, match="is taken") as caught:
            plan(tmp_path, before=before)
    assert caught.value.code == "port-taken"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"slots": 9}, "--slots 4, not 9"),
        ({"redis_port": 29_998}, "--redis-port"),
        ({"platform": False}, "with Dispatcher and TaskManager"),
    ],
)
def test_other_options_than_those_of_what_runs_are_refused(
    tmp_path: Path, change: dict[str, int], words: str
) -> None:
    before = plan(tmp_path)
    with pytest.raises(UsageError, match=words) as caught:
        plan(tmp_path, replace(OPTIONS, **change), before, frozenset({"redis"}))
    assert caught.value.code == "cluster-options"
    assert plan(tmp_path, replace(OPTIONS, **change), before).directory == tmp_path


@pytest.mark.parametrize("slots", [0, -1, 257])
def test_slots_are_bounded(slots: int) -> None:
    with pytest.raises(UsageError, match="between 1 and 256"):
        replace(OPTIONS, slots=slots)


def test_the_default_cluster_prefers_the_well_known_rest_port(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = Settings(cache_dir=tmp_path, rest_port=port)
    spec = plan_cluster(tmp_path, replace(OPTIONS, name="default"), SOFTWARE, settings, before=None, running=set())
    assert spec.ports.rest == port
