"""Lengths of time as programs give them, in whole milliseconds; what is no length is named at the user's line."""

from __future__ import annotations

from headrace.common.call_site import wrong
from headrace.common.time import Duration, Time


def milliseconds(what: str, length: Time | Duration) -> int:
    """The length in ms."""
    if not isinstance(length, (Time, Duration)):
        raise wrong(f"{what} must be a Time or a Duration, such as Time.seconds(10), not {length!r}")
    if not isinstance(length.to_milliseconds(), int):
        raise wrong(f"{what} must be whole milliseconds, not {length.to_milliseconds()!r}")
    return length.to_milliseconds()


def positive_milliseconds(what: str, length: Time | Duration) -> int:
    """The length in ms, above 0."""
    length_ms = milliseconds(what, length)
    if length_ms <= 0:
        raise wrong(f"{what} must be above 0, not {length_ms} ms")
    return length_ms
