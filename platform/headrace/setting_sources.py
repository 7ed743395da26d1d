"""Where settings stand: TOML files, HEADRACE_* variables, options. Read here and nowhere else.

    /etc/headrace/headrace.toml           the machine's file, the weakest
    <user config>/headrace/headrace.toml  this person's, over it
    HEADRACE_CONFIG=FILE                  read instead of both; empty: no file at all
    HEADRACE_<NAME>                       over any file; an empty variable says nothing
    options                               over everything

A table (``kafka``) is merged entry by entry, everything else is replaced whole.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any

from platformdirs import user_config_path
from pydantic_settings import EnvSettingsSource

from headrace.errors import UsageError

PREFIX = "HEADRACE_"
CONFIG_VARIABLE = "HEADRACE_CONFIG"
MACHINE_FILE = Path("/etc/headrace/headrace.toml")
FILE_BYTES_MAX = 32_000
#: The one setting that is a table: librdkafka's option names are free.
TABLE = "kafka"

#: Variables that Headrace sets for its own processes; no settings.
INTERNAL_VARIABLES = {
    "HEADRACE_OUTPUT": "file that a slot worker writes user code's output to",
    "HEADRACE_EMBEDDED": "mark of the processes of a local cluster",
}


class Kind(StrEnum):
    DEFAULT = "default"
    FILE = "file"
    VARIABLE = "variable"
    OPTION = "option"


@dataclass(frozen=True)
class Layer:
    """What one source says. ``place`` tells a person where a value of it stands: "FILE:3", "HEADRACE_REDIS"."""

    kind: Kind
    values: Mapping[str, Any]
    place: Callable[[str], str]

    def names(self) -> set[str]:
        """Of every value: "rest_port", "kafka.security.protocol"."""
        return _names(self.values)


# ---- files


def config_files() -> list[Path]:
    """Files that are looked at, the weakest first. One that does not exist says nothing, unless it was named."""
    named = os.environ.get(CONFIG_VARIABLE)
    if named is None:
        return [MACHINE_FILE, user_config_path("headrace") / "headrace.toml"]
    return [Path(named).expanduser()] if named else []


@dataclass(frozen=True)
class SettingsFile:
    """One file that could be read and parsed."""

    path: Path
    text: str
    values: Mapping[str, Any]

    def line(self, name: str) -> int:
        """Where a value begins; 1 for a name that the file does not have."""
        return self._lines.get(name, 1)

    def place(self, name: str) -> str:
        return f"{self.path}:{self.line(name)}"

    @cached_property
    def _lines(self) -> dict[str, int]:
        """A value begins behind the last line up to which the file is sound and does not have it yet."""
        found: dict[str, int] = {}
        lines = self.text.splitlines()
        sound = 0
        for number in range(1, len(lines) + 1):
            try:
                values = tomllib.loads("\n".join(lines[:number]))
            except tomllib.TOMLDecodeError:
                continue  # in the middle of a value
            if TABLE in values:
                values[TABLE] = flat(values[TABLE])
            for name in _names(values) | values.keys():
                found.setdefault(name, sound + 1)
            sound = number
        return found


def read_file(path: Path) -> SettingsFile:
    """Raises UsageError ``settings-file`` with the reason; FileNotFoundError when there is none."""
    try:
        with path.open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
        if len(data) > FILE_BYTES_MAX:
            raise _unusable(path, f"is longer than {FILE_BYTES_MAX} bytes")
        text = data.decode()
        values = tomllib.loads(text)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise _unusable(path, f"cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise _unusable(path, f"is not UTF-8 (byte {error.start})") from None
    except tomllib.TOMLDecodeError as error:
        raise _unusable(path, f"is not TOML: {error}") from None
    if TABLE in values:
        values[TABLE] = flat(values[TABLE])
    return SettingsFile(path, text, values)


def file_layers(known: Collection[str]) -> list[Layer]:
    """The files there are, the weakest first.

    Raises UsageError: ``settings-file`` when one cannot be used, ``setting-unknown`` naming file, line and key.
    """
    layers = []
    for path in config_files():
        try:
            file = read_file(path)
        except FileNotFoundError:
            if CONFIG_VARIABLE in os.environ:
                raise UsageError(
                    "settings-file",
                    f"{CONFIG_VARIABLE} names {path}, and there is no such file",
                    hint="write the file, or unset the variable",
                ) from None
            continue
        if unknown := [key for key in file.values if key not in known]:
            raise UsageError(
                "setting-unknown",
                "; ".join(f"{file.place(key)}: {unknown_setting(key, known)}" for key in unknown),
                hint="`streamctl config show` lists all settings",
            )
        layers.append(Layer(Kind.FILE, file.values, file.place))
    return layers


def _unusable(path: Path, why: str) -> UsageError:
    return UsageError("settings-file", f"{path} {why}", hint="correct or remove it; docs/settings.md shows the form")


def unknown_setting(name: str, known: Iterable[str]) -> str:
    """A sentence about a name that is no setting, with the one that was probably meant."""
    meant = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"there is no setting {name!r}" + (f", did you mean {meant[0]!r}?" if meant else "")


# ---- variables


class Variables(EnvSettingsSource):
    """HEADRACE_* of this process's environment; entries of the table under librdkafka's names."""

    def __call__(self) -> dict[str, Any]:
        values = super().__call__()
        if TABLE in values:
            values[TABLE] = flat(values[TABLE])
        return values


def variable_layer(source: Variables) -> Layer:
    """Raises pydantic_settings.SettingsError when a variable that should be JSON is not."""
    return Layer(Kind.VARIABLE, source(), variable_of)


def variable_of(name: str) -> str:
    """The variable that holds a setting; for an entry of the table the one that is set, if any is."""
    whole, _, entry = name.partition(".")
    if entry:
        begin = f"{PREFIX}{whole.upper()}__"
        for variable in os.environ:
            if variable.upper().startswith(begin) and _option(variable[len(begin) :]).lower() == entry:
                return variable
    return f"{PREFIX}{whole.upper()}"


def unknown_variables(known: Collection[str]) -> list[str]:
    """HEADRACE_* variables that are set and mean nothing, sorted."""
    meant = {variable_of(name) for name in known} | INTERNAL_VARIABLES.keys() | {CONFIG_VARIABLE}
    begin = f"{variable_of(TABLE)}__"
    return sorted(
        name
        for name in os.environ
        if name.startswith(PREFIX) and name.upper() not in meant and not name.upper().startswith(begin)
    )


# ---- options


def option_layer(values: Mapping[str, Any]) -> Layer:
    return Layer(Kind.OPTION, values, lambda name: f"option {name}")


def parse_options(given: Iterable[str], known: Collection[str]) -> dict[str, Any]:
    """``NAME=VALUE`` words as values, ``kafka.OPTION=VALUE`` as entries of the table.

    Raises UsageError ``settings-invalid`` for another form, ``setting-unknown`` for a name that is none.
    """
    values: dict[str, Any] = {}
    for word in given:
        name, equals, value = word.partition("=")
        whole, _, entry = name.strip().partition(".")
        whole = whole.replace("-", "_")
        if not equals or (whole == TABLE) != bool(entry):
            form = f"{TABLE}.OPTION=VALUE" if whole == TABLE else "NAME=VALUE"
            raise UsageError("settings-invalid", f"{word!r} is not {form}", hint="for example rest_port=8082")
        if whole not in known:
            raise UsageError(
                "setting-unknown", unknown_setting(whole, known), hint="`streamctl config show` lists all settings"
            )
        if entry:
            values.setdefault(TABLE, {})[_option(entry)] = value
        else:
            values[whole] = value
    return values


# ---- the table


def flat(value: Any) -> Any:
    """Nested tables as one, their names joined by dots; "_" in a name means a dot. Anything else is left as it is.

    TOML reads ``security.protocol = "SSL"`` as tables within tables, and a shell allows no dot in a variable.
    """
    return {_option(name): leaf for name, leaf in _leaves(value)} if isinstance(value, dict) else value


def _option(name: str) -> str:
    return name.replace("_", ".")


def _leaves(table: Mapping[str, Any], before: str = "") -> Iterable[tuple[str, Any]]:
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def _names(values: Mapping[str, Any]) -> set[str]:
    """Names of the values, those of the table's entries one by one."""
    table = values.get(TABLE)
    if not isinstance(table, dict):
        return set(values)
    return (set(values) - {TABLE}) | {f"{TABLE}.{name}" for name in table}
