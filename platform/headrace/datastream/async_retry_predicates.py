"""Predicates for retry strategies, to be given as they are or through ``functools.partial``."""

from __future__ import annotations

from typing import Any

__all__ = ["empty_result_predicate", "exception_type_predicate", "has_exception_predicate"]


def empty_result_predicate(result: list[Any] | None) -> bool:
    """Of results: there is none."""
    return not result


def has_exception_predicate(error: Exception | None) -> bool:
    """Of exceptions: any."""
    return error is not None


def exception_type_predicate(error: Exception, expected_error_type: type | tuple[type, ...]) -> bool:
    """Of exceptions: those of a type, given by ``functools.partial(..., expected_error_type=OSError)``."""
    return isinstance(error, expected_error_type)
