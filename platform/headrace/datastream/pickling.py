"""Pickling of user code: cloudpickle's way, but for modules.

Code keeps the name of its file, so that a traceback in a worker names the user's line.
A module that travels by value would bring all that is in it, locks and connections too. Here it travels as an
import by name; the worker finds it among the shipped modules (``user_modules``).
"""

from __future__ import annotations

import importlib
import io
import types
from typing import Any

import cloudpickle


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no types
    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self._by_value = cloudpickle.list_registry_pickle_by_value()

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, types.ModuleType) and obj.__name__ in self._by_value:
            return importlib.import_module, (obj.__name__,)
        if isinstance(obj, types.CodeType):
            return _named(super().dispatch_table[types.CodeType](obj), obj.co_filename)
        return super().reducer_override(obj)


def _named(reduced: tuple[Any, tuple[Any, ...]], filename: str) -> tuple[Any, tuple[Any, ...]]:
    """cloudpickle blanks the file of code that it pickles; a traceback must name it."""
    make, arguments = reduced
    return make, tuple(filename if argument == "<dynamic-code>" else argument for argument in arguments)


def dumps(value: Any) -> bytes:
    """The value as bytes for ``pickle.loads``. Raises whatever the value's own pickling raises."""
    file = io.BytesIO()
    _Pickler(file).dump(value)
    return file.getvalue()
