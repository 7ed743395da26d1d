"""The code bundle: what of the user's code travels, how it arrives, and what cannot travel.

Projects are written to a folder and run by one interpreter; another interpreter, which cannot import anything of
that folder, loads the bundle as a slot worker does.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from headrace.datastream import MapFunction, StreamExecutionEnvironment
from headrace.datastream.code_bundle import code_bundle
from headrace.errors import UsageError

#: Runs a job's ``main(env)`` and writes the bundle beside it.
CLIENT = """
if __name__ == "__main__":
    import pathlib, sys
    from headrace.datastream import StreamExecutionEnvironment
    from headrace.datastream.code_bundle import code_bundle
    env = StreamExecutionEnvironment()
    main(env)
    bundle = code_bundle(env.program().functions)
    pathlib.Path(sys.argv[1]).write_bytes(bundle.data)
    print(bundle.sha256, *bundle.packages)
"""
#: Loads a bundle; ``of(role)`` is the first function loaded whose type or name is ``role``.
WORKER = """
import pickle, sys
import msgspec
pickles = msgspec.msgpack.decode(open(sys.argv[1], "rb").read(), type=dict[str, bytes])
if "modules" in pickles:
    pickle.loads(pickles.pop("modules"))
functions = [pickle.loads(data) for data in pickles.values()]
def of(name):
    return next(f for f in functions if name in (getattr(f, "__name__", ""), type(f).__name__))
def again(value):
    return pickle.loads(pickle.dumps(value))
"""


class Project:
    """A folder of modules, a client run in it and a worker run outside of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "project"
        self.outside = folder / "outside"
        self.folder.mkdir()
        self.outside.mkdir()
        self.bundle = folder / "bundle"

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(dedent(text))

    def job(self, text: str) -> None:
        self.write("job.py", dedent(text) + CLIENT)

    def submit(self, **environment: str) -> str:
        return self._run(self.folder / "job.py", self.folder, environment).stdout

    def work(self, text: str) -> str:
        script = self.outside / "worker.py"
        script.write_text(WORKER + dedent(text))
        return self._run(script, self.outside, {}).stdout

    def _run(self, script: Path, folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, str(script), str(self.bundle)],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_records_of_the_users_classes_are_pickled_plainly_in_the_worker(project: Project) -> None:
    """Classes of the script and of its modules, in a package too, are found by plain pickle; isinstance holds."""
    project.write("model/__init__.py", "")
    project.write(
        "model/flights.py",
        """
        from dataclasses import dataclass
        from enum import Enum

        class Kind(Enum):
            LATE = "late"

        @dataclass
        class Flight:
            carrier: str
            kind: Kind

        def parse(text):
            return Flight(text, Kind.LATE)
        """,
    )
    project.job(
        """
        from dataclasses import dataclass
        from model.flights import Flight, Kind, parse

        @dataclass
        class Name:
            text: str

        def check(flight):
            return isinstance(flight, Flight) and flight.kind is Kind.LATE

        def name(text):
            return Name(text)

        def main(env):
            env.from_collection(["UA"]).map(parse).map(check)
            env.from_collection(["UA"]).map(name)
        """
    )
    project.submit()
    done = project.work(
        """
        flight = of("parse")("UA")
        assert of("check")(flight) and of("check")(again(flight)), flight
        assert again(flight) == flight and b"model.flights" in pickle.dumps(flight)
        assert again(of("name")("x")) == of("name")("x")
        assert type(again(of("name")("x"))).__module__ == "__main__"
        print("good")
        """
    )
    assert done == "good\n"


def test_a_worker_keeps_its_own_main_names(project: Project) -> None:
    project.job(
        """
        class of:
            pass

        def make(_):
            return of()

        def main(env):
            env.from_collection([1]).map(make)
        """
    )
    project.submit()
    assert project.work("made = of('make')(1); print(type(again(made)) is type(made))") == "True\n"


