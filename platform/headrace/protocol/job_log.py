"""Keys of ``<ns>.job-log``: written by Dispatchers and JobMasters, parsed by the home Dispatcher.

    "<job>/submission/<sha256>"    "<job>/accepted"    "<job>/cmd/<request id>"    "<job>/done/<request id>"
    "<job>/result"

Pure: no I/O.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import NamedTuple


class Kind(StrEnum):
    SUBMISSION = "submission"
    ACCEPTED = "accepted"
    COMMAND = "cmd"
    DONE = "done"
    RESULT = "result"


class JobLogKey(NamedTuple):
    """``name`` is the content sha256 of a submission, the request id of a command, else empty."""

    job_id: str
    kind: Kind
    name: str = ""

    @classmethod
    def parse(cls, text: str) -> JobLogKey | None:
        """None when ``text`` is no key of the job log."""
        match = _KEY.fullmatch(text)
        return cls(match[1], Kind(match[2] or match[4]), match[3] or "") if match else None

    def __str__(self) -> str:
        return f"{self.job_id}/{self.kind}" + (f"/{self.name}" if self.name else "")


_KEY = re.compile(r"([0-9a-f]{32})/(?:(submission|cmd|done)/([A-Za-z0-9_.:-]{1,100})|(accepted|result))")


def submission_key(job_id: str, content_sha256: str) -> str:
    return str(JobLogKey(job_id, Kind.SUBMISSION, content_sha256))


def accepted_key(job_id: str) -> str:
    return str(JobLogKey(job_id, Kind.ACCEPTED))


def command_key(job_id: str, request_id: str) -> str:
    return str(JobLogKey(job_id, Kind.COMMAND, request_id))


def done_key(job_id: str, request_id: str) -> str:
    return str(JobLogKey(job_id, Kind.DONE, request_id))


def result_key(job_id: str) -> str:
    return str(JobLogKey(job_id, Kind.RESULT))
