"""What a worker says when it lacks what the job's functions import, or has it in another version."""

from __future__ import annotations

import pickle
import socket
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from tests.wheels import write_wheel

from headrace.datastream import StreamExecutionEnvironment
from headrace.datastream.execution import executor_installed
from headrace.errors import JobFailedError, UsageError
from headrace.graph.job_graph import JobGraph, Operator, OperatorKind, Vertex
from headrace.in_process.executor import InProcessExecutor
from headrace.runtime import job_code
from headrace.runtime.failures import describe
from headrace.runtime.functions import CodeBundle, FunctionLoadError

GRAPH = JobGraph(
    vertices=(
        Vertex(
            id="v0",
            name="v",
            operators=(
                Operator(uid="s", kind=OperatorKind.COLLECTION_SOURCE, name="Source: numbers"),
                Operator(uid="m", kind=OperatorKind.MAP, name="Map: clean", input=0, functions={"map": "f1"}),
            ),
        ),
    )
)


def failure_of(data: bytes, packages: dict[str, str]) -> Exception:
    bundle = CodeBundle("")
    bundle.add({"f1": data})
    with pytest.raises(FunctionLoadError) as raised:
        bundle.load(["f1"])
    return job_code.load_failure(raised.value, GRAPH, packages)


def pickled_from(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, attribute: str) -> bytes:
    """A reference to something in a package that is there while it is pickled, and gone after."""
    write_wheel(folder, name, "2.0", f"class {attribute}: pass\n")
    with monkeypatch.context() as there:
        there.syspath_prepend(str(folder / f"{name}-2.0-py3-none-any.whl"))
        module = __import__(name)
        data = pickle.dumps(getattr(module, attribute))
    del sys.modules[name]
    return data


def test_a_missing_module_is_named_with_its_operator_and_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = pickled_from(tmp_path, monkeypatch, "far_shapes", "Circle")
    error = failure_of(data, {"far-shapes": "2.0"})
    assert isinstance(error, UsageError) and error.code == "module-missing"
    assert (
        error.message == f"'Map: clean' needs module 'far_shapes', which the worker on {socket.gethostname()} has not"
    )
    assert "--requirements" in error.hint and "add_python_file" in error.hint
    told = describe(error)
    assert told.user and not told.retryable and told.error.startswith("module-missing: ")
    assert told.code == "module-missing"


def test_a_package_of_another_version_is_named_when_loading_fails() -> None:
    here = metadata.version("msgspec")
    error = failure_of(b"cmsgspec\nNoSuchName\n.", {"msgspec": "0.1"})
    assert isinstance(error, UsageError) and error.code == "package-version"
    assert f"msgspec 0.1 where the job was submitted, {here} here" in error.message
    same = failure_of(b"cmsgspec\nNoSuchName\n.", {"msgspec": here})
    assert isinstance(same, FunctionLoadError), "nothing differs: the error as it is"


def test_other_versions_are_a_warning_and_equal_ones_are_nothing() -> None:
    here = metadata.version("msgspec")
    assert job_code.warning({"msgspec": here}) is None
    line = job_code.warning({"msgspec": "0.1", "nosuchthing": "3"})
    assert line is not None and line.startswith("WARNING ")
    assert f"msgspec 0.1 where the job was submitted, {here} here" in line
    assert "nosuchthing 3 where the job was submitted, not installed here" in line


def test_a_module_missed_only_when_the_function_runs_is_told_the_same_and_not_tried_again() -> None:
    def clean(value: Any) -> Any:
        import nosuchthing_at_all  # type: ignore[import-not-found]

        return nosuchthing_at_all.of(value)

    with executor_installed(InProcessExecutor()), pytest.raises(JobFailedError) as raised:
        env = StreamExecutionEnvironment()
        env.from_collection([1]).map(clean).print()
        env.execute("job")
    assert "module-missing: 'Map: clean' needs module 'nosuchthing_at_all'" in raised.value.message
    assert "--requirements" in raised.value.message
    assert raised.value.user_traceback.splitlines()[1].endswith("in clean"), raised.value.user_traceback


def test_paths_come_first_and_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "only_here_once.py").write_text("VALUE = 5\n")
    job_code.add_paths([str(tmp_path / "a"), str(tmp_path / "b")])
    job_code.add_paths([str(tmp_path / "a")])
    assert sys.path[:2] == [str(tmp_path / "a"), str(tmp_path / "b")] and sys.path.count(str(tmp_path / "a")) == 1
    assert __import__("only_here_once").VALUE == 5
