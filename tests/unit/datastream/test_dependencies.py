"""What goes along with a job: where it is read from, what travels, what is refused."""

from __future__ import annotations

import contextlib
import io
import sys
import tracemalloc
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.wheels import write_wheel

from headrace.common import Configuration
from headrace.datastream import StreamExecutionEnvironment
from headrace.datastream.code_bundle import code_bundle
from headrace.datastream.dependencies import Dependencies
from headrace.datastream.execution import executor_installed
from headrace.datastream.requirements import asked, unmet
from headrace.errors import UsageError
from headrace.in_process.executor import InProcessExecutor
from headrace.protocol.dependency_archive import Archive, ArchiveError, unpack
from headrace.protocol.submission import Submit, UploadedCode


@pytest.fixture(autouse=True)
def path_and_modules() -> Iterator[None]:
    before, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = before
    for name in set(sys.modules) - modules:
        del sys.modules[name]


@dataclass
class Caught:
    """An executor that keeps what it was given."""

    submit_: list[tuple[Submit, bytes]] = field(default_factory=list)

    def submit(self, submit: Submit, code: bytes, *, wait: bool, dependencies: bytes = b"") -> Any:
        self.submit_.append((submit, dependencies))
        return self

    def get_job_id(self) -> str:
        return self.submit_[-1][0].job_id


def project(folder: Path) -> Path:
    """A module, a package with data, a folder that is none, and a zip file."""
    (folder / "lone.py").write_text("ONE = 1\n")
    (folder / "pack" / "__pycache__").mkdir(parents=True)
    (folder / "pack" / "__init__.py").write_text("")
    (folder / "pack" / "table.csv").write_text("a,b\n")
    (folder / "pack" / "__pycache__" / "x.pyc").write_bytes(b"x")
    (folder / "plain" / "sub").mkdir(parents=True)
    (folder / "plain" / "inner.py").write_text("TWO = 2\n")
    with zipfile.ZipFile(folder / "zipped.zip", "w") as archive:
        archive.writestr("inzip.py", "THREE = 3\n")
    return folder


def of(**options: str) -> Dependencies:
    names = {"files": "python.files", "requirements": "python.requirements"}
    return Dependencies.of(Configuration({names[key]: value for key, value in options.items()}))


def test_each_kind_of_file_travels_as_the_folder_it_is_imported_from(tmp_path: Path) -> None:
    root = project(tmp_path)
    named = ",".join(str(root / name) for name in ("lone.py", "pack", "plain", "zipped.zip"))
    contents = unpack(of(files=named).archive()).files
    assert [sorted(folder) for folder in contents] == [
        ["lone.py"],
        ["pack/__init__.py", "pack/table.csv"],
        ["inner.py"],
        ["inzip.py"],
    ]


def test_files_are_importable_here_at_once_and_in_the_order_given(tmp_path: Path) -> None:
    root = project(tmp_path)
    env = StreamExecutionEnvironment()
    for name in ("lone.py", "plain", "zipped.zip"):
        env.add_python_file(str(root / name))
    import inner  # type: ignore[import-not-found]
    import inzip  # type: ignore[import-not-found]
    import lone  # type: ignore[import-not-found]

    assert (lone.ONE, inner.TWO, inzip.THREE) == (1, 2, 3)


def test_modules_that_travel_as_files_are_pickled_by_reference(tmp_path: Path) -> None:
    (tmp_path / "travels.py").write_text("def twice(x):\n    return 2 * x\n")
    dependencies = of(files=str(tmp_path / "travels.py"))
    dependencies.make_importable()
    import travels  # type: ignore[import-not-found]

    env = StreamExecutionEnvironment()
    env.from_collection([1]).map(travels.twice).print()
    functions = env.program().functions
    assert b"return 2" not in code_bundle(functions, map(str, dependencies.files)).data
    shipped = code_bundle(functions).data
    assert len(shipped) > len(code_bundle(functions, [str(tmp_path)]).data)


def test_requirements_and_wheels_travel_and_the_options_that_name_them_do_not(tmp_path: Path) -> None:
    write_wheel(tmp_path / "wheels", "shapes", "1.0", "")
    (tmp_path / "requirements.txt").write_text("shapes==1.0\n")
    caught = Caught()
    with executor_installed(caught):
        env = StreamExecutionEnvironment.get_execution_environment()
        env.set_python_requirements(str(tmp_path / "requirements.txt"), str(tmp_path / "wheels"))
        env.from_collection([1]).print()
        env.execute_async("job")
    ((submit, archive),) = caught.submit_
    assert submit.config == {}
    assert unpack(archive).requirements == "shapes==1.0\n"
    assert list(unpack(archive).wheels) == ["shapes-1.0-py3-none-any.whl"]


