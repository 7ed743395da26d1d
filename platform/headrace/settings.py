"""Settings of every process, from (strongest first) arguments, HEADRACE_* variables, a TOML file.

Code takes the values it needs from here at its entry point; nothing below an entry point sees this class.
"""

from __future__ import annotations

from pathlib import Path

from platformdirs import user_cache_path, user_state_path
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """All settings with their defaults. Units stand last in a name."""

    model_config = SettingsConfigDict(env_prefix="HEADRACE_", env_nested_delimiter="__", extra="ignore")

    namespace: str = Field("headrace", description="prefix of all control topics and Redis keys")
    bootstrap: str | None = Field(None, description="Kafka bootstrap servers; unset: the embedded cluster")
    redis: str | None = Field(None, description="Redis URL; unset: the embedded cluster")
    rest: str | None = Field(None, description="base URL of a Dispatcher's REST; unset: the embedded cluster")
    kafka: dict[str, str] = Field(
        default_factory=dict, description="extra librdkafka options for every client (TLS, SASL)"
    )
    state_dir: Path = Field(
        default_factory=lambda: user_state_path("headrace"), description="clusters, logs, identities"
    )
    cache_dir: Path = Field(
        default_factory=lambda: user_cache_path("headrace"), description="jars, AOT cache, code packages"
    )
    maven_repo: str | None = Field(None, description="Maven repository for Kafka's jars; unset: jgo's default")
    rest_host: str = "127.0.0.1"
    rest_port: int = 8081
    control_partitions: int = Field(
        16, ge=1, le=1000, description="partitions of the control topics, when they are first created"
    )
    session_timeout_s: float = Field(
        6.0,
        ge=1,
        le=60,
        description="a Dispatcher silent for this long is replaced; brokers refuse less than 6 by default",
    )
    job_retention_s: float = Field(
        86_400, ge=1, description="an ended job's id, result and view are kept this long; topics of a failed one too"
    )
