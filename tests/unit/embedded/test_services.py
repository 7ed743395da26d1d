from __future__ import annotations

from pathlib import Path

import pytest

from headrace.embedded.cluster_files import ClusterSpec, Ports
from headrace.embedded.services import STOP_ORDER, Service, services_of


def spec(directory: Path, *, platform: bool = True) -> ClusterSpec:
    return ClusterSpec(
        name="t",
        directory=directory,
        namespace="ns",
        platform=platform,
        slots=3,
        ports=Ports(kafka=20_001, controller=20_002, redis=20_003, rest=20_004),
        java=Path("/java"),
        java_version="25.0.2",
        jars=(Path("/jars/a.jar"),),
        redis_server=Path("/redis-server"),
        cache_dir=directory / "cache",
        aot_cache=None,
    )


@pytest.fixture
def kafka(tmp_path: Path) -> Service:
    service = services_of(spec(tmp_path))["kafka"]
    service.directory.mkdir()
    return service


def test_the_platforms_processes_are_told_where_the_servers_are(tmp_path: Path) -> None:
    services = services_of(spec(tmp_path))
    assert set(services) == set(STOP_ORDER)
    taskmanager = services["taskmanager"]
    assert taskmanager.command()[-4:] == ["-m", "headrace.taskmanager", "--slots", "3"]
    assert taskmanager.environment["HEADRACE_BOOTSTRAP"] == "127.0.0.1:20001"
    assert taskmanager.environment["HEADRACE_REDIS"] == "redis://127.0.0.1:20003/0"
    assert taskmanager.environment["HEADRACE_NAMESPACE"] == "ns"
    assert taskmanager.environment["HEADRACE_STATE_DIR"] == str(tmp_path)


def test_without_platform_there_are_two_servers(tmp_path: Path) -> None:
    assert list(services_of(spec(tmp_path, platform=False))) == ["kafka", "redis"]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("java.net.BindException: Address already in use", "port-taken"),
        ("java.io.IOException: No space left on device", "disk-full"),
        ("something else", "service-ended"),
    ],
)
def test_an_end_is_explained_by_what_was_logged_since_the_start(kafka: Service, line: str, code: str) -> None:
    log = kafka.logs[0]
    log.write_text("an older Address already in use\n")
    sizes = {log: log.stat().st_size}
    with log.open("a") as file:
        file.write(line + "\n")
    assert kafka.explain_end(1, sizes).code == code


@pytest.mark.parametrize(
    ("status", "words"),
    [(1, "Kafka ended with 1"), (-9, "Kafka was killed by signal 9"), (None, "Kafka ended")],
)
def test_how_a_process_ended(kafka: Service, status: int | None, words: str) -> None:
    assert kafka.explain_end(status, {}).message == words
