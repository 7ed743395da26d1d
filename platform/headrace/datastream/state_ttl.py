"""StateTtlConfig: how long state lives after it was last written, or read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from headrace.common.call_site import wrong
from headrace.common.time import Duration, Time

__all__ = ["StateTtlConfig"]


@dataclass(frozen=True)
class StateTtlConfig:
    """Made by ``StateTtlConfig.new_builder(ttl)...build()`` and given to ``StateDescriptor.enable_time_to_live``.

    Time is the time of day where the lane runs. Elements of a list and entries of a map live and die each for itself.
    What has expired is removed when it is met, and by a sweep that looks at a few other entries at each access, so
    that state of keys that do not come again does not stay; ``disable_cleanup_in_background`` switches that off.
    """

    class UpdateType(Enum):
        """What makes state live on for another TTL."""

        Disabled = 0  #: it lives for ever
        OnCreateAndWrite = 1
        OnReadAndWrite = 2

    class StateVisibility(Enum):
        """Whether state past its TTL may still be seen."""

        ReturnExpiredIfNotCleanedUp = 0  #: once: the read that finds it removes it
        NeverReturnExpired = 1

    class TtlTimeCharacteristic(Enum):
        """The clock that TTL goes by."""

        ProcessingTime = 0

    ttl: Time | Duration
    update_type: UpdateType = UpdateType.OnCreateAndWrite
    state_visibility: StateVisibility = StateVisibility.NeverReturnExpired
    cleanup_size: int = 5  #: entries that each access looks at; 0: no sweep

    @staticmethod
    def new_builder(ttl: Time | Duration) -> StateTtlConfig.Builder:
        """State lives for ``ttl``, above 0."""
        return StateTtlConfig.Builder(ttl)

    def get_update_type(self) -> UpdateType:
        return self.update_type

    def get_state_visibility(self) -> StateVisibility:
        return self.state_visibility

    def get_ttl(self) -> Time | Duration:
        return self.ttl

    def get_ttl_time_characteristic(self) -> TtlTimeCharacteristic:
        return TtlTimeCharacteristic.ProcessingTime

    def is_enabled(self) -> bool:
        return self.update_type is not UpdateType.Disabled

    class Builder:
        """Collects the settings; each method gives the builder."""

        def __init__(self, ttl: Time | Duration) -> None:
            self._config = StateTtlConfig(_positive(ttl))

        def set_update_type(self, update_type: UpdateType) -> StateTtlConfig.Builder:
            if not isinstance(update_type, UpdateType):
                raise wrong(f"set_update_type() takes a StateTtlConfig.UpdateType, not {update_type!r:.60}")
            return self._with(update_type=update_type)

        def update_ttl_on_create_and_write(self) -> StateTtlConfig.Builder:
            return self.set_update_type(UpdateType.OnCreateAndWrite)

        def update_ttl_on_read_and_write(self) -> StateTtlConfig.Builder:
            return self.set_update_type(UpdateType.OnReadAndWrite)

        def set_state_visibility(self, state_visibility: StateVisibility) -> StateTtlConfig.Builder:
            if not isinstance(state_visibility, StateVisibility):
                raise wrong(
                    f"set_state_visibility() takes a StateTtlConfig.StateVisibility, not {state_visibility!r:.60}"
                )
            return self._with(state_visibility=state_visibility)

        def return_expired_if_not_cleaned_up(self) -> StateTtlConfig.Builder:
            return self.set_state_visibility(StateVisibility.ReturnExpiredIfNotCleanedUp)

        def never_return_expired(self) -> StateTtlConfig.Builder:
            return self.set_state_visibility(StateVisibility.NeverReturnExpired)

        def set_ttl_time_characteristic(self, characteristic: TtlTimeCharacteristic) -> StateTtlConfig.Builder:
            """There is one only: processing time."""
            return self

        def use_processing_time(self) -> StateTtlConfig.Builder:
            return self

        def set_ttl(self, ttl: Time | Duration) -> StateTtlConfig.Builder:
            return self._with(ttl=_positive(ttl))

        def cleanup_full_snapshot(self) -> StateTtlConfig.Builder:
            """Nothing more to do: what has expired is removed by the sweep."""
            return self

        def cleanup_incrementally(
            self, cleanup_size: int, run_cleanup_for_every_record: bool = False
        ) -> StateTtlConfig.Builder:
            """Look at so many entries at each access (at least 1)."""
            if type(cleanup_size) is not int or cleanup_size < 1:
                raise wrong(f"cleanup_incrementally() takes a number of entries above 0, not {cleanup_size!r:.60}")
            return self._with(cleanup_size=cleanup_size)

        def cleanup_in_rocksdb_compact_filter(
            self, query_time_after_num_entries: int = 1000
        ) -> StateTtlConfig.Builder:
            """There is no RocksDB here; the sweep does it."""
            return self

        def disable_cleanup_in_background(self) -> StateTtlConfig.Builder:
            """Remove only what an access meets."""
            return self._with(cleanup_size=0)

        def build(self) -> StateTtlConfig:
            return self._config

        def _with(self, **changes: object) -> StateTtlConfig.Builder:
            self._config = replace(self._config, **changes)  # type: ignore[arg-type]
            return self


UpdateType = StateTtlConfig.UpdateType
StateVisibility = StateTtlConfig.StateVisibility
TtlTimeCharacteristic = StateTtlConfig.TtlTimeCharacteristic


def _positive(ttl: Time | Duration) -> Time | Duration:
    if not isinstance(ttl, (Time, Duration)) or ttl.to_milliseconds() <= 0:
        raise wrong(
            f"the TTL of a state must be a Time or a Duration above 0, such as Time.hours(1), not {ttl!r:.60}"
        )
    return ttl
