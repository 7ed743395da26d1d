from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from headrace.embedded import aot
from headrace.embedded.disk import make_directory, require_free_space
from headrace.embedded.java import Java
from headrace.embedded.kafka_server import KafkaServer
from headrace.errors import HeadraceError


@pytest.fixture
def server(tmp_path: Path) -> KafkaServer:
    """A formatted directory, so that ``prepare`` needs no JVM."""
    data = tmp_path / "kafka" / "data"
    data.mkdir(parents=True)
    (data / "meta.properties").write_text("")
    jars = (tmp_path / "a.jar", tmp_path / "b.jar")
    return KafkaServer(tmp_path / "kafka", 20_001, 20_002, Java(Path("/java"), "25.0.2"), jars)


def test_settings_that_the_platform_relies_on(server: KafkaServer) -> None:
    server.prepare()
    lines = [line for line in server.properties.read_text().splitlines() if "=" in line]
    settings = dict(line.split("=", 1) for line in lines)
    assert len(settings) == len(lines)
    assert settings["listeners"] == "PLAINTEXT://127.0.0.1:20001,CONTROLLER://127.0.0.1:20002"
    assert settings["auto.create.topics.enable"] == "false"
    assert settings["offsets.topic.num.partitions"] == settings["transaction.state.log.num.partitions"] == "8"
    assert settings["group.min.session.timeout.ms"] == "1000"
    assert settings["transaction.abort.timed.out.transaction.cleanup.interval.ms"] == "1000"


def test_a_cache_is_used_once_it_exists(server: KafkaServer, tmp_path: Path) -> None:
    server = replace(server, aot_cache=tmp_path / "kafka.aot")
    assert "-XX:TieredStopAtLevel=1" in server.command()
    (tmp_path / "kafka.aot").touch()
    assert f"-XX:AOTCache={tmp_path / 'kafka.aot'}" in server.command()
    assert "-XX:TieredStopAtLevel=1" not in server.command()


def test_a_training_run_writes_a_cache_and_uses_none(server: KafkaServer, tmp_path: Path) -> None:
    (tmp_path / "kafka.aot").touch()
    command = replace(server, aot_cache=tmp_path / "kafka.aot").command(aot_output=tmp_path / "new.aot")
    assert f"-XX:AOTCacheOutput={tmp_path / 'new.aot'}" in command
    assert not any(word.startswith("-XX:AOTCache=") for word in command)


def test_the_cache_belongs_to_one_java_one_set_of_jars_and_one_place(tmp_path: Path) -> None:
    java, jars = Java(Path("/java"), "25.0.2"), (Path("/jars/a.jar"),)
    paths = {
        aot.cache_path(tmp_path, java, jars, "key"),
        aot.cache_path(tmp_path, Java(Path("/java"), "25.0.3"), jars, "key"),
        aot.cache_path(tmp_path, Java(Path("/other"), "25.0.2"), jars, "key"),
        aot.cache_path(tmp_path, java, (Path("/elsewhere/a.jar"),), "key"),
        aot.cache_path(tmp_path, java, jars, "other"),
    }
    assert len(paths) == 5 and None not in paths
    assert aot.cache_path(tmp_path, Java(Path("/java"), "21.0.8"), jars, "key") is None


@pytest.mark.parametrize(("version", "feature"), [("25.0.2", 25), ("17", 17), ("24-ea", 24), ("21.0.8+9", 21)])
def test_versions_of_java(version: str, feature: int) -> None:
    assert Java(Path("/java"), version).feature == feature


def test_a_full_disk_is_told_before_anything_is_written(tmp_path: Path) -> None:
    free = shutil.disk_usage(tmp_path).free
    require_free_space(tmp_path, 1, "this test")
    with pytest.raises(HeadraceError, match="this test needs") as caught:
        require_free_space(tmp_path, free + 10**12, "this test")
    assert caught.value.code == "disk-full"


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HeadraceError, match="file/below") as caught:
        make_directory(tmp_path / "file" / "below")
    assert caught.value.code == "directory-unusable"
