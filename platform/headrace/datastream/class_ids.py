"""Ids of classes that travel by value: the same for the same program.

cloudpickle names such a class by a random id, so that a process which loads it twice makes it once. With random
ids the same program would give another code bundle in each run, and repeating a submission would look like
another job. Here the ids are made of the classes' names and contents instead; two programs whose classes differ
never share one.
"""

from __future__ import annotations

import contextlib
import hashlib
import types
from collections.abc import Iterable, Mapping

import cloudpickle

from headrace.datastream.pickling import dumps

#: cloudpickle's own maps, class to id and id to class; both weak.
_BY_CLASS = cloudpickle.cloudpickle._DYNAMIC_CLASS_TRACKER_BY_CLASS
_BY_ID = cloudpickle.cloudpickle._DYNAMIC_CLASS_TRACKER_BY_ID


def classes_with_ids() -> set[type]:
    """Classes that have an id by now."""
    return set(_BY_CLASS)


def make_stable(modules: Mapping[str, types.ModuleType], *, settled: Iterable[type]) -> bool:
    """Replace the ids of classes of these modules, but for those ``settled`` before; whether there were any."""
    keep = set(settled)
    classes = {
        f"{home}.{value.__qualname__}": value
        for home, module in modules.items()
        for value in vars(module).values()
        if isinstance(value, type) and value.__module__ == home and value in _BY_CLASS and value not in keep
    }
    for name, value in classes.items():
        _BY_ID.pop(_BY_CLASS[value], None)
        _BY_CLASS[value] = name
    contents = hashlib.sha256()
    for value in classes.values():
        with contextlib.suppress(Exception):  # the function that needs such a class is refused by name elsewhere
            contents.update(dumps(value))
    for name, value in classes.items():
        _BY_CLASS[value] = hashlib.sha256(f"{contents.hexdigest()} {name}".encode()).hexdigest()[:32]
        _BY_ID[_BY_CLASS[value]] = value
    return bool(classes)
