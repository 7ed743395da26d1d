"""What can be said of the operator just added: name, uid, parallelism, chaining."""

from __future__ import annotations

from typing import Self

from headrace.common.call_site import wrong
from headrace.common.execution_config import ExecutionConfig
from headrace.common.unused_settings import unused
from headrace.datastream.slot_sharing_group import SlotSharingGroup
from headrace.datastream.transformation import Transformation
from headrace.graph.stream_graph import Chaining


class OperatorSettings:
    """Name, uid, parallelism and chaining of the operator just added."""

    _operator: Transformation | None

    def _settings(self, method: str) -> Transformation:
        if self._operator is None:
            raise wrong(
                f"{method}() belongs right after the operator it is for; this is a {type(self).__name__} made by "
                "union(), key_by() or a change of partitioning"
            )
        return self._operator

    def name(self, name: str) -> Self:
        """Name the operator for people: dashboard, metrics, error messages."""
        self._settings("name").set_name(name)
        return self

    def uid(self, uid: str) -> Self:
        """Name the operator's state; unique in the job, and not to change while the state is wanted."""
        self._settings("uid").set_uid(uid)
        return self

    def set_parallelism(self, parallelism: int) -> Self:
        """Run the operator in so many lanes and slots (1 to 64), whatever the program's default."""
        self._settings("set_parallelism").set_parallelism(parallelism)
        return self

    def force_non_parallel(self) -> Self:
        """Run the operator in one lane, whatever the program's parallelism."""
        self._settings("force_non_parallel").set_parallelism(1)
        return self

    def set_max_parallelism(self, max_parallelism: int) -> Self:
        """Kept: every operator has 128 key groups; ``pipeline.lanes`` says how far it can be spread later."""
        self._settings("set_max_parallelism")
        ExecutionConfig().set_max_parallelism(max_parallelism)
        return self

    def set_description(self, description: str) -> Self:
        """Name the operator for people, as ``name``."""
        self._settings("set_description").set_name(description)
        return self

    def set_uid_hash(self, uid_hash: str) -> Self:
        """Name the operator's state, as ``uid``."""
        self._settings("set_uid_hash").set_uid(uid_hash)
        return self

    def slot_sharing_group(self, slot_sharing_group: str | SlotSharingGroup) -> Self:
        """Kept: all lanes of a job share its slots."""
        self._settings("slot_sharing_group")
        unused("slot_sharing_group()", "all lanes of a job share its slots")
        return self

    def start_new_chain(self) -> Self:
        """Keep the operator apart from the one before it: an exchange comes between."""
        self._settings("start_new_chain").chaining = Chaining.HEAD
        return self

    def disable_chaining(self) -> Self:
        """Keep the operator apart from the ones before and after it."""
        self._settings("disable_chaining").chaining = Chaining.NEVER
        return self
