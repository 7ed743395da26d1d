"""``streamctl submit``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headrace.errors import UsageError
from streamctl.options import BootstrapOption, JsonOption, NamespaceOption, cluster_of, connect_to, output_of


def submit(
    context: typer.Context,
    script: Annotated[Path, typer.Argument(metavar="JOB.PY", help="The script; it calls env.execute().")],
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="-- ARGS", help="The script's own arguments.")
    ] = None,
    parallelism: Annotated[
        int | None, typer.Option("--parallelism", "-p", min=1, metavar="N", help="Slots the job uses; else 1.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="The job's name; else what the script says.")
    ] = None,
    define: Annotated[
        list[str] | None, typer.Option("--define", "-D", metavar="KEY=VALUE", help="An option of the job.")
    ] = None,
    files: Annotated[
        list[str] | None,
        typer.Option(
            "--files",
            "-pyfs",
            metavar="PATH,...",
            help="Goes along and is importable: .py, folder, .zip, .whl.",
        ),
    ] = None,
    requirements: Annotated[
        str | None,
        typer.Option(
            "--requirements",
            "-pyreq",
            metavar="FILE[#WHEELS]",
            help="requirements.txt: the job gets a virtual environment.",
        ),
    ] = None,
    wheels: Annotated[
        str | None,
        typer.Option("--wheels", metavar="FOLDER", help="Install the requirements from this folder only."),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Return when the job has ended.")] = False,
    timeout: Annotated[float, typer.Option(min=0, metavar="SECONDS", help="How long to wait for RUNNING.")] = 60,
    job_id: Annotated[
        str | None, typer.Option(metavar="ID", help="A job id of your own, to repeat a submission safely.")
    ] = None,
    json: JsonOption = False,
    bootstrap: BootstrapOption = None,
    namespace: NamespaceOption = None,
) -> None:
    """Run a script here and start the job it builds on the cluster.

    Returns when the job is RUNNING; with --wait, when it has ended.
    """
    from streamctl.program import Submission, SubmitOptions, run_program

    output = output_of(context)
    options = SubmitOptions(
        job_id=checked_job_id(job_id),
        name=name,
        parallelism=parallelism,
        config=dict(definition(each) for each in define or ()) | dependencies(files, requirements, wheels),
        wait=wait,
        timeout_s=timeout,
    )
    cluster = cluster_of(bootstrap, None, namespace)
    submission = Submission(lambda: connect_to(cluster), cluster, options, output)
    run_program(submission, script, arguments or [])


def dependencies(files: list[str] | None, requirements: str | None, wheels: str | None) -> dict[str, str]:
    """The options that say what goes along with the job. Raises UsageError ("dependency-invalid")."""
    found = {}
    if files:
        found["python.files"] = ",".join(files)
    if requirements is not None:
        if wheels is not None and "#" in requirements:
            raise UsageError(
                "dependency-invalid",
                f"two folders of wheels: {requirements.partition('#')[2]} and {wheels}",
                hint="give the folder with --wheels, or after # in --requirements",
            )
        found["python.requirements"] = requirements if wheels is None else f"{requirements}#{wheels}"
    elif wheels is not None:
        found["python.requirements"] = f"#{wheels}"
    return found


def definition(text: str) -> tuple[str, str]:
    """KEY=VALUE as a pair. Raises UsageError ("option-define")."""
    key, separator, value = text.partition("=")
    if not separator or not key:
        raise UsageError("option-define", f"not KEY=VALUE: -D {text}", hint="write it as -D KEY=VALUE")
    return key, value


def checked_job_id(text: str | None) -> str | None:
    from headrace.ids import is_job_id

    if text is not None and not is_job_id(text):
        raise UsageError("job-id", f"not a job id: {text!r}", hint="a job id has 32 digits of 0-9 and a-f")
    return text
