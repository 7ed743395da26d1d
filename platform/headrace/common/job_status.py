"""States of a job; Flink's names."""

from __future__ import annotations

from headrace.protocol.states import JobStatus

__all__ = ["JobStatus"]