def test_modules_imported_inside_functions_travel_too(project: Project) -> None:
    project.write("tables.py", "import threading\nLOCK = threading.Lock()\nLIMIT = 5\ndef double(x): return 2 * x\n")
    project.job(
        """
        import tables

        def inside(x):
            from tables import LIMIT, double
            return double(x) + LIMIT

        def outside(x):
            return tables.double(x)

        def broken(x):
            return tables.LOCK

        tables.LIMIT = 7

        def main(env):
            env.from_collection([1]).map(inside).map(outside).map(broken)
        """
    )
    project.submit()
    done = project.work(
        """
        print(of("inside")(1), of("outside")(1))
        try:
            of("broken")(1)
        except AttributeError as error:
            print(error)
        """
    )
    assert done == "9 2\ntables.LOCK was not shipped with the job: cannot pickle '_thread.lock' object\n"


def test_large_module_values_are_left_out_unless_a_function_holds_them(project: Project) -> None:
    project.write("big.py", "DATA = bytes(17_000_000)\nSMALL = 1\ndef size(_): return len(DATA)\n")
    project.job(
        """
        import big

        def named(_):
            return big.SMALL, big.DATA

        def main(env):
            env.from_collection([1]).map(big.size).map(named)
        """
    )
    project.submit()
    done = project.work(
        """
        print(of("size")(1))
        try:
            of("named")(1)
        except AttributeError as error:
            print(error)
        """
    )
    assert done == "17000000\nbig.DATA was not shipped with the job: it takes 17,000,009 bytes, over 16,777,216\n"


def test_relative_and_partial_imports_inside_functions_are_followed(project: Project) -> None:
    project.write("shop/__init__.py", "")
    project.write("shop/prices.py", "def price(x): return 10 * x\n")
    project.write("shop/taxes.py", "def tax(x):\n    from .prices import price\n    return price(x) // 5\n")
    project.job(
        """
        import shop.prices
        from shop.taxes import tax

        def total(x):
            from shop import prices
            return prices.price(x) + tax(x)

        def main(env):
            env.from_collection([1]).map(total)
        """
    )
    project.submit()
    assert project.work("print(of('total')(1))") == "12\n"


def test_modules_that_no_function_mentions_stay_at_home(project: Project) -> None:
    project.write("secrets_of_the_client.py", "PASSWORD = 'hunter2'\ndef unused(): pass\n")
    project.job(
        """
        import secrets_of_the_client

        def main(env):
            env.from_collection([1]).map(str)
        """
    )
    project.submit()
    assert b"hunter2" not in project.bundle.read_bytes()


def test_two_runs_give_the_same_bytes(project: Project) -> None:
    project.write("model.py", "class Base:\n    limit = 1\n")
    project.job(
        """
        from collections import namedtuple
        from dataclasses import dataclass
        from headrace.datastream import MapFunction
        from model import Base

        Pair = namedtuple("Pair", "a b")

        @dataclass
        class Own(Base):
            x: int

        class Make(MapFunction):
            def map(self, value):
                return Own(value), Pair(1, 2)

        def main(env):
            env.from_collection([Own(1)]).map(Make()).filter(lambda pair: pair[0].x > Base.limit)
        """
    )
    runs = {project.submit(PYTHONHASHSEED=str(seed)) for seed in range(3)}
    assert len(runs) == 1


def test_changed_classes_give_other_ids(project: Project) -> None:
    """A process that gets two versions of a class must not take one for the other."""
    bundles = []
    for limit in (1, 2):
        project.job(
            f"""
            class Limit:
                value = {limit}

            def limit(_):
                return Limit.value

            def main(env):
                env.from_collection([1]).map(limit)
            """
        )
        project.submit()
        bundles.append(project.bundle.rename(project.outside / f"bundle{limit}"))
    script = project.outside / "both.py"
    script.write_text(
        "import pickle, sys, msgspec\n"
        "for path in sys.argv[1:]:\n"
        "    pickles = msgspec.msgpack.decode(open(path, 'rb').read(), type=dict[str, bytes])\n"
        "    print(pickle.loads(pickles['f2'])(0))\n"
    )
    done = subprocess.run(
        [sys.executable, str(script), *map(str, bundles)], capture_output=True, text=True, check=True
    )
    assert done.stdout == "1\n2\n"


