"""Windows of a keyed stream whose trigger, or whose assigner, is the program's: Flink's rules to the letter.

For each element: its windows, its coming into each that is not over, the trigger's word. For each timer of a
window: the trigger's word, and the window's end when it is the time for that. Each step looks up state by key and
window, which costs several times what the windows of ``window``, ``session`` and ``count_window`` cost.

    table ``pane-timers``, ``pane-processing-timers``   {time: {(window, key): None}}
    tables ``trigger-...``                              state of the trigger, by (window, key)
    tables ``assigner-...``                             state of the assigner, by key
    tables of ``panes``                                 contents
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Sequence
from typing import Any

from headrace.datastream.assigner import ENDLESS, MergingWindowAssigner, WindowAssigner
from headrace.datastream.functions import RuntimeContext
from headrace.datastream.trigger import Trigger, TriggerResult
from headrace.errors import UsageError
from headrace.graph.keys import state_key
from headrace.runtime.operators.evaluation import Evaluation, Fired, event_time_missing
from headrace.runtime.operators.panes import MergingWindows, Panes
from headrace.runtime.operators.trigger_context import TriggerCalls
from headrace.runtime.ports import MIN_WATERMARK
from headrace.runtime.state.due import Timers
from headrace.runtime.state.keyed import CurrentKey
from headrace.runtime.state.store import TableStateStore
from headrace.runtime.state.tables import Tables


class _AssignerContext(WindowAssigner.WindowAssignerContext):
    def __init__(self, clock_ms: Callable[[], int], runtime_context: RuntimeContext) -> None:
        self._clock_ms = clock_ms
        self._runtime_context = runtime_context

    def get_current_processing_time(self) -> int:
        return self._clock_ms()

    def get_runtime_context(self) -> RuntimeContext:
        return self._runtime_context


class TriggeredWindowOperator:
    """The head of a vertex. ``emit(value, time_ms)`` takes what timers fire."""

    def __init__(
        self,
        assigner: WindowAssigner[Any, Any],
        trigger: Trigger[Any, Any],
        lateness_ms: int,
        tables: Tables,
        uid: str,
        evaluation: Evaluation,
        emit: Callable[[Any, int | None], None],
        clock_ms: Callable[[], int],
        current: CurrentKey,
        assigner_context: RuntimeContext,
    ) -> None:
        self.watermark = MIN_WATERMARK
        self.late_dropped = 0
        self.behind = False  #: a firing was cut short, or a restart came into it
        self._backlog: dict[Any, list[tuple[int, int, Any]]] | None = None
        self._order = itertools.count()  #: decides between equal times: windows need have no order
        self._assigner = assigner
        self._event_time = assigner.is_event_time()
        self._lateness_ms = lateness_ms if self._event_time else 0
        self._evaluation = evaluation
        evaluation.watermark = lambda: self.watermark
        self._emit = emit
        self._clock_ms = clock_ms
        self._now_ms = 0
        self._current = current
        self._assigner_context = _AssignerContext(self._now, assigner_context)
        self._timers = Timers(tables.table(f"{uid}/pane-timers"))
        self._processing_timers = Timers(tables.table(f"{uid}/pane-processing-timers"))
        self._panes = Panes(evaluation.accumulation, tables, uid)
        self._merging: MergingWindows | None = None
        if isinstance(assigner, MergingWindowAssigner):
            self._merging = MergingWindows(assigner, self._panes, tables, uid)
        pane_key = CurrentKey()
        store = TableStateStore(tables, uid, pane_key, "trigger-", clock_ms)
        self._trigger = TriggerCalls(
            trigger, store, pane_key, self._timers, self._processing_timers, lambda: self.watermark, self._now
        )

    # ---- elements

    def add_rows(self, keys: Sequence[Any], values: Sequence[Any], times: Sequence[Any]) -> Fired:
        """Take the rows of one message; what elements made fire, and those too late for all their windows."""
        if self._event_time and None in times:
            raise event_time_missing()
        fired: Fired = []
        for key, value, time in zip(keys, values, times, strict=True):
            if type(key) is not str:
                key = state_key(key)
            if self.behind:
                fired += self._settle(key)
            self._add(key, value, MIN_WATERMARK if time is None else time, fired)
        return fired

    def _add(self, key: Any, value: Any, time: int, fired: Fired) -> None:
        self._current.state_key = key
        too_late = True
        for window in self._assigner.assign_windows(value, time, self._assigner_context):
            name = window
            if self._merging is not None:
                window = self._merging.add(key, window, lambda into, parts: self._merged(key, into, parts))
                name = self._merging.name(key, window)
            if self._is_over(window):
                if self._merging is not None:
                    self._merging.retire(key, window)
                continue
            too_late = False
            self._panes.add(name, key, value)
            result = self._trigger.on_element(value, time, window, key)
            self._act(result, key, window, name, None if time == MIN_WATERMARK else time, fired)
            self._register_end(window, key)
        if too_late and self._event_time and time + self._lateness_ms <= self.watermark:
            if self._evaluation.late_tag is None:
                self.late_dropped += 1
            else:
                fired.append(((self._evaluation.late_tag, value), time))

    def _merged(self, key: Any, window: Any, parts: list[Any]) -> None:
        self._trigger.on_merge(window, parts, key)
        for part in parts:
            self._trigger.clear(part, key)
            end = self._end(part)
            self._timers.delete(end, (part, key))
            self._processing_timers.delete(end, (part, key))

    def _act(self, result: TriggerResult, key: Any, window: Any, name: Any, time: int | None, fired: Fired) -> None:
        """Do what the trigger said. ``time``: of the element or timer it said it at."""
        if type(result) is not TriggerResult:
            raise UsageError(
                "function-result-invalid",
                f"the trigger {self._trigger.name} answered {result!r:.80}",
                hint="return TriggerResult.CONTINUE, FIRE, PURGE or FIRE_AND_PURGE from each on_ method",
            )
        if result.is_fire() and (results := self._panes.results(name, key)) is not None:
            last: Any = window.max_timestamp()
            if last == ENDLESS:
                last = time
            fired += [(value, last) for value in self._evaluation.outputs(key, window, None, results)]
        if result.is_purge():
            self._panes.clear(name, key)

    # ---- the end of windows

    def _end(self, window: Any) -> int:
        """When nothing of the window is kept any more: its lateness has passed."""
        last: int = window.max_timestamp()
        return min(last + self._lateness_ms, ENDLESS)

    def _is_over(self, window: Any) -> bool:
        return self._event_time and self._end(window) <= self.watermark

    def _register_end(self, window: Any, key: Any) -> None:
        end = self._end(window)
        if end != ENDLESS:
            timers = self._timers if self._event_time else self._processing_timers
            timers.register(end, (window, key))

    # ---- timers

    def advance(self, watermark_ms: int, rows_max: int) -> bool:
        """Fire timers up to the watermark; False when ``rows_max`` firings were reached first."""
        self.watermark = watermark_ms
        for _ in range(rows_max):
            timer = self._timers.pop(watermark_ms)
            if timer is None:
                self.behind, self._backlog = False, None
                return True
            for value, time_ms in self._fire(*timer, event_time=True):
                self._emit(value, time_ms)
        self.behind = True
        return False

    def tick(self, rows_max: int) -> bool:
        """Fire the timers that the clock has passed, ``rows_max`` at most; False when there is none."""
        passed_ms = self._now() - 1  # a moment has passed when the clock shows the next
        fired = False
        for _ in range(rows_max):
            timer = self._processing_timers.pop(passed_ms)
            if timer is None:
                break
            fired = True
            for value, time_ms in self._fire(*timer, event_time=False):
                self._emit(value, time_ms)
        return fired

    def _fire(self, time: int, pane: tuple[Any, Any], *, event_time: bool) -> Fired:
        fired: Fired = []
        window, key = pane
        name = window if self._merging is None else self._merging.name(key, window)
        if name is None:
            return fired  # its window is over, or has merged, and its trigger did not take it back
        self._current.state_key = key
        on_time = self._trigger.on_event_time if event_time else self._trigger.on_processing_time
        result = on_time(time, window, key)
        self._act(result, key, window, name, time if event_time else None, fired)
        if event_time == self._event_time and time == self._end(window):
            self._panes.clear(name, key)
            self._trigger.clear(window, key)
            if self._evaluation.clears:
                self._evaluation.over(key, window, None)
            if self._merging is not None:
                self._merging.retire(key, window)
        return fired

    def _settle(self, key: Any) -> Fired:
        """A restart came into a long firing: what is left of it for this key comes before its next element."""
        if self._backlog is None:
            self._backlog = {}
            for time, (window, its_key) in self._timers.due(self.watermark):
                self._backlog.setdefault(its_key, []).append((time, next(self._order), window))
        waiting = self._backlog.pop(key, None)
        fired: Fired = []
        if waiting is None:
            return fired

        def also(time: int, window: Any) -> None:
            if time <= self.watermark:
                heapq.heappush(waiting, (time, next(self._order), window))

        self._trigger.registered = also
        while waiting:
            time, _, window = heapq.heappop(waiting)
            if self._timers.holds(time, (window, key)):
                self._timers.delete(time, (window, key))
                fired += self._fire(time, (window, key), event_time=True)
        self._trigger.registered = None
        return fired

    def _now(self) -> int:
        self._now_ms = max(self._now_ms, self._clock_ms())
        return self._now_ms
