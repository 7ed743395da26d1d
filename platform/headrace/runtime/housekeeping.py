"""Once a second, for all lanes of a worker: position hints out, readers' hints in, old records trimmed, new
partitions of sources found.

Nothing here is needed for correct results: hints feed backpressure and lag tools, trimming frees disk. Every
call may fail and is simply made again the next second.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterable
from typing import Any

from headrace.log.lane import LaneConnection, LogError, Split
from headrace.runtime.kafka_input import KafkaInput
from headrace.runtime.lane import Lane
from headrace.runtime.lane_contract import Phase
from headrace.runtime.lane_parts import TaskParts

PERIOD_S = 1.0
TRIM_PERIOD_S = 10.0
CALL_TIMEOUT_S = 5.0

log = logging.getLogger(__name__)


class Housekeeping:
    """The thread beside the lanes."""

    def __init__(
        self,
        connection: LaneConnection,
        lanes: Callable[[], Iterable[tuple[TaskParts, Lane]]],
        clock: Callable[[], float],
    ) -> None:
        self._connection = connection
        self._lanes = lanes
        self._clock = clock
        self._trim_due_s = clock() + TRIM_PERIOD_S
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="housekeeping", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()

    def _run(self) -> None:
        while not self._stop.wait(PERIOD_S):
            lanes = [(parts, lane) for parts, lane in self._lanes() if lane.phase is Phase.RUNNING]
            self._try(self._fetch_hints, lanes)
            if self._clock() >= self._trim_due_s:
                self._trim_due_s = self._clock() + TRIM_PERIOD_S
                self._try(self._trim, lanes)
            self._try(self._send_hints, lanes)
            self._try(self._discover, lanes)

    def _try(self, job: Callable[..., None], *arguments: Any) -> None:
        """One job that may fail without the others: a group or topic of the user's may be closed to us."""
        try:
            job(*arguments)
        except LogError as error:
            log.debug("%s: %s", job.__name__, error)
        except Exception:  # noqa: BLE001 - a supervisor: the thread must live on, and say what happened
            log.exception("%s", job.__name__)

    def _send_hints(self, lanes: list[tuple[TaskParts, Lane]]) -> None:
        groups: dict[str, dict[Split, tuple[int, str]]] = {}
        for parts, lane in lanes:
            committed = lane.committed
            for split, edge in parts.input_splits.items():
                offset = committed.positions.get(f"{split[0]}/{split[1]}")
                if offset is None:
                    continue
                metadata = json.dumps(committed.seen.get(edge, {})) if edge else ""
                group = parts.hint_group if edge else parts.source_group
                if group:
                    groups.setdefault(group, {})[split] = (offset, metadata)
        for group, hints in groups.items():
            self._try(self._connection.commit_hints, group, hints, CALL_TIMEOUT_S)

    def _fetch_hints(self, lanes: list[tuple[TaskParts, Lane]]) -> None:
        wanted: dict[str, set[Split]] = {}
        for parts, _ in lanes:
            wanted.setdefault(parts.hint_group, set()).update(parts.output_splits)
        for group, splits in wanted.items():
            if not splits:
                continue
            hints = self._connection.hints(group, sorted(splits), CALL_TIMEOUT_S)
            for parts, lane in lanes:
                for split in parts.output_splits:
                    if parts.hint_group == group and split in hints and hints[split][1]:
                        seen = json.loads(hints[split][1])
                        if (c := seen.get(str(parts.lane))) is not None:
                            lane.backpressure.read_up_to(split, c)

    def _discover(self, lanes: list[tuple[TaskParts, Lane]]) -> None:
        for parts, _ in lanes:
            if isinstance(parts.inputs, KafkaInput):
                self._try(parts.inputs.discover, self._connection)

    def _trim(self, lanes: list[tuple[TaskParts, Lane]]) -> None:
        before: dict[Split, int] = {}
        for parts, lane in lanes:
            committed = lane.committed
            for split, edge in parts.input_splits.items():
                offset = committed.positions.get(f"{split[0]}/{split[1]}", 0)
                if edge and offset > 0:
                    before[split] = offset
            if committed.snapshot_from > 0:
                before[parts.log_of(self._connection).split] = committed.snapshot_from
        if before:
            self._connection.delete_before(before, CALL_TIMEOUT_S)
