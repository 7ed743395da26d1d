"""A job's requirements.txt: read before it travels, so that a mistake is told with its line.

Only the text goes to the workers. What names files of this machine (``-r``, ``-c``, ``-e``, paths) is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from headrace.errors import UsageError

REQUIREMENTS_CHARS_MAX = 1_000_000

_COMMENT = re.compile(r"(^|\s)#.*$")
_LOCAL = re.compile(r"(-[rce]\b|--(requirement|constraint|editable)\b|\.{0,2}/|[A-Za-z]:\\|file:)")
_FIND_LINKS = re.compile(r"(-f|--find-links)[ =]\s*(?!https?://)")
_HINT = "write package names here; give local packages as wheels, in the folder of wheels (--wheels)"


@dataclass(frozen=True)
class Asked:
    """One requirement and its line."""

    line: int
    requirement: Requirement


def asked(text: str, name: str) -> list[Asked]:
    """The requirements of a file ``name``. Raises UsageError (requirements-invalid) naming the first bad line."""
    if len(text) > REQUIREMENTS_CHARS_MAX:
        raise UsageError(
            "requirements-invalid", f"{name} has {len(text):,} characters, over {REQUIREMENTS_CHARS_MAX:,}"
        )
    found = []
    for number, line in _logical_lines(text):
        if _LOCAL.match(line) or _FIND_LINKS.match(line):
            raise UsageError(
                "requirements-invalid",
                f"{name} line {number} names a file of this machine, which workers have not: {line:.200}",
                hint=_HINT,
            )
        if line.startswith("-"):
            continue  # an option, such as -i for another index: uv knows them
        try:
            found.append(Asked(number, Requirement(re.split(r"\s--", line, maxsplit=1)[0].strip())))
        except InvalidRequirement as error:
            reason = str(error).splitlines()[0]
            raise UsageError(
                "requirements-invalid",
                f"{name} line {number} is no requirement: {line:.200} ({reason})",
                hint="write it as pip does, such as `numpy>=2`, or `name @ https://...`",
            ) from None
    return found


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines with the number of their first part; comments and blank ones left out, continued ones joined."""
    joined, began = "", 0
    for number, raw in enumerate(text.splitlines(), 1):
        line = _COMMENT.sub("", raw)
        began = began or number
        if line.endswith("\\"):
            joined += line[:-1] + " "
            continue
        whole = (joined + line).strip()
        if whole:
            yield began, whole
        joined, began = "", 0
    if joined.strip():
        yield began, joined.strip()


def unmet(requirements: list[Asked]) -> list[str]:
    """Which of these this interpreter does not meet, each as a few words."""
    missing = []
    for each in requirements:
        requirement = each.requirement
        if requirement.marker is not None and not requirement.marker.evaluate():
            continue
        if canonicalize_name(requirement.name) == "headrace":
            continue
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            missing.append(f"{requirement.name}{requirement.specifier} is not installed")
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            missing.append(f"{requirement.name}{requirement.specifier} is installed as {version}")
    return missing
