"""A source of made-up records: a function of the record's number, at a rate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from headrace.common.call_site import wrong
from headrace.common.typeinfo import TypeInformation, Types
from headrace.datastream.connectors.base import Source
from headrace.datastream.functions import MapFunction
from headrace.datastream.transformation import checked_function, function_name
from headrace.graph.job_graph import OperatorKind

__all__ = ["DataGeneratorSource", "RateLimiterStrategy"]


@dataclass(frozen=True)
class RateLimiterStrategy:
    """How fast records are made; make one with ``per_second`` or ``no_op``."""

    records_per_s: float | None = None

    @classmethod
    def per_second(cls, records_per_second: float) -> RateLimiterStrategy:
        """So many records a second from all lanes of the source together, spread evenly over the second."""
        if type(records_per_second) not in (int, float) or not 0 < records_per_second < float("inf"):
            raise wrong(f"per_second() takes a number above 0, not {records_per_second!r:.60}")
        return cls(float(records_per_second))

    @classmethod
    def no_op(cls) -> RateLimiterStrategy:
        """As fast as they can be taken."""
        return cls()


class DataGeneratorSource(Source):
    """``generator_function(index)`` for the indexes 0, 1, 2, ...; the end after ``count`` of them.

    Not in PyFlink; as in Flink's Java API, without a count there is no end. Indexes are dealt to the source's lanes
    in turn, so that all lanes are about equally far. A function that depends on its index only gives the same
    records again after a failure, and so each record counts exactly once. A source that had to wait (for readers,
    or for a restart) goes on at its rate and makes up for one second at most.
    """

    kind = OperatorKind.DATAGEN_SOURCE

    def __init__(
        self,
        generator_function: MapFunction | Callable[[int], Any],
        count: int | None = None,
        rate_limiter_strategy: RateLimiterStrategy | None = None,
        type_info: TypeInformation | None = None,
    ) -> None:
        self._generate = checked_function("DataGeneratorSource", generator_function, MapFunction, lambdas=True)
        if count is not None and (type(count) is not int or count < 1):
            raise wrong(f"a DataGeneratorSource's count must be a whole number from 1 or None, not {count!r:.60}")
        limiter = RateLimiterStrategy.no_op() if rate_limiter_strategy is None else rate_limiter_strategy
        if not isinstance(limiter, RateLimiterStrategy):
            raise wrong(f"a rate is given as RateLimiterStrategy.per_second(n), not {rate_limiter_strategy!r:.60}")
        if type_info is not None and not isinstance(type_info, TypeInformation):
            raise wrong(f"a declared type must come from Types, such as Types.STRING(), not {type_info!r:.80}")
        self._count = count
        self._limiter = limiter
        self._type = type_info or Types.PICKLED_BYTE_ARRAY()

    def describe(self) -> str:
        return function_name(self._generate) or "data generator"

    def produced_type(self) -> TypeInformation:
        return self._type

    def params(self) -> dict[str, Any]:
        return {"count": self._count, "rate_per_s": self._limiter.records_per_s}

    def functions(self) -> dict[str, Any]:
        return {"generate": self._generate}
