"""``streamctl logs``."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from streamctl.options import (
    BootstrapOption,
    JobArgument,
    JsonOption,
    NamespaceOption,
    RestOption,
    cluster_of,
    connect_to,
    output_of,
)

if TYPE_CHECKING:
    from headrace.protocol.control import LogLines
    from streamctl.client import JobLogs
    from streamctl.output import Output

#: After a job's end its last lines may still be on their way.
QUIET_S = 3.0


def logs(
    context: typer.Context,
    job: JobArgument,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the job has ended.")] = False,
    tail: Annotated[
        int | None, typer.Option("--tail", "-n", min=0, metavar="N", help="Only the last N lines.")
    ] = None,
    subtask: Annotated[
        str | None, typer.Option("--subtask", metavar="V/I", help="Only one lane, as v2/1, or one vertex, as v2.")
    ] = None,
    json: JsonOption = False,
    bootstrap: BootstrapOption = None,
    rest: RestOption = None,
    namespace: NamespaceOption = None,
) -> None:
    """Print what a job's tasks printed and logged.

    Lines are kept for a day. After a restart of a task, lines may appear twice.
    """
    from streamctl.client import JobLogs
    from streamctl.rest import find_job

    output = output_of(context)
    cluster = cluster_of(bootstrap, rest, namespace)
    job_id = find_job(cluster, job)
    with connect_to(cluster) as connection:
        source = JobLogs(connection, cluster.namespace, job_id)
        stored = (message for message in source.stored() if _of(message.lane, subtask))
        for message in stored if tail is None else _last(stored, tail):
            _print(output, message)
        if follow:
            for message in _until_end(source):
                if _of(message.lane, subtask):
                    _print(output, message)


def _of(lane: str, subtask: str | None) -> bool:
    """Whether a lane is the one asked for, or of the vertex asked for."""
    return subtask is None or lane == subtask or lane.partition("/")[0] == subtask


def _until_end(source: JobLogs) -> Iterator[LogLines]:
    """Messages until the job has ended and was quiet for QUIET_S."""
    from headrace import clock
    from headrace.protocol.control import LogLines
    from streamctl.client import Lifecycle
    from streamctl.watch import ended

    lifecycle = Lifecycle()
    heard_s = clock.monotonic_s()
    for message in source.follow():
        if isinstance(message, LogLines):
            yield message
        elif message is not None:
            lifecycle = lifecycle.after(message)
        if message is not None:
            heard_s = clock.monotonic_s()
        elif ended(lifecycle) and clock.monotonic_s() - heard_s > QUIET_S:
            return


def _last(messages: Iterator[LogLines], lines_max: int) -> Iterator[LogLines]:
    """The last ``lines_max`` lines of all messages, in order."""
    lines: deque[tuple[LogLines, str]] = deque(maxlen=lines_max)
    for message in messages:
        lines.extend((message, line) for line in message.lines)
    for message, line in lines:
        yield message.model_copy(update={"lines": [line], "dropped": 0})


def _print(output: Output, message: LogLines) -> None:
    from streamctl.output import Format

    if output.format is Format.JSON:
        for line in message.lines:
            output.result(
                {
                    "at_ms": message.at_ms,
                    "lane": message.lane,
                    "attempt": message.attempt,
                    "taskmanager": message.taskmanager,
                    "stream": message.stream,
                    "line": line,
                }
            )
    else:
        prefix = f"{message.lane} | " if message.lane else ""
        for line in message.lines:
            typer.echo(prefix + line)
    if message.dropped:
        output.note(f"{message.lane or message.taskmanager}: {message.dropped} lines dropped, too many a second")
