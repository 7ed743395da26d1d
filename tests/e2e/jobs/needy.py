"""A job whose functions need a package of its requirements, and files that go along."""

from __future__ import annotations

import argparse
from typing import Any

from headrace.datastream import MapFunction, RuntimeContext, StreamExecutionEnvironment


class Where(MapFunction):
    """Says which Python it runs on, and what it found there."""

    def open(self, runtime_context: RuntimeContext) -> None:
        import sys

        import shapes  # type: ignore[import-not-found]

        self.found = f"python={sys.executable} area={shapes.AREA}"

    def map(self, value: Any) -> str:
        return f"{value} {self.found}"


def with_file(value: Any) -> str:
    from pathlib import Path

    import along  # type: ignore[import-not-found]

    return (
        f"{value} greeting={along.GREETING} table={Path(along.__file__).with_name('table.csv').read_text().strip()}"
    )


def missing(value: Any) -> Any:
    import nosuchthing_at_all  # type: ignore[import-not-found]

    return nosuchthing_at_all.of(value)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["package", "file", "missing"])
    env = StreamExecutionEnvironment.get_execution_environment()
    function = {"package": Where(), "file": with_file, "missing": missing}[parser.parse_args().what]
    env.from_collection([1, 2]).map(function).print()
    env.execute("needy")
