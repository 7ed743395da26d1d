"""The job of a trial: built by running its script, submitted through Kafka like any other."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from headrace.datastream.execution import executor_installed
from headrace.embedded.cluster import Addresses
from headrace.errors import UsageError
from headrace.protocol.submission import Submit
from streamctl.client import JobEvents, JobsClient, Lifecycle
from streamctl.kafka import Connection
from streamctl.script import run_script
from streamctl.submitted_job import SubmittedJob


class TrialJob:
    """Executor that submits one job and returns at once; the trial follows it itself."""

    def __init__(self, addresses: Addresses, *, parallelism: int, options: Mapping[str, str] | None = None) -> None:
        self._client = JobsClient(lambda: Connection(addresses.bootstrap, {}), addresses.namespace)
        self._parallelism = parallelism
        self._options = options
        self._job: SubmittedJob | None = None
        self.submitted: Submit

    def submit(self, submit: Submit, code: bytes, *, wait: bool, dependencies: bytes = b"") -> SubmittedJob:
        _, events = self._client.submit(submit, code, dependencies=dependencies)
        self.submitted = submit
        self._job = SubmittedJob(submit, self._client, events, Lifecycle())
        return self._job

    def run(self, script: Path, arguments: list[str]) -> None:
        """Run the script; its job is acknowledged when this returns."""
        with executor_installed(self, parallelism=self._parallelism, options=self._options):
            run_script(script, arguments)
        if self._job is None:
            raise UsageError("script-no-execute", f"{script.name} ended without submitting a job")

    @property
    def job(self) -> SubmittedJob:
        assert self._job is not None, "run() comes first"
        return self._job

    @property
    def events(self) -> JobEvents:
        return self.job.events

    def take_events(self, timeout_s: float) -> Lifecycle:
        """The job's lifecycle after the events that came within ``timeout_s``."""
        for event in self.events.take(timeout_s):
            self.job.lifecycle = self.job.lifecycle.after(event)
        return self.job.lifecycle

    def close(self) -> None:
        if self._job is not None:
            self._job.events.close()