def test_without_any_nothing_travels(tmp_path: Path) -> None:
    assert of().archive() == b""
    (tmp_path / "requirements.txt").write_text("  \n")
    assert of(requirements=str(tmp_path / "requirements.txt")).archive() == b""


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        ({"files": "nowhere.py"}, "dependency-missing", "no such file: nowhere.py"),
        ({"files": "{tmp}/data.csv"}, "dependency-invalid", "data.csv cannot be put on sys.path"),
        ({"requirements": "nowhere.txt"}, "dependency-missing", "no such file: nowhere.txt"),
        ({"requirements": "#{tmp}"}, "dependency-invalid", "without requirements"),
        ({"requirements": "{tmp}/good.txt#{tmp}/empty"}, "dependency-invalid", "has no wheels"),
        ({"requirements": "{tmp}/good.txt#{tmp}/data.csv"}, "dependency-invalid", "is no folder of wheels"),
    ],
)
def test_what_is_not_there_or_cannot_go_is_named(
    tmp_path: Path, options: dict[str, str], code: str, words: str
) -> None:
    (tmp_path / "data.csv").write_text("")
    (tmp_path / "good.txt").write_text("a\n")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError) as raised:
        of(**{key: value.format(tmp=tmp_path) for key, value in options.items()})
    assert raised.value.code == code and words in raised.value.message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("good\n-r other.txt\n", "line 2 names a file of this machine"),
        ("-e .\n", "line 1 names a file of this machine"),
        ("./local.whl\n", "line 1 names a file of this machine"),
        ("--find-links ./wheels\n", "line 1 names a file of this machine"),
        ("a==1\n\n# words\nb ==== 2\n", "line 4 is no requirement: b ==== 2"),
        ("a \\\n  >= 1,\\\n  <<2\n", "line 1 is no requirement"),
    ],
)
def test_a_bad_line_of_requirements_is_named(text: str, words: str) -> None:
    with pytest.raises(UsageError) as raised:
        asked(text, "requirements.txt")
    assert raised.value.code == "requirements-invalid" and words in raised.value.message
    assert raised.value.message.startswith("requirements.txt line ")


def test_lines_as_pip_writes_them_are_read() -> None:
    text = (
        "# pinned\n-i https://index.example/simple\nnumpy>=2 ; python_version >= '3.8'  # why\n"
        "pandas==2.2 \\\n    --hash=sha256:00 \\\n    --hash=sha256:11\nfoo[bar] @ https://example.org/foo.whl\n"
    )
    found = asked(text, "requirements.txt")
    assert [(each.line, each.requirement.name) for each in found] == [(3, "numpy"), (4, "pandas"), (7, "foo")]


def test_what_this_interpreter_does_not_meet() -> None:
    lines = "nosuchthing>=1\nheadrace>=99\npytest>=1\npytest<1\nabsent ; python_version < '3'\n"
    lacking = unmet(asked(lines, "requirements.txt"))
    assert lacking[0] == "nosuchthing>=1 is not installed"
    assert lacking[1].startswith("pytest<1 is installed as ") and len(lacking) == 2


def test_in_process_says_what_is_not_installed_and_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "requirements.txt").write_text("nosuchthing>=1\n")
    with executor_installed(InProcessExecutor()):
        env = StreamExecutionEnvironment.get_execution_environment()
        env.set_python_requirements(str(tmp_path / "requirements.txt"))
        env.from_collection([1]).print()
        env.execute("job")
    said = capsys.readouterr()
    assert "warning: nosuchthing>=1 is not installed" in said.err
    assert said.out == "1\n"


def test_the_same_contents_give_the_same_archive() -> None:
    one = Archive("a\n", {"a.whl": b"1", "b.whl": b"2"}, [{"x.py": b"", "y.py": b"1"}])
    other = Archive("a\n", {"b.whl": b"2", "a.whl": b"1"}, [{"y.py": b"1", "x.py": b""}])
    assert one.pack() == other.pack() and unpack(one.pack()) == one


def test_the_archive_counts_for_the_identity_of_a_submission_and_its_place_does_not() -> None:
    caught = Caught()
    with executor_installed(caught):
        env = StreamExecutionEnvironment()
        env.from_collection([1]).print()
        env.execute_async("job")
    bare = caught.submit_[0][0]

    def at(offset: int, letter: str) -> str:
        where = UploadedCode(sha256=letter * 64, offset=offset, chunks=1)
        return bare.model_copy(update={"dependencies": where}).content_sha256()

    assert at(1, "a") == at(2, "a")
    assert len({at(1, "a"), at(1, "b"), bare.content_sha256()}) == 3


@pytest.mark.parametrize(
    "name",
    [
        "../out.py",
        "files/0/../../x",
        "wheels/a/b.whl",
        "other",
        "files/x/y.py",
        "files/00/y.py",
        "/etc/x",
        f"files/0/{'n' * 256}",
        f"files/0/{'n/' * 1_000}x",
        f"files/{'9' * 5_000}/x",
    ],
)
def test_an_archive_that_leads_elsewhere_is_refused(name: str) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(name, "x")
    with pytest.raises(ArchiveError):
        unpack(packed.getvalue())
    with pytest.raises(ArchiveError, match="no zip file"):
        unpack(b"PK nothing")


def test_an_entry_that_lies_in_a_file_is_refused() -> None:
    with pytest.raises(ArchiveError, match="lies in another entry"):
        unpack(Archive(files=[{"a": b"x", "a/b": b"y"}]).pack())


@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=4))
@example([(50, 255), (51, 255), (52, 255)])
@settings(max_examples=300, deadline=None)
def test_bytes_that_were_changed_on_the_way_are_an_archive_or_refused(changes: list[tuple[int, int]]) -> None:
    packed = bytearray(Archive("pandas", {}, [{"a.py": b"x = 1\n" * 1_000, "b.py": b"y"}]).pack())
    for at, byte in changes:
        packed[at % len(packed)] = byte
    with contextlib.suppress(ArchiveError):
        unpack(bytes(packed))


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compressions_are_refused_unread(method: int) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as archive:
        archive.writestr("files/0/a.py", "x" * 1_000)
    with pytest.raises(ArchiveError, match="otherwise than with deflate"):
        unpack(packed.getvalue())


def test_an_entry_that_says_it_is_small_does_not_unpack_to_more() -> None:
    size = 64 << 20
    packed = Archive(files=[{"a.py": bytes(size)}]).pack()
    lying = packed.replace(size.to_bytes(4, "little"), (10).to_bytes(4, "little"))
    tracemalloc.start()
    with pytest.raises(ArchiveError):
        unpack(lying)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 << 20
