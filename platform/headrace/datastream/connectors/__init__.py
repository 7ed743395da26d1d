"""Sources and sinks that are part of the engine."""

from __future__ import annotations

from headrace.datastream.connectors.base import DeliveryGuarantee, Sink, Source

__all__ = ["DeliveryGuarantee", "Sink", "Source"]
