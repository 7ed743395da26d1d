"""Errors that a person is meant to read.

    HeadraceError            has a code (a page under docs/errors/), one line, a hint, an exit status
    ├── UsageError           the user wrote something that cannot work: fix it, do not retry
    ├── UnavailableError     a server does not answer: retry later is safe
    └── JobFailedError       the job ended FAILED; carries the user's traceback

A message names what the user wrote and where; the hint says what to do. Programming errors of our own are
never wrapped in these classes.
"""

from __future__ import annotations

EXIT_OK = 0
EXIT_JOB_FAILED = 1
EXIT_USAGE = 2
EXIT_UNAVAILABLE = 3
EXIT_TIMEOUT = 4
EXIT_CANCELED = 5
EXIT_INTERRUPTED = 130


class HeadraceError(Exception):
    """One line for a person, with a stable code.

    ``code`` is lower-case words with dashes ("topic-missing"); docs/errors/<code>.md explains it.
    """

    exit_code = EXIT_USAGE

    def __init__(self, code: str, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint

    def line(self) -> str:
        """The error as one line: code, message, and the hint after a dash when there is one."""
        return f"{self.code}: {self.message}" + (f" - {self.hint}" if self.hint else "")


class UsageError(HeadraceError):
    """What the user wrote cannot work; retrying without a change is pointless."""


class UnavailableError(HeadraceError):
    """A server did not answer in time; the same call may be repeated safely."""

    exit_code = EXIT_UNAVAILABLE


class StillWaitingError(HeadraceError):
    """The thing waited for has not happened yet; it may still happen."""

    exit_code = EXIT_TIMEOUT


class JobFailedError(HeadraceError):
    """The job ended FAILED. ``user_traceback`` starts at the user's first frame, or is empty."""

    exit_code = EXIT_JOB_FAILED

    def __init__(self, code: str, message: str, *, hint: str = "", user_traceback: str = "") -> None:
        super().__init__(code, message, hint=hint)
        self.user_traceback = user_traceback
