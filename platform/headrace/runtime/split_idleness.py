"""Which splits of a source lane have been silent for so long that they no longer hold its watermark. Pure."""

from __future__ import annotations

from collections.abc import Collection


class SplitIdleness:
    """``idleness_ms`` 0: no split is ever idle."""

    def __init__(self, idleness_ms: int) -> None:
        self.on = idleness_ms > 0
        self._after_s = idleness_ms / 1000
        self._heard_s: dict[str, float] = {}
        self._fresh: set[str] = set()

    def heard(self, split: str) -> None:
        """Records of ``split`` came."""
        self._fresh.add(split)

    def idle(self, splits: Collection[str], now_s: float) -> set[str]:
        """Those of ``splits`` that have been silent; the time of one never asked for before begins now."""
        if not self.on:
            return set()
        for split in splits:
            if split in self._fresh or split not in self._heard_s:
                self._heard_s[split] = now_s
        self._fresh.clear()
        return {split for split in splits if now_s - self._heard_s[split] >= self._after_s}
