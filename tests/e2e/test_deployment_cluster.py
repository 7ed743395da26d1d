"""The processes of compose.yaml for real: its commands with its variables, against a real Kafka and Redis.

Only what a container gives is given here otherwise: addresses, ports, state directories, restarts.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
from confluent_kafka.admin import AdminClient
from tests.e2e.dispatchers import free_port
from tests.e2e.platform_job import PlatformJob, running_job
from tests.e2e.platform_site import patience, tail
from tests.house.deployment_files import Service, compose, dockerfile
from tests.waiting import wait_until

from headrace.embedded.cluster import Addresses

pytestmark = [pytest.mark.e2e, pytest.mark.chaos]  # long: by hand, ./dev test tests/e2e/test_deployment_cluster.py

STREAMCTL = [str(Path(sys.executable).with_name("streamctl"))]
HEALTHY_S = 90.0
TAKEN_OVER_S = 40.0
STOP_S = 30.0
RATE_PER_S = 300.0


class Container:
    """One service of compose.yaml as a process of this machine."""

    def __init__(self, name: str, service: Service, directory: Path, variables: dict[str, str]) -> None:
        self.name = name
        self.role = service.command[0]
        self._service = service
        self._directory = directory / name
        self._directory.mkdir()
        self.output = self._directory / "output"
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("HEADRACE_", "PYTHON"))}
        image = {k: v for k, v in dockerfile()[-1].environment.items() if k != "PATH"}
        self.environment = clean | {"HEADRACE_CONFIG": ""} | image | service.environment | variables
        self.environment["HEADRACE_STATE_DIR"] = str(self._directory / "state")
        self.environment["HEADRACE_CACHE_DIR"] = str(self._directory / "state" / "cache")
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        with self.output.open("ab") as output:
            return subprocess.Popen(
                [*STREAMCTL, *self._service.command],
                cwd=self._directory,
                env=self.environment,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def restart(self) -> None:
        """What ``restart: unless-stopped`` does for one that died."""
        assert self.process.wait(STOP_S) and self._service.restart == "unless-stopped"
        self.process = self._start()

    def healthy(self) -> bool:
        """Runs the service's own health check."""
        _, _, *words = self._service.healthcheck.test
        done = subprocess.run(
            [*STREAMCTL, *words], env=self.environment, cwd=self._directory, capture_output=True, timeout=60
        )
        return done.returncode == 0

    def health(self) -> dict[str, Any]:
        """A Dispatcher's /health; empty while it does not answer."""
        url = f"http://127.0.0.1:{self.environment['HEADRACE_REST_PORT']}/health"
        try:
            with urllib.request.urlopen(url, timeout=8) as answer:
                return dict(msgspec.json.decode(answer.read()))
        except urllib.error.HTTPError as error:
            return dict(msgspec.json.decode(error.read()))
        except OSError:
            return {}

    def stop(self) -> int:
        """As ``docker stop``; the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_S)
        finally:
            if self.process.poll() is None:
                self.process.kill()

    def left_in_working_directory(self) -> list[str]:
        return sorted(path.name for path in self._directory.iterdir() if path.name not in ("output", "state"))


@dataclass(frozen=True)
class ComposeSite:
    """The cluster as ``running_job`` needs it."""

    addresses: Addresses
    containers: dict[str, Container]

    @property
    def cluster(self) -> ComposeSite:
        return self

    @property
    def bootstrap(self) -> str:
        return self.addresses.bootstrap

    @property
    def namespace(self) -> str:
        return self.addresses.namespace

    @property
    def dispatchers(self) -> list[Container]:
        return [each for each in self.containers.values() if each.role == "dispatcher"]

    def until(self, there: Any, what: str, deadline_s: float) -> None:
        try:
            wait_until(there, deadline_s=patience(deadline_s), every_s=0.3)
        except TimeoutError:
            raise AssertionError(f"not within {deadline_s:g} s: {what}\n{self.story()}") from None

    def story(self) -> str:
        return "\n".join(
            f"--- {name} ({each.process.poll()})\n{tail(each.output)}" for name, each in self.containers.items()
        )


@pytest.fixture(scope="module")
def site(kafka: str, redis: str, namespace: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComposeSite]:
    """Two Dispatchers and two TaskManagers as compose.yaml has them, healthy."""
    directory = tmp_path_factory.mktemp("compose")
    services = compose({"SLOTS": "1", "HEADRACE_NAMESPACE": namespace}).ours
    ports = {name: free_port() for name in services}
    here = {"HEADRACE_BOOTSTRAP": kafka, "HEADRACE_REDIS": redis, "HEADRACE_CONTROL_PARTITIONS": "4"}
    containers: dict[str, Container] = {}
    try:
        for name, service in services.items():
            assert service.environment["HEADRACE_NAMESPACE"] == namespace
            variables = here | {"HEADRACE_REST_PORT": str(ports[name])}
            containers[name] = Container(name, service, directory, variables)
        first = min(name for name in services if name.startswith("dispatcher"))
        running = ComposeSite(Addresses(kafka, redis, f"http://127.0.0.1:{ports[first]}", namespace), containers)
        for name, container in containers.items():
            running.until(container.healthy, f"{name} is healthy", HEALTHY_S)
        running.until(lambda: acting(running) == 4, "all home partitions have their Dispatcher", HEALTHY_S)
        yield running
    finally:
        for container in containers.values():
            container.stop()
        forget_topics(kafka, namespace)


def acting(site: ComposeSite) -> int:
    """Home partitions that living Dispatchers act for."""
    return sum(list(each.health().get("partitions", {}).values()).count("ACTING") for each in site.dispatchers)


def masters(site: ComposeSite) -> dict[str, int]:
    """Dispatcher to how many jobs it commands."""
    return {each.name: each.health().get("jobmasters", 0) for each in site.dispatchers}


def forget_topics(bootstrap: str, namespace: str) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    topics = [name for name in admin.list_topics(timeout=20).topics if name.startswith(f"{namespace}.")]
    for deleted in admin.delete_topics(topics, operation_timeout=20).values() if topics else ():
        deleted.result()


def test_a_job_stays_exact_while_the_dispatcher_that_commands_it_is_killed(site: ComposeSite) -> None:
    with running_job(site, parallelism=2, rate_per_s=RATE_PER_S) as job:  # type: ignore[arg-type]
        job.await_commits(5, "before the kill")
        before = job.commits.attempts()
        victim, survivor = commander(job, site)
        os.kill(victim.process.pid, signal.SIGKILL)
        job.await_commits(5, "while its Dispatcher is dead")
        site.until(lambda: masters(site)[survivor.name] == 1, "the other Dispatcher commands the job", TAKEN_OVER_S)
        site.until(lambda: acting(site) == 4, "it acts for every home partition", TAKEN_OVER_S)
        victim.restart()
        site.until(victim.healthy, "the killed Dispatcher is back and healthy", HEALTHY_S)
        job.await_commits(5, "after it came back")
        assert job.commits.attempts() == before, "no lane was restarted"
        account = job.require_exact()
    assert account.expected > 0


def commander(job: PlatformJob, site: ComposeSite) -> tuple[Container, Container]:
    """The Dispatcher that commands the job, and the other one."""
    job.until(lambda: sum(masters(site).values()) == 1, "one Dispatcher commands the job")
    first, second = site.dispatchers
    return (first, second) if masters(site)[first.name] else (second, first)


def test_processes_end_at_once_when_asked_and_leave_nothing_where_they_were_started(site: ComposeSite) -> None:
    """The last test: nothing runs after it."""
    for container in site.containers.values():
        assert container.stop() == 0, site.story()
        assert container.left_in_working_directory() == []
        assert not container.healthy()
