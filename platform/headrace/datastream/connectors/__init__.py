"""Sources and sinks that are part of the engine, and the port for those of your own."""

from __future__ import annotations

from headrace.datastream.connectors.base import DeliveryGuarantee, Sink, Source
from headrace.datastream.connectors.polling import Batch, PollingSource, SplitReader

__all__ = ["Batch", "DeliveryGuarantee", "PollingSource", "Sink", "Source", "SplitReader"]
