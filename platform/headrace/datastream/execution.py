"""Who runs a program when it calls ``execute``.

    streamctl submit job.py    installs an executor around the script
    python job.py              with HEADRACE_BOOTSTRAP set: the executor "cluster", else the executor "local",
                               each found by the entry point of that name in the group "headrace.executors"

An entry point is a callable without arguments that gives an executor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from headrace.common.job_client import JobClient
from headrace.datastream.connectors.kafka_topics import addresses
from headrace.errors import UsageError
from headrace.graph.job_graph import Operator

if TYPE_CHECKING:
    from headrace.datastream.collecting import ResultSource
    from headrace.protocol.submission import Submit

ENTRY_POINTS = "headrace.executors"


class Executor(Protocol):
    """Takes a job and runs it somewhere."""

    def submit(self, submit: Submit, code: bytes, *, wait: bool, dependencies: bytes = b"") -> JobClient:
        """Start the job and return when it runs.

        ``submit`` comes without its code; ``code`` is the bundle, to be attached or uploaded, and empty
        when there are no functions; ``dependencies`` is the archive of files and requirements that go along
        (headrace.protocol.dependency_archive), empty when there are none. With ``wait`` the program wants the
        job's end: an executor that waits returns then, with a result that is done; one that
        does not wait returns at once. Raises UsageError when the job is refused, UnavailableError when no
        cluster answers, JobFailedError when it waited and the job failed.
        """


@dataclass(frozen=True)
class Installed:
    """An executor, and what it wants of programs that do not say it themselves."""

    executor: Executor
    parallelism: int | None = None
    options: Mapping[str, str] = field(default_factory=dict)


class CollectingClient(JobClient, Protocol):
    """The client of a job with a collect sink."""

    def results(self) -> ResultSource:
        """What the sink writes. Once for each job."""


def collected(client: JobClient) -> ResultSource:
    """The results of a job just submitted. Raises UsageError (collect-unsupported)."""
    results: Callable[[], ResultSource] | None = getattr(client, "results", None)
    if results is None:
        raise UsageError(
            "collect-unsupported",
            f"this executor does not bring results back ({type(client).__name__})",
            hint="run the script with `python job.py` or `streamctl submit`, or write to a sink",
        )
    return results()


_installed: list[Installed] = []


@contextmanager
def executor_installed(
    executor: Executor, *, parallelism: int | None = None, options: Mapping[str, str] | None = None
) -> Iterator[None]:
    """Programs that call ``execute`` inside of this context run on ``executor``.

    ``parallelism`` and ``options`` are where a new environment starts from; the program's own settings win.
    """
    _installed.append(Installed(executor, parallelism, dict(options or {})))
    try:
        yield
    finally:
        _installed.pop()


def check_kafka(operators: Iterable[Operator], executor: Executor) -> None:
    """Refuse a program that names another Kafka cluster than the one ``executor`` runs it on.

    An executor that knows one Kafka only says where by an attribute ``bootstrap``; one without goes where the
    program says. Raises UsageError (kafka-other-cluster).
    """
    if not hasattr(executor, "bootstrap"):
        return
    ours = str(executor.bootstrap or "")
    for operator in operators:
        properties = operator.params.get("properties")
        named = properties.get("bootstrap.servers") if isinstance(properties, dict) else None
        if isinstance(named, str) and not addresses(named) & addresses(ours):
            raise UsageError(
                "kafka-other-cluster",
                f"{operator.name!r} names Kafka at {named}, and the job runs on Kafka at {ours or 'another place'}",
                hint="leave set_bootstrap_servers() out; `streamctl submit --bootstrap` chooses the cluster",
            )


def installed() -> Installed | None:
    """The innermost installed executor."""
    return _installed[-1] if _installed else None


def active_executor() -> Executor:
    """The executor for this process. Raises UsageError (no-executor) when there is none."""
    if _installed:
        return _installed[-1].executor
    from importlib.metadata import entry_points  # here: slot workers import this module and never get here

    from headrace.settings import load_settings

    name = "cluster" if load_settings().bootstrap else "local"
    for entry_point in entry_points(group=ENTRY_POINTS, name=name):
        executor: Executor = entry_point.load()()
        return executor
    raise UsageError(
        "no-executor",
        "execute() found nothing to run this job on",
        hint="run the script with `streamctl submit job.py`; `streamctl up` starts a cluster here",
    )
