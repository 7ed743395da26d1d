"""Settings of every process, from (strongest first) options, HEADRACE_* variables, TOML files, defaults.

An entry point calls ``load_settings`` once and hands on the values that are needed; nothing below an entry point
sees this class. docs/settings.md lists them all.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from platformdirs import user_cache_path, user_state_path
from pydantic import BeforeValidator, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from headrace.errors import UsageError
from headrace.setting_sources import (
    CONFIG_VARIABLE,
    PREFIX,
    TABLE,
    Layer,
    Variables,
    file_layers,
    flat,
    option_layer,
    variable_layer,
    variable_of,
)

#: librdkafka's options that are never printed.
_SECRET_OPTION = re.compile(r"password|secret|passphrase|key\.pem|oauthbearer\.config|private\.key")
_URL_PASSWORD = re.compile(r"(?<=://)([^/@:]*):[^/@]*(?=@)")
HIDDEN = "***"


def shown(name: str, value: Any) -> Any:
    """A value as people may see it: passwords in URLs and secret Kafka options are replaced."""
    if isinstance(value, dict):
        return {entry: shown(f"{name}.{entry}", each) for entry, each in value.items()}
    if value is not None and _is_secret(name):
        return HIDDEN
    return _URL_PASSWORD.sub(rf"\1:{HIDDEN}", value) if isinstance(value, str) else value


def _kafka_options(value: Any) -> Any:
    """librdkafka takes text only: numbers and true or false are written as it wants them."""
    options = flat(value)
    if not isinstance(options, dict):
        return options
    for name, option in options.items():
        if not isinstance(option, (str, int, float)):
            raise ValueError(f"{TABLE}.{name} must be text, a number, or true or false")
    return {
        name: str(option).lower() if isinstance(option, bool) else str(option) for name, option in options.items()
    }


class Settings(BaseSettings):
    """All settings with their defaults. Units stand last in a name."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
    )

    namespace: str = Field(
        "headrace",
        min_length=1,
        max_length=100,
        pattern=r"^[A-Za-z0-9._-]+$",
        description="Prefix of all control topics and Redis keys. Clusters that share a Kafka differ in it.",
    )
    bootstrap: str | None = Field(
        None, description="Kafka bootstrap servers, HOST:PORT with commas between. Unset: the local cluster's."
    )
    redis: str | None = Field(
        None,
        description="Redis URL, redis:// or rediss:// (TLS). For Dispatchers and TaskManagers. Unset: the local"
        " cluster's.",
    )
    rest: str | None = Field(
        None, description="Base URL of a Dispatcher's REST, for streamctl. Unset: the local cluster's, or port 8081."
    )
    kafka: Annotated[dict[str, str], BeforeValidator(_kafka_options)] = Field(
        default_factory=dict,
        description="Options of librdkafka for every client (TLS, SASL, tuning). Also one by one:"
        " HEADRACE_KAFKA__SASL_PASSWORD is sasl.password.",
    )
    state_dir: Path = Field(
        default_factory=lambda: user_state_path("headrace"),
        json_schema_extra={"default": "~/.local/state/headrace"},
        description="Local clusters, a TaskManager's identity, output of its workers. Must outlive restarts.",
    )
    cache_dir: Path = Field(
        default_factory=lambda: user_cache_path("headrace"),
        json_schema_extra={"default": "~/.cache/headrace"},
        description="Packages and virtual environments of jobs, Kafka's jars. May be removed while nothing runs.",
    )
    maven_repo: str | None = Field(
        None, description="Maven repository for the local cluster's Kafka. Unset: Maven's central one."
    )
    rest_host: str = Field(
        "127.0.0.1",
        description="Address that a Dispatcher's REST listens on. 0.0.0.0 or :: for all, behind a firewall.",
    )
    rest_port: int = Field(8081, ge=0, le=65_535, description="Port of a Dispatcher's REST. 0: any free one.")
    rest_token: str | None = Field(
        None,
        min_length=8,
        description="Bearer token that a Dispatcher's REST demands and streamctl sends. Unset: none, for this machine"
        " only.",
        json_schema_extra={"secret": True},
    )
    slots: int = Field(
        4,
        ge=1,
        le=256,
        description="Slots of a TaskManager: worker processes at most, each of them for one job.",
        json_schema_extra={"unit": "slots"},
    )
    taskmanager_id: str | None = Field(
        None, description="A TaskManager's stable id. Unset: one is made and kept in state_dir."
    )
    control_partitions: int = Field(
        16,
        ge=1,
        le=1000,
        description="Partitions of the control topics when they are first made. The jobs are spread over the"
        " Dispatchers by them. Never changed later.",
        json_schema_extra={"unit": "partitions"},
    )
    session_timeout_s: float = Field(
        6.0,
        ge=1,
        le=60,
        description="A Dispatcher silent for this long is replaced. Brokers refuse less than 6 by default.",
        json_schema_extra={"unit": "seconds"},
    )
    job_retention_s: float = Field(
        86_400,
        ge=1,
        description="An ended job's id, result and view are kept this long; topics of a failed one too.",
        json_schema_extra={"unit": "seconds"},
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        files = (InitSettingsSource(settings_cls, dict(layer.values)) for layer in file_layers(cls.model_fields))
        return (init_settings, Variables(settings_cls), *reversed(list(files)))

    def __repr_args__(self) -> Any:
        """What an exception or a debugger shows holds no password."""
        yield from ((name, shown(name, value)) for name, value in super().__repr_args__() if name is not None)


def _is_secret(name: str) -> bool:
    if name.startswith(f"{TABLE}."):
        return _SECRET_OPTION.search(name) is not None
    extra = Settings.model_fields[name].json_schema_extra
    return isinstance(extra, dict) and bool(extra.get("secret"))


def load_settings(options: Mapping[str, Any] | None = None) -> Settings:
    """The settings of this process; ``options`` are the strongest, those that are None say nothing.

    Raises UsageError: ``settings-file``, ``setting-unknown``, or ``settings-invalid`` naming every wrong value
    and where it stands.
    """
    given = given_options(options)
    try:
        return Settings(**given)
    except SettingsError as error:
        raise _invalid(f"{variable_of(TABLE)}: not a JSON object: {error.__cause__}") from None
    except ValidationError as error:
        layers = layers_of(given)
        raise _invalid("; ".join(_wrong(each, layers) for each in error.errors(include_url=False))) from None


def given_options(options: Mapping[str, Any] | None) -> dict[str, Any]:
    """Those that say something, the table's entries under librdkafka's names."""
    given = {name: value for name, value in (options or {}).items() if value is not None}
    if TABLE in given:
        given[TABLE] = flat(given[TABLE])
    return given


def layers_of(options: Mapping[str, Any]) -> list[Layer]:
    """Every source, the weakest first. Raises as ``load_settings`` does."""
    return [
        *file_layers(Settings.model_fields),
        variable_layer(Variables(Settings)),
        option_layer(options),
    ]


def environment_of(settings: Settings) -> dict[str, str]:
    """Variables that give a process started from here these settings, whatever files there are.

    Without ``kafka``: its options may hold passwords, and belong to one cluster.
    """
    names = settings.model_fields_set - {TABLE}
    values = {name: getattr(settings, name) for name in sorted(names)}
    return {CONFIG_VARIABLE: ""} | {
        variable_of(name): str(value) for name, value in values.items() if value is not None
    }


def _invalid(message: str) -> UsageError:
    return UsageError("settings-invalid", message, hint="`streamctl config explain NAME` tells what a setting takes")


def _wrong(error: Any, layers: list[Layer]) -> str:
    """One wrong value: where it stands, and what is wrong with it."""
    name = str(error["loc"][0]) if error["loc"] else ""
    message = str(error["msg"]).removeprefix("Value error, ")
    for layer in reversed(layers):
        if name in layer.values:
            place = layer.place(name)
            return f"{place}: {message}" if place == variable_of(name) else f"{place}: {name}: {message}"
    return f"{name}: {message}"
