"""Fetching jars from a repository that is a directory: nothing here needs a network."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
from pathlib import Path

import pytest

from headrace.embedded.jars import JarLock, fetch_jars
from headrace.errors import HeadraceError, UnavailableError

JARS = {f"part-{n}": os.urandom(2_000 + n) for n in range(12)}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A Maven repository with every jar of ``lock``."""
    root = tmp_path / "repository"
    for name, content in JARS.items():
        place = root / "org" / "example" / name / "1.0"
        place.mkdir(parents=True)
        (place / f"{name}-1.0.jar").write_bytes(content)
    return root


@pytest.fixture
def lock() -> JarLock:
    return JarLock.parse(
        "# comment\n"
        + "\n".join(f"org.example:{n}:1.0 {hashlib.sha256(c).hexdigest()} {len(c)}" for n, c in JARS.items())
    )


def fetch(lock: JarLock, directory: Path, repository: Path) -> list[Path]:
    return fetch_jars(lock, directory, maven_repo=str(repository))


def test_the_shipped_lock_is_kafka_4_2_2() -> None:
    lock = JarLock.shipped()
    kafka = {jar.artifact: jar.version for jar in lock.jars if jar.group == "org.apache.kafka"}
    assert kafka["kafka_2.13"] == "4.2.2" and set(kafka.values()) == {"4.2.2"}
    assert len(lock.jars) == 46
    assert [jar.file_name for jar in lock.jars] == sorted(jar.file_name for jar in lock.jars)


@pytest.mark.parametrize(
    "line", ["org.example:a:1", "org.example:a 00 1", f"g:a:1 {'0' * 63} 5", f"g:a:1 {'0' * 64} x"]
)
def test_a_line_that_is_not_a_jar_is_named(line: str) -> None:
    with pytest.raises(ValueError, match="line 2"):
        JarLock.parse(f"# first\n{line}\n")


def test_the_key_does_not_depend_on_order_or_comments(lock: JarLock) -> None:
    lines = [f"{jar.coordinate} {jar.sha256} {jar.size_bytes}  # {jar.artifact}" for jar in reversed(lock.jars)]
    assert JarLock.parse("\n".join(lines)) == lock


def test_all_jars_come_in_class_path_order(lock: JarLock, repository: Path, tmp_path: Path) -> None:
    steps: list[tuple[int, int, int, int]] = []
    paths = fetch_jars(
        lock, tmp_path / "jars", maven_repo=repository.as_uri(), progress=lambda *step: steps.append(step)
    )
    assert [path.read_bytes() for path in paths] == [JARS[jar.artifact] for jar in lock.jars]
    assert [step[0] for step in steps] == list(range(1, 13))
    assert steps[-1] == (12, 12, lock.size_bytes, lock.size_bytes)


def test_what_is_there_is_not_fetched_again(lock: JarLock, repository: Path, tmp_path: Path) -> None:
    fetch(lock, tmp_path / "jars", repository)
    assert len(fetch(lock, tmp_path / "jars", tmp_path / "nowhere")) == 12


def test_an_interrupted_fetch_is_continued(lock: JarLock, repository: Path, tmp_path: Path) -> None:
    missing = repository / "org" / "example" / "part-7" / "1.0" / "part-7-1.0.jar"
    content = missing.read_bytes()
    missing.unlink()
    with pytest.raises(UnavailableError, match="part-7"):
        fetch(lock, tmp_path / "jars", repository)
    for name in JARS:  # only what was missing is asked for now
        if name != "part-7":
            (repository / "org" / "example" / name / "1.0" / f"{name}-1.0.jar").unlink()
    missing.write_bytes(content)
    assert len(fetch(lock, tmp_path / "jars", repository)) == 12


@pytest.mark.parametrize("damage", [b"", b"x", b"same size"])
def test_a_damaged_jar_is_fetched_again(lock: JarLock, repository: Path, tmp_path: Path, damage: bytes) -> None:
    path = fetch(lock, tmp_path / "jars", repository)[3]
    good = path.read_bytes()
    path.write_bytes(damage if damage != b"same size" else bytes(len(good)))
    assert fetch(lock, tmp_path / "jars", repository)[3].read_bytes() == good


@pytest.mark.parametrize("change", ["size", "content"])
def test_a_wrong_jar_is_refused_and_leaves_nothing(
    lock: JarLock, repository: Path, tmp_path: Path, change: str
) -> None:
    bad = repository / "org" / "example" / "part-4" / "1.0" / "part-4-1.0.jar"
    bad.write_bytes(bad.read_bytes() + b"x" if change == "size" else bytes(len(JARS["part-4"])))
    with pytest.raises(HeadraceError, match="org.example:part-4:1.0") as caught:
        fetch(lock, tmp_path / "jars", repository)
    assert caught.value.code == "jar-checksum"
    assert not (tmp_path / "jars" / "part-4-1.0.jar").exists()
    assert not list((tmp_path / "jars").glob(".fetch-*"))


def test_an_unreachable_repository_is_named(lock: JarLock, tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="http://127.0.0.1:1/maven") as caught:
        fetch_jars(lock, tmp_path / "jars", maven_repo="http://127.0.0.1:1/maven")
    assert caught.value.code == "maven-unreachable"
    assert "HEADRACE_MAVEN_REPO" in caught.value.hint


def test_two_processes_at_once(lock: JarLock, repository: Path, tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        found = pool.starmap(fetch, [(lock, tmp_path / "jars", repository)] * 2)
    assert found[0] == found[1]
    assert all(path.read_bytes() == JARS[path.name.removesuffix("-1.0.jar")] for path in found[0])
