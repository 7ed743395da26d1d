"""Where a Kafka source starts and ends: rules of the JobGraph resolved to offsets, once for each lane."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from headrace.log.lane import LaneConnection, Split
from headrace.runtime.kafka_splits import names, split_name


class StartPositionError(Exception):
    """A start or stop position of a Kafka source cannot be resolved. A restart meets it again."""


def starting(
    connection: LaneConnection, splits: Sequence[Split], rule: Mapping[str, Any], group: str, timeout_s: float
) -> dict[Split, int]:
    """First offset of each split. An offset that is missing or not in the partition follows the rule's ``reset``.

    Raises StartPositionError when that is "none", LogError when nobody answers.
    """
    if rule["kind"] not in ("offsets", "committed"):
        return _plain(connection, splits, rule, timeout_s)
    given = _given(connection, splits, rule, group, timeout_s)
    bounds = {split: connection.bounds(*split, timeout_s) for split in splits}
    usable = {split: offset for split, offset in given.items() if bounds[split][0] <= offset <= bounds[split][1]}
    return _reset(splits, usable, bounds, rule)


def stopping(
    connection: LaneConnection, splits: Sequence[Split], rule: Mapping[str, Any], group: str, timeout_s: float
) -> dict[Split, int]:
    """The offset before which each split ends; one that is not there yet is waited for.

    Raises as ``starting``.
    """
    if rule["kind"] not in ("offsets", "committed"):
        return _plain(connection, splits, rule, timeout_s)
    given = _given(connection, splits, rule, group, timeout_s)
    bounds = {split: connection.bounds(*split, timeout_s) for split in splits if split not in given}
    return _reset(splits, given, bounds, rule)


def _plain(
    connection: LaneConnection, splits: Sequence[Split], rule: Mapping[str, Any], timeout_s: float
) -> dict[Split, int]:
    match rule["kind"]:
        case "timestamp":
            return dict(connection.offsets_for_time(splits, int(rule["timestamp_ms"]), timeout_s))
        case "earliest":
            return {split: connection.bounds(*split, timeout_s)[0] for split in splits}
        case "latest":
            return {split: connection.bounds(*split, timeout_s)[1] for split in splits}
        case kind:
            raise StartPositionError(f"unknown position rule {kind!r}")


def _given(
    connection: LaneConnection, splits: Sequence[Split], rule: Mapping[str, Any], group: str, timeout_s: float
) -> dict[Split, int]:
    if rule["kind"] == "committed":
        return {split: offset for split, (offset, _) in connection.hints(group, splits, timeout_s).items()}
    named: Mapping[str, int] = rule.get("offsets") or {}
    return {split: named[split_name(split)] for split in splits if split_name(split) in named}


def _reset(
    splits: Sequence[Split],
    usable: Mapping[Split, int],
    bounds: Mapping[Split, tuple[int, int]],
    rule: Mapping[str, Any],
) -> dict[Split, int]:
    reset = rule.get("reset", "earliest")
    missing = [split for split in splits if split not in usable]
    if missing and reset == "none":
        raise StartPositionError(
            f"no usable {rule['kind']} offset for {names(missing)}, and the reset strategy is NONE"
        )
    return {split: usable[split] if split in usable else bounds[split][reset == "latest"] for split in splits}
