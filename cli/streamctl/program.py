"""What ``env.execute()`` does while streamctl runs a script: submit the job and follow it as far as asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from headrace.common.configuration import Configuration
from headrace.datastream.dependencies import Dependencies
from headrace.datastream.execution import executor_installed
from headrace.errors import UsageError
from headrace.in_process.terminal import at_end
from headrace.protocol.submission import Submit
from streamctl.client import JobsClient, Lifecycle
from streamctl.cluster import Cluster, find_cluster, load_settings
from streamctl.kafka import Connection
from streamctl.output import Output, Progress
from streamctl.render import ID_DIGITS
from streamctl.script import Ended, run_script
from streamctl.submitted_job import SubmittedJob
from streamctl.watch import describe, ended, require_running, require_success, runs


@dataclass(frozen=True)
class SubmitOptions:
    """What the command line says about the job; None leaves it to the script.

    ``parallelism`` and ``config`` are where the script starts from: what it sets itself wins.
    """

    job_id: str | None = None
    name: str | None = None
    parallelism: int | None = None
    config: dict[str, str] = field(default_factory=dict)
    wait: bool = False
    timeout_s: float = 60.0


class Submission:
    """The executor of one run of a script (headrace.datastream.execution.Executor)."""

    def __init__(
        self, connect: Callable[[], Connection], cluster: Cluster, options: SubmitOptions, output: Output
    ) -> None:
        self._client = JobsClient(connect, cluster.namespace)
        self.options = options
        self.bootstrap = cluster.bootstrap  #: the only Kafka that a program may name
        self._output = output
        self._unended: list[SubmittedJob] = []
        self._jobs: list[SubmittedJob] = []
        self._sending: Submit | None = None
        self.submitted = 0

    def submit(self, submit: Submit, code: bytes, *, wait: bool, dependencies: bytes = b"") -> SubmittedJob:
        """Submit and return when the job is RUNNING; with --wait and ``wait``, when it has ended.

        Raises UsageError when it is refused, UnavailableError when nobody answers, StillWaitingError after
        the time-out, JobFailedError when it failed.
        """
        submit = self._as_asked(submit)
        self._output.facts.update({"job_id": submit.job_id, "name": submit.name})
        with self._output.progress(f"{submit.name}: submitting") as progress:
            again = self.options.job_id is not None
            self._sending = submit
            _, events = self._client.submit(submit, code, dependencies=dependencies, again=again)
            self.submitted += 1
            job = SubmittedJob(submit, self._client, events, Lifecycle())
            self._jobs.append(job)
            self._sending = None
            self._until_running(job, progress)
            if wait and self.options.wait:
                self._until_ended(job, progress)
        if self.options.wait and not ended(job.lifecycle):
            self._unended.append(job)
        else:
            self._finish(job)
        return job

    def _until_running(self, job: SubmittedJob, progress: Progress) -> None:
        job.follow(runs, progress=progress, timeout_s=self.options.timeout_s)
        self._output.facts["status"] = str(job.lifecycle.status or "ACCEPTED")
        require_running(job.job_id, job.name, job.lifecycle, self.options.timeout_s)
        require_success(job.job_id, job.name, job.lifecycle)

    def _until_ended(self, job: SubmittedJob, progress: Progress) -> None:
        job.follow(ended, progress=progress, timeout_s=None)
        self._output.facts["status"] = str(job.lifecycle.status)
        require_success(job.job_id, job.name, job.lifecycle)

    def wait_for_all(self) -> None:
        """With --wait: follow jobs to their end that the script itself did not wait for."""
        while self._unended:
            job = self._unended.pop(0)
            if job.collects:
                continue  # the script has read what it wanted of it
            with self._output.progress(describe(job.name, job.lifecycle)) as progress:
                self._until_ended(job, progress)
            self._finish(job)

    def close_results(self) -> None:
        """The script has ended: jobs whose results it collected, and did not read to their end, are cancelled."""
        for job in self._jobs:
            if job.close_results():
                self._output.after_interrupt = f"job {job.job_id[:ID_DIGITS]} was cancelled: nobody reads its results"

    def standing(self) -> str:
        """What became of the jobs, for somebody who interrupts now; how to go on."""
        told = [_standing(job) for job in self._jobs if not ended(job.lifecycle)]
        if self._sending is not None:
            job_id = self._sending.job_id
            told.append(
                f"job {job_id[:ID_DIGITS]} may have been submitted: `streamctl show {job_id}` tells, "
                f"and submitting again with --job-id {job_id} is safe"
            )
        return "; ".join(told) or ("nothing runs on" if self._jobs else "nothing was submitted")

    def _as_asked(self, submit: Submit) -> Submit:
        options = self.options
        changes: dict[str, object] = {}
        if options.name is not None:
            changes["name"] = options.name
        if options.job_id is not None:
            if self.submitted:
                raise UsageError("job-id", "the script submits a second job: --job-id can name only one")
            changes["job_id"] = options.job_id
        return Submit.model_validate({**submit.model_dump(), **changes})

    def tell_standing(self) -> None:
        """Have the command say ``standing`` when it is interrupted."""
        self._output.after_interrupt = self.standing()

    def _finish(self, job: SubmittedJob) -> None:
        job.events.close()
        status = str(job.lifecycle.status)
        self._output.result(
            {"job_id": job.job_id, "name": job.name, "status": status},
            f"Job {job.job_id} ({job.name}): {status}",
        )


def _standing(job: SubmittedJob) -> str:
    short = job.job_id[:ID_DIGITS]
    if job.collects:
        return f"job {short} is cancelled: only this script read its results"
    if runs(job.lifecycle):
        return f"job {short} runs on, `streamctl cancel {short}` ends it"
    return f"job {short} stays and starts when it can; `streamctl show {short}` tells why not, `cancel` ends it"


def run_program(submission: Submission, script: Path, arguments: list[str]) -> None:
    """Run the script with ``submission`` as its executor.

    Files of the job can be imported by the script. Raises what the script or its jobs raise, and UsageError
    ("script-no-execute") when it submits nothing.
    """
    try:
        _run_program(submission, script, arguments)
    except KeyboardInterrupt:
        submission.tell_standing()
        raise


def _run_program(submission: Submission, script: Path, arguments: list[str]) -> None:
    options = submission.options
    dependencies = Dependencies.of(Configuration(options.config))
    dependencies.asked()  # a mistake in requirements.txt is told before the script runs
    dependencies.make_importable()
    with executor_installed(submission, parallelism=options.parallelism, options=options.config):
        try:
            how = run_script(script, arguments)
        finally:
            submission.close_results()
    if not submission.submitted and how is not Ended.EXIT:
        raise UsageError(
            "script-no-execute",
            f"{script.name} ended without submitting a job",
            hint='call env.execute("name") at its end',
        )
    submission.wait_for_all()


def cluster_executor() -> Submission:
    """The executor of ``python job.py`` with HEADRACE_BOOTSTRAP set: submits there and waits for the end.

    Entry point "cluster" of the group "headrace.executors". Raises UnavailableError ("no-cluster").
    """
    settings = load_settings()
    cluster = find_cluster(bootstrap=None, rest=None, namespace=None, settings=settings, embedded=lambda: None)
    submission = Submission(
        lambda: Connection(cluster.bootstrap, cluster.kafka), cluster, SubmitOptions(wait=True), Output()
    )
    at_end(submission.close_results)
    return submission
