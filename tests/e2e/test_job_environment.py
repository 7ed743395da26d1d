"""Jobs with requirements and files on a real cluster, and what is said when a worker lacks something.

Another job runs all the while in the other slot; none of this may disturb it.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.platform_command import Said
from tests.e2e.platform_job import PlatformJob, running_job
from tests.e2e.platform_site import Site
from tests.e2e.rest_site import built
from tests.wheels import write_wheel

from headrace.protocol.submission import ClientInfo
from streamctl.client import JobsClient
from streamctl.kafka import Connection

pytestmark = pytest.mark.e2e

NEEDY = str(Path(__file__).parent / "jobs" / "needy.py")


@pytest.fixture(scope="module")
def bystander(platform: Site) -> Iterator[PlatformJob]:
    platform.await_healthy()
    with running_job(platform, parallelism=1, rate_per_s=500, seed=11) as job:
        yield job


@pytest.fixture
def site(platform: Site, bystander: PlatformJob) -> Iterator[Site]:
    """The platform; the job beside it goes on in the same processes."""
    owners = bystander.commits.attempts()
    yield platform
    bystander.await_commits(10, "of the job beside it, after this test")
    assert bystander.commits.attempts() == owners
    assert platform.mistakes() == []


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    write_wheel(tmp_path / "wheels", "shapes", "1.0", "import rounds\nAREA = 41 + rounds.EXTRA\n", needs=["rounds"])
    write_wheel(tmp_path / "wheels", "rounds", "0.2", "EXTRA = 1\n")
    return tmp_path / "wheels"


def requirements(folder: Path, text: str) -> str:
    path = folder / "requirements.txt"
    path.write_text(text)
    return str(path)


def printed(site: Site, said: Said) -> list[str]:
    """What the job printed, once all of it has arrived."""
    lines: list[str] = []

    def there() -> bool:
        lines[:] = site.streamctl("logs", said.last["job_id"]).stdout.splitlines()
        return sum(" 1 " in f" {line} " or " 2 " in f" {line} " for line in lines) >= 2

    site.until(there, "both lines were printed")
    return lines


def environment_of(lines: list[str]) -> Path:
    """The folder of the Python that a job ran on."""
    (python,) = {word.removeprefix("python=") for line in lines for word in line.split() if "python=" in word}
    return Path(python).parents[1]


def test_a_job_with_requirements_runs_in_an_environment_that_the_next_one_finds(
    site: Site, tmp_path: Path, wheels: Path
) -> None:
    needs = requirements(tmp_path, f"shapes==1.0  # {uuid.uuid4().hex}: never installed before\n")
    run = ("submit", NEEDY, "--requirements", needs, "--wheels", str(wheels), "--wait", "--json")
    first = site.streamctl(*run, "--", "package")
    assert first.status == 0, first
    lines = printed(site, first)
    assert all("area=42" in line for line in lines if "python=" in line), lines
    folder = environment_of(lines)
    assert folder.parent.name == "environments" and (folder / "pyvenv.cfg").is_file()
    made = folder.stat().st_ino, (folder / "pyvenv.cfg").stat().st_mtime_ns
    others = sorted(path.name for path in folder.parent.iterdir() if path.is_dir())
    again = site.streamctl("submit", NEEDY, "-pyreq", f"{needs}#{wheels}", "--wait", "--json", "--", "package")
    assert again.status == 0, again
    assert environment_of(printed(site, again)) == folder
    assert (folder.stat().st_ino, (folder / "pyvenv.cfg").stat().st_mtime_ns) == made
    assert sorted(path.name for path in folder.parent.iterdir() if path.is_dir()) == others


def test_requirements_that_cannot_be_met_fail_the_job_with_the_reason(
    site: Site, tmp_path: Path, wheels: Path
) -> None:
    needs = requirements(tmp_path, "shapes\nnosuchthing==3\n")
    said = site.streamctl("submit", NEEDY, "-pyreq", needs, "--wheels", str(wheels), "--json", "--", "package")
    assert said.status == 1, said
    message = said.last["error"]["message"]
    assert "requirements-failed: the job's requirements cannot be installed: No solution found" in message, message
    assert ": Because nosuchthing" in message
    assert "nosuchthing was not found in the provided package locations" in message
    record = site.job(said.last["job_id"])
    assert record is not None and record.status == "FAILED"
    assert {lane.attempt for lane in record.lanes.values()} == {"1.0"}, "not tried again"
    assert record.failure is not None and record.failure.code == "requirements-failed"


def test_while_its_requirements_are_installed_the_job_says_so_and_can_be_cancelled(
    site: Site, tmp_path: Path, silent_index: str
) -> None:
    needs = requirements(tmp_path, f"-i {silent_index}\nshapes\n")
    said = site.streamctl("submit", NEEDY, "--requirements", needs, "--timeout", "5", "--json", "--", "package")
    assert said.status == 4, said
    message = said.last["error"]["message"]
    assert "waiting for 1 of 1 lanes to start: installing its requirements" in message, message
    assert site.streamctl("cancel", said.last["job_id"]).status == 0
    site.until(lambda: site.free_slots() == 1, "its slot is free again")


def test_files_go_along_and_are_files_there(site: Site, tmp_path: Path) -> None:
    (tmp_path / "along").mkdir()
    (tmp_path / "along" / "__init__.py").write_text("GREETING = 'hello'\n")
    (tmp_path / "along" / "table.csv").write_text("a;b")
    said = site.streamctl("submit", NEEDY, "--files", str(tmp_path / "along"), "--wait", "--json", "--", "file")
    assert said.status == 0, said
    assert any("greeting=hello table=a;b" in line for line in printed(site, said))


def test_a_module_that_the_worker_has_not_is_named_at_once(site: Site) -> None:
    said = site.streamctl("submit", NEEDY, "--wait", "--json", "--", "missing")
    assert said.status == 1, said
    message = said.last["error"]["message"]
    assert "module-missing: 'Map: missing' needs module 'nosuchthing_at_all'" in message
    assert "env.set_python_requirements" in message
    record = site.job(said.last["job_id"])
    assert record is not None and {lane.attempt for lane in record.lanes.values()} == {"1.0"}


def test_code_of_another_python_is_refused(site: Site) -> None:
    submit, code = built("needy.py", ["missing"], parallelism=1, bootstrap=site.bootstrap)
    client = JobsClient(lambda: Connection(site.bootstrap, {}), site.namespace)
    _, events = client.submit(submit.model_copy(update={"client": ClientInfo(python="3.99.1")}), code)
    events.close()
    site.until(lambda: (job := site.job(submit.job_id)) is not None and job.status.ended, "the job has ended")
    record = site.job(submit.job_id)
    assert record is not None and record.status == "FAILED"
    assert "python-version: the job was submitted with Python 3.99.1 and TaskManager" in record.reason


def test_other_package_versions_are_said_in_the_jobs_log(site: Site) -> None:
    submit, code = built("needy.py", ["missing"], parallelism=1, bootstrap=site.bootstrap)
    client = JobsClient(lambda: Connection(site.bootstrap, {}), site.namespace)
    told = submit.client.model_copy(update={"packages": {"msgspec": "0.0.1"}})
    _, events = client.submit(submit.model_copy(update={"client": told}), code)
    events.close()
    words = "msgspec 0.0.1 where the job was submitted"
    site.until(lambda: words in site.streamctl("logs", submit.job_id).stdout, "the warning is in the job's log")
