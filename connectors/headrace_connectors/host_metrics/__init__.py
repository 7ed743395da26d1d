"""CPU, memory, disk and network of a machine, as a source of records; README.md says how to use it."""

from __future__ import annotations

from headrace_connectors.host_metrics.options import HostMetricsOptions
from headrace_connectors.host_metrics.source import HostMetricsSource

__all__ = ["HostMetricsOptions", "HostMetricsSource"]
