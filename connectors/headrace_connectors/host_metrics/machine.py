"""What the operating system counts, and what two countings say about the time between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psutil


@dataclass(frozen=True)
class Reading:
    """Counters as they stood at ``at_s`` (monotonic). A counter that this system does not have is None."""

    at_s: float
    cpu_busy_s: float
    cpu_total_s: float
    load_1m: float
    memory_used_bytes: int
    memory_total_bytes: int
    disk_used_percent: float
    disk_read_bytes: int | None
    disk_written_bytes: int | None
    network_received_bytes: int | None
    network_sent_bytes: int | None


class Machine:
    """This machine, as psutil sees it."""

    def __init__(self, disk_path: str) -> None:
        self._disk_path = disk_path

    def read(self, at_s: float) -> Reading:
        """All counters now. Raises OSError when the file system is not there."""
        cpu, memory = psutil.cpu_times(), psutil.virtual_memory()
        disk, network = psutil.disk_io_counters(), psutil.net_io_counters()
        waiting = cpu.idle + getattr(cpu, "iowait", 0.0)
        # Guests are counted in user and nice already.
        total = sum(cpu) - getattr(cpu, "guest", 0.0) - getattr(cpu, "guest_nice", 0.0)
        return Reading(
            at_s=at_s,
            cpu_busy_s=total - waiting,
            cpu_total_s=total,
            load_1m=psutil.getloadavg()[0],
            memory_used_bytes=memory.total - memory.available,
            memory_total_bytes=memory.total,
            disk_used_percent=psutil.disk_usage(self._disk_path).percent,
            disk_read_bytes=None if disk is None else disk.read_bytes,
            disk_written_bytes=None if disk is None else disk.write_bytes,
            network_received_bytes=None if network is None else network.bytes_recv,
            network_sent_bytes=None if network is None else network.bytes_sent,
        )


def measured(before: Reading, after: Reading, groups: Sequence[str]) -> dict[str, Any]:
    """The numbers of a sample by name: as of ``after``, rates over the time since ``before``."""
    seconds = max(after.at_s - before.at_s, 1e-3)

    def rate(earlier: int | None, later: int | None) -> float | None:
        if earlier is None or later is None:
            return None
        return round(max(0, later - earlier) / seconds, 1)

    numbers: dict[str, Any] = {}
    if "cpu" in groups:
        total_s = after.cpu_total_s - before.cpu_total_s
        share = (after.cpu_busy_s - before.cpu_busy_s) / total_s if total_s > 0 else 0.0
        numbers["cpu_percent"] = round(100 * min(1.0, max(0.0, share)), 1)
        numbers["load_1m"] = round(after.load_1m, 2)
    if "memory" in groups:
        numbers["memory_percent"] = round(100 * after.memory_used_bytes / after.memory_total_bytes, 1)
        numbers["memory_used_bytes"] = after.memory_used_bytes
    if "disk" in groups:
        numbers["disk_percent"] = after.disk_used_percent
        numbers["disk_read_bytes_per_s"] = rate(before.disk_read_bytes, after.disk_read_bytes)
        numbers["disk_written_bytes_per_s"] = rate(before.disk_written_bytes, after.disk_written_bytes)
    if "network" in groups:
        numbers["network_received_bytes_per_s"] = rate(before.network_received_bytes, after.network_received_bytes)
        numbers["network_sent_bytes_per_s"] = rate(before.network_sent_bytes, after.network_sent_bytes)
    return numbers
