"""Identifiers: made here, checked here, and nowhere else."""

from __future__ import annotations

import re
import uuid

JOB_ID = re.compile(r"[0-9a-f]{32}")


def new_job_id() -> str:
    """A fresh job id: 32 lower-case hex digits, as Flink's."""
    return uuid.uuid4().hex


def new_request_id() -> str:
    """A fresh id for one request (submission or command)."""
    return uuid.uuid4().hex


def is_job_id(text: str) -> bool:
    return JOB_ID.fullmatch(text) is not None
