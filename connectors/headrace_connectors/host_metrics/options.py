"""Options of the host metrics source."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from headrace.datastream.connectors.options import ConnectorOptions

Group = Literal["cpu", "memory", "disk", "network"]
GROUPS: tuple[Group, ...] = ("cpu", "memory", "disk", "network")


class HostMetricsOptions(ConnectorOptions):
    """What is measured, how often, and in which form."""

    interval_ms: int = Field(1_000, ge=100, le=3_600_000, description="time from one sample to the next")
    metrics: tuple[Group, ...] = Field(GROUPS, min_length=1, description="what is measured")
    layout: Literal["sample", "metric"] = Field(
        "sample", description="one record for each sample, or one for each number in it"
    )
    samples: int | None = Field(None, ge=1, description="the source ends after so many; without it, never")
    disk_path: str = Field("/", min_length=1, description="the file system whose space is measured")
    host: str | None = Field(None, min_length=1, description="the host's name in the records; without it, its own")

    @field_validator("metrics")
    @classmethod
    def _each_once(cls, metrics: tuple[Group, ...]) -> tuple[Group, ...]:
        if len(set(metrics)) < len(metrics):
            raise ValueError("a metric is named twice")
        return metrics
