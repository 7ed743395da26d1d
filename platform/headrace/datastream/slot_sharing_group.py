"""SlotSharingGroup and MemorySize: which operators would share a slot, and what it would need.

Here all lanes of a job share its slots: groups are kept with the program and change nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

__all__ = ["MemorySize", "SlotSharingGroup"]


@dataclass(frozen=True, order=True)
class MemorySize:
    """A number of bytes."""

    bytes_size: int

    @staticmethod
    def of_mebi_bytes(mebi_bytes: int) -> MemorySize:
        return MemorySize(mebi_bytes << 20)

    def get_bytes(self) -> int:
        return self.bytes_size

    def get_kibi_bytes(self) -> int:
        return self.bytes_size >> 10

    def get_mebi_bytes(self) -> int:
        return self.bytes_size >> 20

    def get_gibi_bytes(self) -> int:
        return self.bytes_size >> 30

    def get_tebi_bytes(self) -> int:
        return self.bytes_size >> 40


@dataclass(frozen=True)
class SlotSharingGroup:
    """A name and what its slot would need; made by ``SlotSharingGroup.builder(name)...build()``."""

    name: str
    cpu_cores: float | None = None
    task_heap_memory: MemorySize | None = None
    task_off_heap_memory: MemorySize | None = None
    managed_memory: MemorySize | None = None

    @staticmethod
    def builder(name: str) -> SlotSharingGroup.Builder:
        return SlotSharingGroup.Builder(name)

    def get_name(self) -> str:
        return self.name

    def get_cpu_cores(self) -> float | None:
        return self.cpu_cores

    def get_task_heap_memory(self) -> MemorySize | None:
        return self.task_heap_memory

    def get_task_off_heap_memory(self) -> MemorySize | None:
        return self.task_off_heap_memory

    def get_managed_memory(self) -> MemorySize | None:
        return self.managed_memory

    class Builder:
        """Collects the needs; each method gives the builder."""

        def __init__(self, name: str) -> None:
            self._group = SlotSharingGroup(name)

        def set_cpu_cores(self, cpu_cores: float) -> SlotSharingGroup.Builder:
            self._group = replace(self._group, cpu_cores=cpu_cores)
            return self

        def set_task_heap_memory(self, memory: MemorySize) -> SlotSharingGroup.Builder:
            self._group = replace(self._group, task_heap_memory=memory)
            return self

        def set_task_heap_memory_mb(self, mega_bytes: int) -> SlotSharingGroup.Builder:
            return self.set_task_heap_memory(MemorySize.of_mebi_bytes(mega_bytes))

        def set_task_off_heap_memory(self, memory: MemorySize) -> SlotSharingGroup.Builder:
            self._group = replace(self._group, task_off_heap_memory=memory)
            return self

        def set_managed_memory(self, memory: MemorySize) -> SlotSharingGroup.Builder:
            self._group = replace(self._group, managed_memory=memory)
            return self

        def build(self) -> SlotSharingGroup:
            return self._group
