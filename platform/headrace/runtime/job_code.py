"""What a worker has of the job's code beside its bundle: folders on sys.path, installed packages; and what it lacks.

A module that is missing, and a package of another version than the functions were made with, are told in words that
name the function, the package and the way out.
"""

from __future__ import annotations

import importlib
import socket
import sys
from collections.abc import Iterable, Mapping
from importlib import metadata

from headrace.errors import UsageError
from headrace.graph.job_graph import JobGraph
from headrace.runtime.functions import FunctionLoadError

WAY_OUT = "name its package in the job's requirements (--requirements, or env.set_python_requirements), or send it \
along (--files, or env.add_python_file)"


def add_paths(paths: Iterable[str]) -> None:
    """Put the job's own files first on sys.path; once."""
    fresh = [path for path in paths if path not in sys.path]
    if fresh:
        sys.path[:0] = fresh
        importlib.invalidate_caches()


def differences(packages: Mapping[str, str]) -> list[str]:
    """Packages that are installed here in another version than the functions were made with, or not at all."""
    told = []
    for name, version in packages.items():
        try:
            here = metadata.version(name)
        except metadata.PackageNotFoundError:
            here = ""
        if here != version:
            told.append(f"{name} {version} where the job was submitted, {here or 'not installed'} here")
    return told


def warning(packages: Mapping[str, str]) -> str | None:
    """A line for the job's log, None when every package is of the same version."""
    told = differences(packages)
    if not told:
        return None
    return f"WARNING headrace: other package versions on {socket.gethostname()} [package-version]: {'; '.join(told)}"


def load_failure(error: FunctionLoadError, graph: JobGraph, packages: Mapping[str, str]) -> Exception:
    """The error for a function that cannot be loaded, in the words of the user's program if they are to blame."""
    cause = error.__cause__
    who = owner(graph, error.function_id)
    if isinstance(cause, ModuleNotFoundError):
        return UsageError("module-missing", f"{who} {missing(cause)}", hint=WAY_OUT)
    told = differences(packages)
    if isinstance(cause, ImportError | AttributeError) and told:
        return UsageError(
            "package-version",
            f"{who} cannot be loaded here: {cause}; {'; '.join(told)}",
            hint="name the version in the job's requirements (--requirements, or env.set_python_requirements)",
        )
    return error


def missing(error: ModuleNotFoundError) -> str:
    """ "needs module 'pandas', which the worker on host-1 has not" """
    named = f"module {error.name!r}" if error.name else str(error)
    return f"needs {named}, which the worker on {socket.gethostname()} has not"


def owner(graph: JobGraph, function_id: str) -> str:
    """Whose function it is, as the program names it."""
    for vertex in graph.vertices:
        for operator in vertex.operators:
            if function_id in operator.functions.values():
                return repr(operator.name)
    if any(edge.key == function_id for edge in graph.edges):
        return "the key selector of a key_by"
    return "the job's own code"
