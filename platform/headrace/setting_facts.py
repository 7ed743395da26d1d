"""What there is to say about each setting: its definition, and its value now with the place it comes from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from annotated_types import Ge, Le

from headrace.errors import UsageError
from headrace.setting_sources import PREFIX, TABLE, Kind, unknown_setting, variable_of
from headrace.settings import Settings, given_options, layers_of, load_settings, shown


@dataclass(frozen=True)
class Fact:
    """One setting as it is defined. ``unit`` is "" where there is none, ``default`` None for unset."""

    name: str
    description: str
    type: str
    unit: str
    default: str | None
    variable: str


@dataclass(frozen=True)
class Standing:
    """A value, and where it stands."""

    value: Any
    kind: Kind
    place: str


@dataclass(frozen=True)
class Found:
    """A setting's value now. ``replaced``: weaker values of the same setting, the strongest first."""

    name: str
    now: Standing
    replaced: tuple[Standing, ...] = ()


_TYPES = {int: "whole number", float: "number", Path: "path", dict: "table of text"}


def fact(name: str) -> Fact:
    """Of one setting, or of an entry of the table. Raises UsageError ``setting-unknown``."""
    whole, _, entry = name.partition(".")
    field = Settings.model_fields.get(whole)
    if field is None or (entry and whole != TABLE):
        raise UsageError(
            "setting-unknown",
            unknown_setting(name, Settings.model_fields),
            hint="`streamctl config show` lists all settings",
        )
    if entry:
        variable = f"{PREFIX}{TABLE.upper()}__{entry.upper().replace('.', '_')}"
        return Fact(name, f"librdkafka's option {entry}, for every client.", "text", "", None, variable)
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    default = extra.get("default", None if field.default_factory else field.default)
    return Fact(
        name=name,
        description=field.description or "",
        type=_type(field.annotation, field.metadata),
        unit=str(extra.get("unit", "")),
        default=None if default is None else str(default),
        variable=variable_of(whole),
    )


def facts() -> list[Fact]:
    """Of all settings, in the order of their definition."""
    return [fact(name) for name in Settings.model_fields]


def name_of(text: str) -> str:
    """A setting's name from what somebody typed: its name, its variable or its option."""
    if text.upper().startswith(PREFIX):
        whole, _, entry = text[len(PREFIX) :].lower().partition("__")
        return f"{whole}.{entry.replace('_', '.')}" if entry else whole
    whole, dot, entry = text.removeprefix("--").partition(".")
    return whole.lower().replace("-", "_") + dot + entry


def found(options: Mapping[str, Any] | None = None) -> list[Found]:
    """Every setting's value now, entries of the table one by one. Raises UsageError as ``load_settings`` does."""
    settings = load_settings(options)
    standings = _standings(given_options(options))
    return [
        Found(name, Standing(shown(name, value), *_place(standings.get(name))), _weaker(standings.get(name)))
        for name, value in _values(settings)
    ]


def _values(settings: Settings) -> Iterator[tuple[str, Any]]:
    for name in Settings.model_fields:
        value = getattr(settings, name)
        if name == TABLE and value:
            yield from ((f"{TABLE}.{entry}", value[entry]) for entry in sorted(value))
        else:
            yield name, None if value == {} else value


def _standings(options: Mapping[str, Any]) -> dict[str, list[Standing]]:
    """Setting to all its values, the strongest first."""
    standings: dict[str, list[Standing]] = {}
    for layer in reversed(layers_of(options)):
        for name in layer.names():
            whole, _, entry = name.partition(".")
            value = layer.values[whole][entry] if entry else layer.values[whole]
            standings.setdefault(name, []).append(Standing(shown(name, value), layer.kind, layer.place(name)))
    return standings


def _place(standings: list[Standing] | None) -> tuple[Kind, str]:
    return (standings[0].kind, standings[0].place) if standings else (Kind.DEFAULT, Kind.DEFAULT.value)


def _weaker(standings: list[Standing] | None) -> tuple[Standing, ...]:
    return tuple(standings[1:]) if standings else ()


def _type(annotation: Any, metadata: list[Any]) -> str:
    plain = next((word for kind, word in _TYPES.items() if annotation is kind), None)
    if plain is None and getattr(annotation, "__origin__", None) is dict:
        plain = _TYPES[dict]
    low = next((each.ge for each in metadata if isinstance(each, Ge)), None)
    high = next((each.le for each in metadata if isinstance(each, Le)), None)
    bounds = "" if low is None else f", at least {low}" if high is None else f", {low} to {high}"
    return (plain or "text") + bounds
