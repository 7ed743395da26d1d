"""Encoded keys and their groups are fixed for life: lane logs and savepoints hold them.

A change of keys.json breaks every job that has state. New vectors may be added; old ones never change.
"""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import pytest

from headrace.common.types import Row
from headrace.graph import keys

VECTORS = json.loads(Path(__file__).with_name("keys.json").read_text(encoding="utf-8"))
NAMES = {
    "Decimal": Decimal,
    "Row": Row,
    "UTC": UTC,
    "date": date,
    "datetime": datetime,
    "nan": float("nan"),
    "time": time,
    "timedelta": timedelta,
    "timezone": timezone,
}


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["key"] for vector in VECTORS])
def test_key_has_the_bytes_and_group_of_its_vector(vector: dict[str, str | int]) -> None:
    key = eval(str(vector["key"]), {"__builtins__": {}}, dict(NAMES, int=int))
    encoded = keys.encode(key)
    assert encoded.hex() == vector["hex"]
    assert keys.key_group(encoded) == vector["group"]
    assert keys.encode(keys.decode(encoded)) == encoded


def test_vectors_reach_every_tag() -> None:
    tags = {bytes.fromhex(vector["hex"])[:1] for vector in VECTORS}
    assert tags == {bytes([tag]) for tag in b"NTFiIfsbdDhnztrR"}
