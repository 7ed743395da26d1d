"""From a program to the message that submits it."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass

from headrace import __version__
from headrace.common.configuration import Configuration
from headrace.datastream.code_bundle import code_bundle
from headrace.datastream.dependencies import Dependencies
from headrace.datastream.options import delivery, restart_strategy
from headrace.datastream.program import Program
from headrace.graph.chaining import job_graph
from headrace.ids import new_job_id, new_request_id
from headrace.protocol.submission import ClientInfo, Submit


@dataclass(frozen=True)
class Submission:
    """The message without its code, and what is attached or uploaded by who sends it: the code bundle, and the
    archive of files and requirements (headrace.protocol.dependency_archive); each empty when there is none.
    """

    submit: Submit
    code: bytes
    dependencies: bytes = b""


def build_submission(
    program: Program,
    name: str,
    config: Mapping[str, str] | None = None,
    *,
    job_id: str | None = None,
    dependencies: Dependencies | None = None,
) -> Submission:
    """The submission of a program, under a fresh job id unless one is given.

    The same program and job id give the same content as far as pickling allows. Raises UsageError for a function
    that cannot be pickled, uids that repeat, an option with a value it cannot have, or files and requirements that
    cannot travel.
    """
    options = dict(config or {})
    graph = job_graph(program.graph)
    beside = dependencies or Dependencies()
    bundle = code_bundle(program.functions, map(str, beside.files))
    submit = Submit(
        type="submit",
        request_id=new_request_id(),
        job_id=job_id or new_job_id(),
        name=name,
        graph=graph,
        delivery=delivery(Configuration(options)),
        restart=restart_strategy(Configuration(options)),
        config=options,
        client=ClientInfo(python=platform.python_version(), headrace=__version__, packages=bundle.packages),
    )
    return Submission(submit, bundle.data if program.functions else b"", beside.archive())
