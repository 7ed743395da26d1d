"""What the engine's sources and sinks have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from enum import StrEnum
from typing import Any

from headrace.common.typeinfo import TypeInformation
from headrace.graph.job_graph import OperatorKind

__all__ = ["DeliveryGuarantee", "Sink", "Source"]


class DeliveryGuarantee(StrEnum):
    """What a sink promises when the job fails and goes on."""

    EXACTLY_ONCE = "exactly-once"  #: each record once, for readers of committed records
    AT_LEAST_ONCE = "at-least-once"  #: each record, some more than once
    NONE = "none"


class Connector(ABC):
    """An operator of the engine with its settings."""

    kind: OperatorKind

    @abstractmethod
    def describe(self) -> str:
        """A name for people, such as the topic's."""

    @abstractmethod
    def params(self) -> dict[str, Any]:
        """Settings as they stand in a JobGraph."""

    def functions(self) -> dict[str, Any]:
        """The user's functions by role."""
        return {}


class Source(Connector):
    """Where records come from; for ``StreamExecutionEnvironment.from_source``."""

    @abstractmethod
    def produced_type(self) -> TypeInformation:
        """The declared type of the records."""


class Sink(Connector):
    """Where records go; for ``DataStream.sink_to``."""
