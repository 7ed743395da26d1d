"""What user functions are given: the runtime context of ``open``, and callables out of what the user wrote."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NoReturn

from headrace.clock import now_ms
from headrace.datastream.functions import Function, KeyedStateStore, RuntimeContext
from headrace.metrics import MetricGroup, MetricRegistry


@dataclass(frozen=True)
class Task:
    """Where functions run."""

    name: str
    lane: int
    lanes: int
    attempt: int = 0
    origin: str = "job-1"  #: job and incarnation, for names outside of the log
    clock_ms: Callable[[], int] = now_ms
    metrics: MetricRegistry = field(default_factory=MetricRegistry)


class UnkeyedStore:
    """Stands where keyed state would be in functions that have none."""

    def __init__(self, why: str = "needs a keyed stream: call key_by() before this function") -> None:
        self._why = why

    def __getattr__(self, name: str) -> NoReturn:
        raise RuntimeError(f"{name}() {self._why}")


class LaneRuntimeContext(RuntimeContext):
    """RuntimeContext of one function in one lane."""

    def __init__(self, task: Task, store: KeyedStateStore | UnkeyedStore, operator: str) -> None:
        """``operator``: its name, for its metrics."""
        self._task = task
        self._operator = operator
        self._store: Any = store

    def get_metrics_group(self) -> MetricGroup:
        return self._task.metrics.group(self._operator)

    def get_task_name(self) -> str:
        return self._task.name

    def get_number_of_parallel_subtasks(self) -> int:
        return self._task.lanes

    def get_index_of_this_subtask(self) -> int:
        return self._task.lane

    def get_attempt_number(self) -> int:
        return self._task.attempt

    def get_state(self, state_descriptor: Any) -> Any:
        return self._store.get_state(state_descriptor)

    def get_list_state(self, state_descriptor: Any) -> Any:
        return self._store.get_list_state(state_descriptor)

    def get_map_state(self, state_descriptor: Any) -> Any:
        return self._store.get_map_state(state_descriptor)

    def get_reducing_state(self, state_descriptor: Any) -> Any:
        return self._store.get_reducing_state(state_descriptor)

    def get_aggregating_state(self, state_descriptor: Any) -> Any:
        return self._store.get_aggregating_state(state_descriptor)


def call_of(function: Any, method: str) -> Any:
    """The callable of a role: the function itself, or the method of a function object."""
    return getattr(function, method) if isinstance(function, Function) or hasattr(function, method) else function


def open_function(function: Any, context: RuntimeContext) -> None:
    if isinstance(function, Function):
        function.open(context)


def close_function(function: Any) -> None:
    if isinstance(function, Function):
        function.close()
