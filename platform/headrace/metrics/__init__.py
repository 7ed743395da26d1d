"""Metrics of user functions, by PyFlink's names: from ``RuntimeContext.get_metrics_group()``, called in ``open``.

    counter        how many: inc, dec
    meter          how many, and how many a second over the last minute: mark_event
    gauge          whatever a function gives when it is asked, a number; about once a second
    distribution   of whole numbers: how many, their sum, least and greatest

They are shown for each lane by ``streamctl show JOB --json``, REST and /metrics. They belong to the lane's present
start and begin at zero with the next; what is read again after a failure counts again. No result should rest on them.
"""

from __future__ import annotations

from headrace.metrics.group import METRICS_MAX, Counter, Distribution, Meter, MetricGroup, MetricRegistry

__all__ = ["METRICS_MAX", "Counter", "Distribution", "Meter", "MetricGroup", "MetricRegistry"]
