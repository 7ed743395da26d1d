"""No job: measurements of three hosts that do not exist, for monitoring.py --synthetic SEED.

The same seed and index give the same measurement, in every process. Each metric of a host stays for a while on one
of three levels (calm, near its limit, above it), with some noise.
"""

import random

HOSTS = ("web-1", "web-2", "db-1")
LEVELS = {"cpu_percent": (25, 70, 95), "memory_percent": (40, 87, 96), "disk_percent": (50, 88, 95)}
SPELL_S = 20
START_MS = 1_772_409_600_000  # 2026-03-02 00:00 UTC

SERIES = [(host, metric) for host in HOSTS for metric in LEVELS]


def measurement(seed, index):
    """The measurement of that number, counted from 0: each second, one of every metric of every host."""
    second, number = divmod(index, len(SERIES))
    host, metric = SERIES[number]
    level = random.Random(f"{seed} {host} {metric} {second // SPELL_S}").choice(LEVELS[metric])
    noise = random.Random(f"{seed} {index}").uniform(-3, 3)
    return {"host": host, "at": START_MS + second * 1000, "metric": metric, "value": round(level + noise, 1)}
