"""Environments are really built by uv, from wheels written here, without a network."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.wheels import write_wheel

from headrace.protocol.dependency_archive import Archive
from headrace.taskmanager import kept_folders, virtual_environment
from headrace.taskmanager.kept_folders import KeptFolders
from headrace.taskmanager.virtual_environment import BuildFailedError, build, interpreter, key_of, platform_pins


def archive(folder: Path, requirements: str) -> Archive:
    write_wheel(folder, "shapes", "1.0", "import rounds\nAREA = 6 + rounds.EXTRA\n", needs=["rounds>=0.1"])
    write_wheel(folder, "rounds", "0.2", "EXTRA = 1\n")
    return Archive(requirements, {path.name: path.read_bytes() for path in folder.glob("*.whl")})


def built(tmp_path: Path, requirements: str) -> tuple[Path, list[str]]:
    told: list[str] = []
    (tmp_path / "scratch").mkdir()
    made = tmp_path / "scratch" / "made"
    asyncio.run(build(made, archive(tmp_path / "wheels", requirements), told.append))
    return made, told


def test_its_python_has_the_requirements_what_they_need_and_the_platform(tmp_path: Path) -> None:
    made, told = built(tmp_path, "shapes==1.0\nheadrace>=99  # it is there already\n")
    moved = tmp_path / "moved"
    os.rename(made, moved)
    code = "import headrace.runtime.worker, shapes; print(shapes.AREA, shapes.__file__, headrace.__file__)"
    done = subprocess.run(
        [interpreter(moved), "-P", "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    area, shapes, headrace = done.stdout.split()
    assert area == "7" and shapes.startswith(str(moved))
    assert headrace == sys.modules["headrace"].__file__
    assert any(line.startswith("Installed 2 packages") for line in told)


@pytest.mark.parametrize(
    ("requirements", "words"),
    [
        ("nosuch==3\n", ["nosuch", "not found in the provided package locations"]),
        ("shapes==2.0\n", ["no version of shapes==2.0"]),
        ("shapes\npydantic==1.10\n", ["pydantic==1.10", "slot workers themselves need pydantic=="]),
    ],
)
def test_what_cannot_be_installed_is_told_in_uvs_words_on_one_line(
    tmp_path: Path, requirements: str, words: list[str]
) -> None:
    with pytest.raises(BuildFailedError) as raised:
        built(tmp_path, requirements)
    text = str(raised.value)
    assert all(word in text for word in words) and "\n" not in text, text
    assert "error:" not in text and "cause:" not in text


def test_a_package_that_breaks_the_worker_is_no_environment(tmp_path: Path) -> None:
    folder = tmp_path / "wheels"
    write_wheel(folder, "msgspec", platform_version("msgspec"), "raise RuntimeError('mine')\n")
    bad = Archive("msgspec", {path.name: path.read_bytes() for path in folder.glob("*.whl")})
    (tmp_path / "scratch").mkdir()
    with pytest.raises(BuildFailedError, match="slot workers do not start with these packages: RuntimeError: mine"):
        asyncio.run(build(tmp_path / "scratch" / "made", bad, lambda line: None))


def platform_version(name: str) -> str:
    return dict(pin.split("==") for pin in platform_pins())[name]


def test_every_package_that_a_worker_imports_is_pinned() -> None:
    """Except what is only used when it happens to be installed."""
    code = (
        "import json, sys, headrace.runtime.worker\n"
        "from importlib import metadata\n"
        "owners = metadata.packages_distributions()\n"
        "tops = {name.partition('.')[0] for name in sys.modules}\n"
        "print(json.dumps(sorted({d.lower().replace('_', '-') for t in tops for d in owners.get(t, ())})))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    optional = {"headrace", "rich", "pygments", "markdown-it-py", "mdurl", "setuptools", "attrs"}
    pinned = {pin.partition("==")[0] for pin in platform_pins()}
    assert set(json.loads(done.stdout)) - optional <= pinned


def test_requirements_wheels_and_python_decide_about_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    first = Archive("a==1\n", {"a-1-py3-none-any.whl": b"1"}, [{"x.py": b""}])
    assert key_of(first) == key_of(Archive(first.requirements, first.wheels, [{"y.py": b"other files"}]))
    others = [Archive("a==2\n", first.wheels), Archive("a==1\n", {"a-1-py3-none-any.whl": b"2"}), Archive("a==1\n")]
    assert len({key_of(each) for each in [first, *others]}) == 4
    before = key_of(first)
    monkeypatch.setattr(sys, "version", "3.13.1 (other)")
    assert key_of(first) != before


def test_an_index_that_is_away_is_asked_again_and_then_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(virtual_environment, "NETWORK_ATTEMPTS", 2)
    monkeypatch.setattr(virtual_environment, "NETWORK_WAIT_S", 0.01)
    monkeypatch.setattr(virtual_environment, "NETWORK_WAIT_S_MAX", 0.01)
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    told: list[str] = []
    with pytest.raises(BuildFailedError, match=r"127\.0\.0\.1"):
        asyncio.run(build(tmp_path / "made", Archive("-i http://127.0.0.1:1/\nshapes\n"), told.append))
    assert [line for line in told if line.startswith("trying again in 0 s after: ")] != []


def test_of_a_line_without_end_the_end_is_kept_and_those_after_it() -> None:
    said = "import sys; sys.stderr.write('x' * 3_000_000 + 'end\\nlast')"
    status, lines = asyncio.run(virtual_environment._run([sys.executable, "-c", said], lambda line: None))
    assert status == 0
    assert (len(lines[0]), lines[0][-4:], lines[1:]) == (virtual_environment.LINE_BYTES_MAX, "xend", ["last"])


# ---- folders that are kept


def test_a_folder_is_made_once_also_by_two_at_a_time(tmp_path: Path) -> None:
    made: list[Path] = []

    async def make(folder: Path) -> None:
        made.append(folder)
        await asyncio.sleep(0)
        os.mkdir(folder)

    async def both() -> list[Path]:
        one, other = KeptFolders(tmp_path, 5), KeptFolders(tmp_path, 5)
        return list(await asyncio.gather(one.folder("a", make), other.folder("a", make)))

    assert asyncio.run(both()) == [tmp_path / "a"] * 2
    assert len(made) == 1


def test_what_failed_leaves_nothing_and_is_made_anew(tmp_path: Path) -> None:
    folders = KeptFolders(tmp_path, 5)

    async def fail(folder: Path) -> None:
        os.mkdir(folder)
        raise ValueError("half made")

    async def make(folder: Path) -> None:
        os.mkdir(folder)

    with pytest.raises(ValueError):
        asyncio.run(folders.folder("a", fail))
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []
    assert asyncio.run(folders.folder("a", make)).is_dir()


def test_those_used_last_are_kept_and_those_in_use(tmp_path: Path) -> None:
    folders = KeptFolders(tmp_path, 2)

    async def make(folder: Path) -> None:
        os.mkdir(folder)

    def have(name: str, idle_s: float) -> None:
        asyncio.run(folders.folder(name, make))
        assert (tmp_path / name).is_dir()
        then = time.time() - idle_s
        os.utime(tmp_path / name, (then, then))

    for name in "abcd":
        have(name, 0)  # too many, and none of them idle
    for age, name in enumerate("abcd"):
        have(name, kept_folders.IDLE_S * (5 - age))
    folders.touch("a")
    have("e", 0)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["a", "e"]
