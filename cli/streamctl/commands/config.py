"""``streamctl config show`` and ``streamctl config explain``: settings, their values, and where these stand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from streamctl.options import JsonOption, SetOption, output_of
from streamctl.speaking import SpeakingCommand, SpeakingGroup

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic import JsonValue
    from rich.console import RenderableType

    from headrace.setting_facts import Fact, Found, Standing

config = typer.Typer(
    cls=SpeakingGroup,
    rich_markup_mode=None,
    help="Show the settings and where each comes from.",
    no_args_is_help=True,
)

#: Settings that commands have an option of their own for; any other is given to a process as ``--set NAME=VALUE``.
OPTIONS = {
    "namespace": "--namespace",
    "bootstrap": "--bootstrap",
    "redis": "--redis",
    "rest": "--rest",
    "rest_host": "--rest-host",
    "rest_port": "--rest-port",
    "slots": "--slots",
    "taskmanager_id": "--id",
}


@config.command("show", cls=SpeakingCommand)
def show_config(context: typer.Context, set_: SetOption = None, json: JsonOption = False) -> None:
    """Show every setting's value here and now, and where it comes from. Passwords are not printed."""
    from headrace.setting_facts import found
    from headrace.setting_sources import config_files, parse_options, unknown_variables
    from headrace.settings import Settings

    values = found(parse_options(set_ or (), Settings.model_fields))
    files = config_files()
    unknown = unknown_variables(Settings.model_fields)
    output = output_of(context)
    report: dict[str, JsonValue] = {
        "settings": [{"name": each.name, **_standing_json(each.now)} for each in values],
        "files": [{"path": str(path), "exists": path.exists()} for path in files],
        "unknown_variables": [*unknown],
    }
    output.result(report, _values_page(values, files))
    for name in unknown:
        output.note(f"{name} is set and is no setting" + _meant(name))


@config.command("explain", cls=SpeakingCommand)
def explain_config(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="As in a file, or as a variable or option.")],
    set_: SetOption = None,
    json: JsonOption = False,
) -> None:
    """Explain one setting: what it is for, what it takes, how to give it, its value and what that replaces."""
    from headrace.setting_facts import fact, found, name_of
    from headrace.setting_sources import parse_options
    from headrace.settings import Settings

    about = fact(name_of(name))
    values = found(parse_options(set_ or (), Settings.model_fields))
    now = next((each for each in values if each.name == about.name), None)
    report: dict[str, JsonValue] = {
        "name": about.name,
        "description": about.description,
        "type": about.type,
        "unit": about.unit,
        "default": about.default,
        "variable": about.variable,
        "option": option_of(about.name),
        **(_standing_json(now.now) if now else {"value": None, "from": "default", "where": "default"}),
        "replaces": [_standing_json(each) for each in now.replaced] if now else [],
    }
    output_of(context).result(report, _page(about, now))


def option_of(name: str) -> str:
    """How a process is given a setting on its command line."""
    return OPTIONS.get(name, f"--set {name}=VALUE")


def _standing_json(standing: Standing) -> dict[str, JsonValue]:
    return {"value": _plain(standing.value), "from": standing.kind.value, "where": standing.place}


def _plain(value: object) -> JsonValue:
    """As JSON has it; a table's entries too."""
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _text(value: object) -> str:
    from streamctl.render import NOTHING

    if isinstance(value, float):
        return f"{value:g}"
    return NOTHING if value is None else str(value)


def _values_page(values: list[Found], files: list[Path]) -> RenderableType:
    """The table, then the files by their numbers: a path in every row would leave no room for values."""
    from rich.text import Text

    from headrace.setting_sources import Kind
    from streamctl.render import facts, plain_table, sections

    def short(place: str) -> str:
        path, _, line = place.rpartition(":")
        return next((f"file {n}, line {line}" for n, each in enumerate(files, 1) if str(each) == path), place)

    table = plain_table("SETTING", "FROM", "VALUE")
    for each in values:
        style = "dim" if each.now.kind is Kind.DEFAULT else ""
        table.add_row(each.name, Text(short(each.now.place), style=style), Text(_text(each.now.value), style=style))
    if not files:
        return table
    rows: list[tuple[str, RenderableType]] = [
        (f"file {n}", Text(str(path) + ("" if path.exists() else " (none)"))) for n, path in enumerate(files, 1)
    ]
    return sections(table, facts(rows))


def _page(about: Fact, now: Found | None) -> RenderableType:
    from streamctl.render import facts

    example = (
        f'[{about.name.partition(".")[0]}] "{about.name.partition(".")[2]}"' if "." in about.name else about.name
    )
    rows: list[tuple[str, RenderableType]] = [
        ("setting", about.name),
        ("what", about.description),
        ("takes", about.type + (f", in {about.unit}" if about.unit else "")),
        ("default", _text(about.default)),
        ("in a file", example),
        ("variable", about.variable),
        ("option", option_of(about.name)),
    ]
    if now is not None:
        rows.append(("value", f"{_text(now.now.value)}  ({now.now.place})"))
        rows += [("replaces", f"{_text(each.value)}  ({each.place})") for each in now.replaced]
    return facts(rows)


def _meant(variable: str) -> str:
    """The variable that was probably meant."""
    import difflib

    from headrace.setting_facts import facts

    close = difflib.get_close_matches(variable, [each.variable for each in facts()], n=1, cutoff=0.8)
    return f"; did you mean {close[0]}?" if close else ""
