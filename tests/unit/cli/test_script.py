"""Running a user's script: how it sees the world, and how its errors look."""

import sys
from pathlib import Path

import pytest

from headrace.errors import UsageError
from streamctl.output import ScriptFailedError
from streamctl.script import Ended, run_script


def script(folder: Path, text: str, name: str = "job.py") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_script_when_run_then_is_main_with_its_arguments_and_its_folder(tmp_path: Path) -> None:
    script(tmp_path, "VALUE = 7", "beside.py")
    path = script(
        tmp_path,
        "import json, sys, beside\njson.dump([__name__, sys.argv, beside.VALUE], open(sys.argv[1], 'w'))\n",
    )
    argv, search = list(sys.argv), list(sys.path)
    assert run_script(path, [str(tmp_path / "out"), "-x"]) is Ended.LAST_LINE
    assert (tmp_path / "out").read_text() == f'["__main__", ["{path}", "{tmp_path / "out"}", "-x"], 7]'
    assert (sys.argv, sys.path) == (argv, search)


def test_script_when_it_raises_then_the_traceback_starts_at_its_first_line(tmp_path: Path) -> None:
    path = script(tmp_path, "def deep():\n    return {}['missing']\n\ndeep()\n")
    with pytest.raises(ScriptFailedError, match=r"job\.py raised KeyError") as raised:
        run_script(path, [])
    lines = raised.value.user_traceback.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[1] == f'  File "{path}", line 4, in <module>'
    assert lines[-1] == "KeyError: 'missing'"
    assert "runpy" not in raised.value.user_traceback
    assert raised.value.exit_code == 2


def test_script_when_it_does_not_parse_then_names_the_line(tmp_path: Path) -> None:
    with pytest.raises(ScriptFailedError, match=r"job\.py line 2: ") as raised:
        run_script(script(tmp_path, "x = 1\ny = = 2\n"), [])
    assert raised.value.code == "script-syntax"
    assert "y = = 2" in raised.value.user_traceback


@pytest.mark.parametrize("status", ["", "0"])
def test_script_when_it_exits_with_success_then_returns(tmp_path: Path, status: str) -> None:
    assert run_script(script(tmp_path, f"import sys\nsys.exit({status})\n"), []) is Ended.EXIT


def test_script_when_it_exits_with_a_text_then_the_text_is_shown(tmp_path: Path) -> None:
    with pytest.raises(ScriptFailedError, match="status 1") as raised:
        run_script(script(tmp_path, "import sys\nsys.exit('no input given')\n"), [])
    assert raised.value.user_traceback == "no input given\n"


def test_script_when_an_error_of_ours_comes_out_then_passes_through(tmp_path: Path) -> None:
    path = script(tmp_path, "from headrace.errors import UsageError\nraise UsageError('topic-missing', 'no topic')\n")
    with pytest.raises(UsageError, match="no topic") as raised:
        run_script(path, [])
    assert raised.value.code == "topic-missing"


def test_script_when_missing_then_says_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file") as raised:
        run_script(tmp_path / "nowhere.py", [])
    assert raised.value.code == "script-missing"


def test_a_module_of_the_script_with_a_syntax_error_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "broken_beside_it.py").write_text("x = 1\ndef f(:\n")
    (tmp_path / "job.py").write_text("import broken_beside_it\n")
    with pytest.raises(ScriptFailedError) as raised:
        run_script(tmp_path / "job.py", [])
    assert raised.value.code == "script-syntax"
    assert raised.value.message.startswith("broken_beside_it.py line 2: ")
    assert "import broken_beside_it" in raised.value.user_traceback
