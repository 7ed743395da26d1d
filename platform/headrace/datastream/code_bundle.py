"""The code bundle: a program's functions as bytes that a slot worker can load.

A msgpack map of function id to cloudpickle bytes, each function by itself, so that one that cannot be pickled is
named. The id MODULES holds the user's own modules; a worker unpickles it before anything else.

The same program gives the same bytes as far as pickling allows; constants that are sets of text can still differ
between runs.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata

import msgspec

from headrace.datastream.class_ids import classes_with_ids, make_stable
from headrace.datastream.pickling import dumps
from headrace.datastream.program import UserFunction
from headrace.datastream.unpicklable import culprit
from headrace.datastream.user_modules import mentioned, pickled_by_value, shipped_modules, user_modules
from headrace.errors import UsageError

MODULES = "modules"


@dataclass(frozen=True)
class CodeBundle:
    """The bundle's bytes, and the installed distributions (name to version) that the functions use."""

    data: bytes
    packages: dict[str, str]

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


def code_bundle(functions: Mapping[str, UserFunction], files: Iterable[str] = ()) -> CodeBundle:
    """Pickle a program's functions; modules in ``files``, which travel beside them, by reference.

    Raises UsageError (function-not-picklable) naming the first that cannot be.
    """
    modules = user_modules(files)
    settled = classes_with_ids()
    with pickled_by_value(modules):
        pickles = _pickled(functions)
        shipped = shipped_modules(pickles.values(), modules)
        if shipped is not None:
            homes = {name: sys.modules[name] for name in shipped.contents}
            if make_stable(homes, settled=settled):
                pickles = _pickled(functions)
                shipped = shipped_modules(pickles.values(), modules)
    inside = [*pickles.values()]
    if shipped is not None:
        pickles[MODULES] = dumps(shipped)
        inside += shipped.contents.values()
    return CodeBundle(msgspec.msgpack.encode(pickles), _packages(inside))


def _pickled(functions: Mapping[str, UserFunction]) -> dict[str, bytes]:
    return {function_id: _pickle(function) for function_id, function in functions.items()}


def _pickle(function: UserFunction) -> bytes:
    try:
        data = dumps(function.function)
    except Exception as error:  # noqa: BLE001 - a user's object may raise anything when pickled
        where = culprit(function.function)
        raise UsageError(
            "function-not-picklable",
            f"{function.title} at {function.site}: {_reason(error)}" + (f" held by {where}" if where else ""),
            hint=_hint(error),
        ) from error
    return data


def _hint(error: Exception) -> str:
    if re.search(r"'(StreamExecutionEnvironment|\w*Stream\w*)' object", str(error)):
        return "env and streams only put the program together: a function gets records, and cannot use them"
    return "make such objects in open(), or inside the function: it runs in another process"


def _reason(error: Exception) -> str:
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    return text if text.lower().startswith(("cannot ", "can't ", "could not ")) else f"cannot be pickled: {text}"


def _packages(pickles: Iterable[bytes]) -> dict[str, str]:
    """Installed distributions that the pickles use; without ours, whose versions workers report anyway."""
    installed = {
        name
        for name, module in sys.modules.items()
        if "." not in name and "site-packages" in (getattr(module, "__file__", None) or "")
    }
    tops = mentioned(installed, pickles)
    if not tops:
        return {}
    owners = metadata.packages_distributions()
    names = {name for top in tops for name in owners.get(top, ())}
    return {name: metadata.version(name) for name in sorted(names - {"headrace", "cloudpickle"})}
