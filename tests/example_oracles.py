"""What the examples must give, computed the plain way: nothing of the platform or of the jobs' own code is used.

Only the makers of input (examples/shop.py, examples/made_up_hosts.py) are shared with the jobs.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

Row = dict[str, Any]

# ---- word_count.py


def running_counts(lines: Iterable[str]) -> list[tuple[str, int]]:
    """Every word with its count so far."""
    so_far: Counter[str] = Counter()
    found = []
    for word in re.findall(r"\w+", " ".join(lines).lower()):
        so_far[word] += 1
        found.append((word, so_far[word]))
    return found


# ---- monitoring.py


def host_windows(measurements: Iterable[Row], window_ms: int) -> list[Row]:
    """Mean and maximum of each host, metric and window."""
    values: dict[tuple[str, str, int], list[float]] = defaultdict(list)
    for one in measurements:
        values[one["host"], one["metric"], one["at"] // window_ms * window_ms].append(one["value"])
    return [
        {
            "host": host,
            "metric": metric,
            "start": start,
            "end": start + window_ms,
            "mean": round(sum(group) / len(group), 3),
            "max": max(group),
        }
        for (host, metric, start), group in values.items()
    ]


def host_alerts(windows: Iterable[Row], limits: Mapping[str, tuple[float, float]]) -> list[Row]:
    """Every change between raised and clear. ``limits``: of each metric, raised above and cleared below."""
    found = []
    ordered = sorted(windows, key=lambda row: (row["host"], row["metric"], row["start"]))
    for (host, metric), rows in groupby(ordered, key=lambda row: (row["host"], row["metric"])):
        above, below = limits[metric]
        raised = False
        for row in rows:
            # In between, whatever was stays.
            now = True if row["mean"] > above else False if row["mean"] < below else raised
            if now is not raised:
                found.append(
                    {
                        "state": "RAISED" if now else "CLEARED",
                        "host": host,
                        "metric": metric,
                        "at": row["end"],
                        "mean": row["mean"],
                        "limit": above if now else below,
                    }
                )
            raised = now
    return found


# ---- analytics.py

MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
GAP_MS = 30 * MINUTE_MS
PAGES_OF_NO_PRODUCT = ("home", "cart", "checkout", "order")


def shop_products(events: Iterable[Row]) -> list[Row]:
    """Units and revenue of each product and hour."""
    sold: dict[tuple[str, int], list[Row]] = defaultdict(list)
    for event in events:
        if event["kind"] == "order":
            sold[event["product"], event["at"] // HOUR_MS].append(event)
    return [
        {
            "product": product,
            "hour": _utc(hour * HOUR_MS),
            "units": sum(order["units"] for order in orders),
            "revenue": sum(order["cents"] for order in orders) / 100,
        }
        for (product, hour), orders in sold.items()
    ]


def shop_visits(events: Iterable[Row]) -> list[list[Row]]:
    """The events of each visit in order: a user's events with less than the gap between each two."""
    visits: list[list[Row]] = []
    for event in sorted(events, key=lambda event: (event["user"], event["at"])):
        last = visits[-1][-1] if visits else None
        if last and last["user"] == event["user"] and event["at"] - last["at"] <= GAP_MS:
            visits[-1].append(event)
        else:
            visits.append([event])
    return visits


def shop_sessions(visits: Iterable[Sequence[Row]]) -> list[Row]:
    """One row for each visit."""
    return [
        {
            "user": visit[0]["user"],
            "new": visit[0]["kind"] == "user",
            "start": _utc(visit[0]["at"]),
            "seconds": (visit[-1]["at"] - visit[0]["at"]) // 1000,
            "path": _path(visit),
            "stage": _stage(_path(visit)),
        }
        for visit in visits
    ]


def shop_funnel(visits: Iterable[Sequence[Row]]) -> list[Row]:
    """Visits of each day, counted on the day on which their gap ended."""
    stages: dict[tuple[bool, int], list[str]] = defaultdict(list)
    for visit in visits:
        day = (visit[-1]["at"] + GAP_MS - 1) // DAY_MS
        stages[visit[0]["kind"] == "user", day].append(_stage(_path(visit)))
    return [
        {
            "visitors": "new" if new else "known",
            "day": _utc(day * DAY_MS)[:10],
            "visit": len(found),
            "product": sum(stage != "visit" for stage in found),
            "cart": sum(stage in ("cart", "checkout", "order") for stage in found),
            "checkout": sum(stage in ("checkout", "order") for stage in found),
            "order": found.count("order"),
        }
        for (new, day), found in stages.items()
    ]


def _path(visit: Sequence[Row]) -> list[str]:
    return [event.get("page", "order") for event in visit if event["kind"] != "user"]


def _stage(path: Sequence[str]) -> str:
    for page in ("order", "checkout", "cart"):
        if page in path:
            return page
    return "product" if set(path) - set(PAGES_OF_NO_PRODUCT) else "visit"


def _utc(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")


# ---- keyed_count.py and running_totals.py


def views_per_window(events: Iterable[Row], window_ms: int) -> list[Row]:
    """Views of each user and window."""
    counts = Counter(
        (event["user"], event["ts"] // window_ms * window_ms) for event in events if event["kind"] == "view"
    )
    return [{"user": user, "start": start, "count": count} for (user, start), count in counts.items()]


def every_fiftieth_total(events: Iterable[Row]) -> list[Row]:
    """The running total of the event's user at each event with an id of 50, 100, ...; others than gains count not."""
    totals: Counter[str] = Counter()
    found = []
    for event in events:
        if event["amount"] > 0:
            totals[event["user"]] += event["amount"]
            if event["id"] % 50 == 0:
                found.append({**event, "amount": totals[event["user"]]})
    return found


def sorted_rows(rows: Iterable[Any]) -> list[Any]:
    """For comparing what comes in no promised order: the same rows, each as often."""
    return sorted(rows, key=repr)
