"""Tutorial and README, played command by command in a fresh copy of the repository, with a cluster of their own.

What the marks in the pages mean: tests/documents.py. ``./dev setup`` finds its environment made: that of this run.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.documents import ROOT, Block, blocks, missing_lines
from tests.e2e.terminal import Terminal

from headrace.embedded import EmbeddedCluster

pytestmark = [pytest.mark.e2e, pytest.mark.chaos]  # long: by hand, ./dev test tests/e2e/test_tutorial.py

BLOCK_S = 180.0
UNTIL_S = 60.0
AGAIN_S = 0.5


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A copy of what git tracks here, with a virtual environment that `./dev setup` takes as it is."""
    folder = tmp_path / "headrace"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout
    for name in filter(None, listed.decode().split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    _environment_in(folder)
    return folder


def _environment_in(folder: Path) -> None:
    """The running environment under the name that ./dev gives it, with its stamp for these lock files."""
    venv = folder / ".venv"
    venv.mkdir()
    for name in ("bin", "lib", "pyvenv.cfg"):
        (venv / name).symlink_to(Path(sys.prefix) / name)
    locks = ("requirements.lock", "requirements-dev.lock", "pyproject.toml")
    content = b"".join((folder / name).read_bytes() for name in locks)
    stamp = subprocess.run(["cksum"], input=content, capture_output=True, check=True).stdout
    (venv / ".stamp").write_bytes(stamp.rstrip(b"\n"))


@pytest.fixture
def terminal(clone: Path, tmp_path: Path) -> Iterator[Terminal]:
    """A shell in the copy that knows no cluster; the one it starts is stopped in any case."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
    caches = {name: value for name, value in os.environ.items() if name == "HEADRACE_CACHE_DIR"}
    state = tmp_path / "state"
    environment = kept | caches | {"HEADRACE_STATE_DIR": str(state), "COLUMNS": "160", "NO_COLOR": "1"}
    environment.pop("VIRTUAL_ENV", None)
    try:
        with Terminal(clone, environment) as shell:
            yield shell
    finally:
        EmbeddedCluster(state / "clusters" / "default").stop()


@pytest.mark.parametrize("name", ["docs/tutorial.md", "docs/submission.md", "README.md"])
def test_a_page_played_command_by_command(name: str, clone: Path, terminal: Terminal) -> None:
    page = [block for block in blocks(ROOT / name) if block.mark is not None and block.mark.kind != "program"]
    assert any(block.mark.kind == "run" for block in page)
    if not any("./dev setup" in block.text for block in page):
        terminal.run(". .venv/bin/activate", timeout_s=BLOCK_S)
    output: str | None = ""
    for block, after in zip(page, [*page[1:], None], strict=True):
        match block.mark.kind:
            case "file":
                (_folder_of(terminal) / block.mark.argument).write_text(block.text)
            case "run":
                output = _typed(terminal, block, after if after is not None and after.mark.kind == "shown" else None)
            case "shown" if output is not None:
                assert not missing_lines(block, output), f"{block.id}: {missing_lines(block, output)} in:\n{output}"


def _folder_of(terminal: Terminal) -> Path:
    status, folder = terminal.run("pwd", timeout_s=BLOCK_S)
    assert status == 0
    return Path(folder.strip())


def _typed(terminal: Terminal, block: Block, shown: Block | None) -> str | None:
    """Run the block as its mark says; what it printed, None when it is not for this machine."""
    wanted = dict(each.split(" ") for each in block.mark.argument.split(", ") if each)
    if "if" in wanted and shutil.which(wanted["if"]) is None:
        return None
    if "until" in wanted:
        return _typed_until(terminal, block, shown)
    commands = block.text if "exit" in wanted else f"set -e\n{block.text}set +e\n"
    status, output = terminal.run(commands, timeout_s=BLOCK_S)
    assert status == int(wanted.get("exit", 0)), f"{block.id}: exit status {status}:\n{output}"
    return output


def _typed_until(terminal: Terminal, block: Block, shown: Block | None) -> str:
    assert shown is not None, f"{block.id}: nothing is shown"
    deadline_s = time.monotonic() + UNTIL_S
    while True:
        status, output = terminal.run(block.text, timeout_s=BLOCK_S)
        missing = missing_lines(shown, output)
        if status == 0 and not missing:
            return output
        assert time.monotonic() < deadline_s, f"{block.id}: {missing} in:\n{output}"
        time.sleep(AGAIN_S)