def test_installed_distributions_are_named_with_their_versions(project: Project) -> None:
    project.job(
        """
        import msgspec

        def encode(value):
            return msgspec.json.encode(value)

        def main(env):
            env.from_collection([1]).map(encode)
        """
    )
    assert project.submit().split()[1:] == ["msgspec"]


# ---- what cannot travel

LOCK = threading.Lock()


class Client:
    def __init__(self) -> None:
        self.lock = threading.Lock()


class Holder(MapFunction):
    def __init__(self) -> None:
        self.client = Client()

    def map(self, value: Any) -> Any:
        return self.client

    def method(self, value: Any) -> Any:
        return value


def uses_global(value: Any) -> Any:
    return LOCK, value


def with_default(value: Any, lock: Any = LOCK) -> Any:
    return value, lock


def closure() -> Any:
    lock = threading.Lock()
    return lambda value: (lock, value)


def deep_closure() -> Any:
    clients = {"main": [1, Client()]}
    return lambda value: (clients, value)


def environment() -> Any:
    env = StreamExecutionEnvironment()
    return lambda value: (env, value)


def iterator() -> Any:
    lines = (line for line in "ab")
    return lambda value: (next(lines), value)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (uses_global, "map 'uses_global' at {site}: cannot pickle '_thread.lock' object held by global 'LOCK'"),
        (
            with_default,
            "map 'with_default' at {site}: cannot pickle '_thread.lock' object held by default argument 1",
        ),
        (closure(), "map at {site}: cannot pickle '_thread.lock' object held by closure variable 'lock'"),
        (
            deep_closure(),
            "map at {site}: cannot pickle '_thread.lock' object held by attribute 'lock' of item 1 of item 'main' of "
            "closure variable 'clients'",
        ),
        (
            Holder(),
            "map 'Holder' at {site}: cannot pickle '_thread.lock' object held by attribute 'lock' of attribute "
            "'client'",
        ),
        (
            Holder().method,
            "map 'method' at {site}: cannot pickle '_thread.lock' object held by attribute 'lock' of attribute "
            "'client' of its object",
        ),
        (
            environment(),
            "map at {site}: cannot pickle 'StreamExecutionEnvironment' object held by closure variable 'env'",
        ),
        (iterator(), "map at {site}: cannot pickle 'generator' object held by closure variable 'lines'"),
    ],
    ids=["global", "default", "closure", "nested", "attribute", "method", "environment", "generator"],
)
def test_what_cannot_be_pickled_is_named_with_the_users_line(function: Any, message: str) -> None:
    env = StreamExecutionEnvironment()
    env.from_collection([1]).map(function)
    program = env.program()
    with pytest.raises(UsageError) as caught:
        code_bundle(program.functions)
    assert caught.value.code == "function-not-picklable"
    site = program.graph.nodes[1].site
    assert site.split(":")[0].endswith(Path(__file__).name)
    assert caught.value.message == message.format(site=site)


def test_items_and_key_selectors_are_named_by_their_method() -> None:
    env = StreamExecutionEnvironment()
    env.from_collection([1, threading.Lock()])
    with pytest.raises(UsageError, match=r"^from_collection at .*: cannot pickle .* held by item 1$"):
        code_bundle(env.program().functions)
    env = StreamExecutionEnvironment()
    env.from_collection([1]).key_by(uses_global).reduce(max)
    with pytest.raises(UsageError, match=r"^key_by 'uses_global' at .* held by global 'LOCK'$"):
        code_bundle(env.program().functions)
