"""The user's own modules: which they are, and how they reach the slot workers.

A worker has the installed distributions and nothing of the user's folder. So functions and classes of the user's
modules are pickled by value. That is not enough for classes: records are pickled by plain pickle between lanes,
which looks a class up in its module. The bundle therefore also holds the contents of the user's modules, and
loading it in a worker puts modules of these names there.

What cannot be pickled, and values over VALUE_BYTES_MAX, are left out of these modules; looking one up says so.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import site
import sys
import sysconfig
import types
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import cloudpickle

from headrace.datastream.pickling import dumps

VALUE_BYTES_MAX = 16 * 1024 * 1024

#: Packages that every worker has, wherever they are installed.
_OURS = ("headrace", "headrace_connectors", "streamctl")


def user_modules(files: Iterable[str] = ()) -> dict[str, types.ModuleType]:
    """Loaded modules that are neither ours, nor Python's, nor of an installed distribution; without ``__main__``.

    ``files``: modules and folders that travel as files, so that their modules are there to be imported. Modules
    that the program registered with cloudpickle to travel by value do so in any case.
    """
    registered = cloudpickle.list_registry_pickle_by_value()
    installed = (*_installed_folders(), *_as_folders(files))
    return {
        name: module
        for name, module in sorted(sys.modules.items())
        if name not in ("__main__", "__mp_main__")
        and isinstance(module, types.ModuleType)
        and name.partition(".")[0] not in _OURS
        and (name in registered or _is_own(module, installed))
    }


def _installed_folders() -> Iterator[str]:
    paths = sysconfig.get_paths()
    folders = [paths[key] for key in ("stdlib", "platstdlib", "purelib", "platlib")]
    folders += [*site.getsitepackages(), site.getusersitepackages(), os.path.dirname(os.__file__)]
    for folder in folders:
        yield os.path.realpath(folder) + os.sep


def _as_folders(files: Iterable[str]) -> Iterator[str]:
    for file in files:
        path = os.path.realpath(file)
        yield path if path.endswith(".py") else path + os.sep


def _is_own(module: types.ModuleType, installed: tuple[str, ...]) -> bool:
    file = getattr(module, "__file__", None)
    if not file or not file.endswith(".py"):
        return False
    return not os.path.realpath(file).startswith(installed)


@contextmanager
def pickled_by_value(modules: dict[str, types.ModuleType]) -> Iterator[None]:
    """While in this context cloudpickle takes functions and classes of these modules by value."""
    already = cloudpickle.list_registry_pickle_by_value()
    added = [module for name, module in modules.items() if name not in already]
    for module in added:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in added:
            cloudpickle.unregister_pickle_by_value(module)


def mentioned(names: Iterable[str], pickles: Iterable[bytes]) -> set[str]:
    """Which of these modules the pickles name: as the home of a function or class, or in the code of one.

    ``from package import module`` names the parts only, so a module counts when all its parts are named.
    """
    data = list(pickles)
    known: dict[str, bool] = {}

    def named(text: str) -> bool:
        if text not in known:
            needle = text.encode()
            needle = b"\x8c" + bytes([len(needle)]) + needle  # as pickle writes a text of up to 255 bytes
            known[text] = any(needle in each for each in data)
        return known[text]

    return {name for name in names if len(name.encode()) < 256 and (named(name) or all(map(named, name.split("."))))}


@dataclass(frozen=True)
class ShippedModules:
    """Contents of the user's modules, each module pickled by itself: a map of names to objects.

    ``left_out`` maps module to name to the reason. Unpickling a ShippedModules installs it.
    """

    contents: dict[str, bytes]
    left_out: dict[str, dict[str, str]]
    main_names: tuple[str, ...]

    def __reduce__(self) -> tuple[Any, ...]:
        return install, (self.contents, self.left_out, self.main_names)


def shipped_modules(functions: Iterable[bytes], modules: dict[str, types.ModuleType]) -> ShippedModules | None:
    """The modules that the pickled functions mention, and those that these mention, with the classes of ``__main__``.

    Call it in ``pickled_by_value``. None when there is nothing to ship.
    """
    shipped = ShippedModules({}, {}, tuple(_own_names("__main__", sys.modules["__main__"])))
    waiting = ["__main__"] if shipped.main_names else []
    waiting += sorted(mentioned(modules, functions))
    while waiting:
        name = waiting.pop()
        if name not in shipped.contents:
            data, shipped.left_out[name] = _pickled(_own_names(name, sys.modules[name]))
            shipped.contents[name] = data
            waiting += sorted(mentioned(modules, [data]))
    return shipped if shipped.contents else None


def _own_names(name: str, module: types.ModuleType) -> dict[str, Any]:
    """What is shipped of a module: of ``__main__`` its own classes, of others all but dunders and modules."""
    if name == "__main__":
        return {k: v for k, v in vars(module).items() if isinstance(v, type) and v.__module__ == name}
    return {k: v for k, v in vars(module).items() if not k.startswith("__") and not isinstance(v, types.ModuleType)}


def _pickled(names: dict[str, Any]) -> tuple[bytes, dict[str, str]]:
    """The names pickled together, without those that cannot be or are too large; and why not."""
    with contextlib.suppress(Exception):  # a user's object may raise anything when pickled
        data = dumps(names)
        if len(data) <= VALUE_BYTES_MAX:
            return data, {}
    obstacles = {name: _obstacle(value) for name, value in names.items()}
    left_out = {name: reason for name, reason in obstacles.items() if reason is not None}
    return dumps({k: v for k, v in names.items() if k not in left_out}), left_out


def _obstacle(value: Any) -> str | None:
    """Why a value cannot be shipped, None when it can."""
    try:
        size = len(dumps(value))
    except Exception as error:  # noqa: BLE001 - a user's object may raise anything when pickled
        return str(error) or type(error).__name__
    if isinstance(value, (type, types.FunctionType)) or size <= VALUE_BYTES_MAX:
        return None
    return f"it takes {size:,} bytes, over {VALUE_BYTES_MAX:,}"


# ---- in the worker


def install(contents: dict[str, bytes], left_out: dict[str, dict[str, str]], main_names: tuple[str, ...]) -> None:
    """Put shipped modules where they are missing; a module that is there already stays as it is."""
    for name in sorted(contents):
        if name == "__main__":
            if not _is_users_main(main_names):
                sys.modules[name] = _ShippedModule(name, contents[name], left_out[name])
            continue
        for end in [at for at, letter in enumerate(name) if letter == "."]:
            if name[:end] not in sys.modules:
                sys.modules[name[:end]] = _ShippedModule(name[:end], None, {})
        if name not in sys.modules:
            sys.modules[name] = _ShippedModule(name, contents[name], left_out[name])
        parent, _, last = name.rpartition(".")
        if parent and last not in vars(sys.modules[parent]):
            setattr(sys.modules[parent], last, sys.modules[name])


def _is_users_main(names: tuple[str, ...]) -> bool:
    """Whether ``__main__`` is the script the job came from: then its classes are there.

    A worker's own ``__main__`` steps aside instead, so that none of its names is overwritten.
    """
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    ours = spec is not None and spec.name.partition(".")[0] in _OURS
    return not ours and all(name in vars(main) for name in names)


class _ShippedModule(types.ModuleType):
    """A user's module in a worker. What was shipped of it is unpickled when a name is first looked up."""

    def __init__(self, name: str, contents: bytes | None, left_out: dict[str, str]) -> None:
        super().__init__(name, "Shipped with the job.")
        self.__path__: list[str] = []
        self._contents = contents
        self._left_out = left_out

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        own = vars(self)
        if own["_contents"] is not None:
            contents, own["_contents"] = own["_contents"], None
            own.update(pickle.loads(contents))
            if name in own:
                return own[name]
        if name in own["_left_out"]:
            reason = own["_left_out"][name]
            raise AttributeError(f"{self.__name__}.{name} was not shipped with the job: {reason}")
        raise AttributeError(f"module {self.__name__!r}, as shipped with the job, has no attribute {name!r}")
