"""Keys: canonical bytes, key groups, and what is refused."""

from __future__ import annotations

import math
import subprocess
import sys
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal, localcontext
from enum import Enum, IntEnum, StrEnum
from typing import Any, NamedTuple

import pytest
from hypothesis import given

from headrace.common.types import Row
from headrace.graph import keys
from headrace.graph.keys import UnsupportedKeyError, decode, encode

from .strategies import keys as any_key


def same(left: Any, right: Any) -> bool:
    """Equality of keys as the module promises it, written a second time: type first, then value."""
    if type(left) is not type(right):
        return False
    if isinstance(left, Row):
        return left.field_names() == right.field_names() and same(tuple(left), tuple(right))
    if isinstance(left, tuple):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, float):
        return left == right or (math.isnan(left) and math.isnan(right))
    if isinstance(left, Decimal):
        return (left.is_nan() and right.is_nan()) or (not left.is_nan() and not right.is_nan() and left == right)
    if isinstance(left, datetime) and (left.tzinfo is None) != (right.tzinfo is None):
        return False
    return bool(left == right)


@given(any_key)
def test_roundtrip_gives_the_same_key_in_normal_form(key: Any) -> None:
    data = encode(key)
    normal = decode(data)
    assert same(normal, key)
    assert encode(normal) == data


@given(any_key, any_key)
def test_bytes_are_equal_exactly_when_keys_are(left: Any, right: Any) -> None:
    assert (encode(left) == encode(right)) == same(left, right)


@given(any_key, any_key)
def test_no_encoded_key_begins_another(left: Any, right: Any) -> None:
    first, second = encode(left), encode(right)
    assert first == second or not second.startswith(first)


@given(any_key)
def test_truncated_and_extended_bytes_are_refused(key: Any) -> None:
    data = encode(key)
    with pytest.raises(ValueError, match="encoded key"):
        decode(data[:-1])
    with pytest.raises(ValueError, match="follow an encoded key"):
        decode(data + b"N")


@given(any_key)
def test_state_key_gives_the_key_back(key: Any) -> None:
    held = keys.state_key(key)
    assert type(held) is (str if type(key) is str else bytes)
    assert same(keys.key_of_state(held), key)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (0.0, -0.0),
        (float("nan"), -float("nan")),
        (Decimal("1.0"), Decimal("1.00")),
        (Decimal("100"), Decimal("1E2")),
        (Decimal("0E5"), Decimal("-0.00")),
        (Decimal("NaN123"), Decimal("-sNaN")),
        (datetime(2013, 1, 1, 12, tzinfo=UTC), datetime(2013, 1, 1, 17, tzinfo=timezone(timedelta(hours=5)))),
        (datetime(2013, 11, 3, 1), datetime(2013, 11, 3, 1, fold=1)),
        ("ab" * 3, "".join(["ab"] * 3)),
    ],
)
def test_equal_keys_have_equal_bytes(left: Any, right: Any) -> None:
    assert encode(left) == encode(right)
    assert encode((left, 1)) == encode((right, 1))


def test_keys_of_different_types_differ() -> None:
    one = [True, 1, 1.0, Decimal(1), "1", b"1", (1,), Row(1), Row(a=1), Row(b=1)]
    moments = [datetime(2013, 1, 1), datetime(2013, 1, 1, tzinfo=UTC), date(2013, 1, 1), time(0)]
    encoded = {encode(key) for key in one + moments}
    assert len(encoded) == len(one + moments)


def test_decimal_is_exact_whatever_the_context() -> None:
    long = Decimal("1234567890123456789012345678901234567890.5")
    with localcontext() as context:
        context.prec = 3
        assert encode(long) == encode(Decimal(str(long)))
    assert decode(encode(long)) == long


class Colour(Enum):
    RED = "red"


class Name(StrEnum):
    RED = "red"


class Number(IntEnum):
    ONE = 1


class Point(NamedTuple):
    x: int


class Money(Decimal):
    pass


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ([1], "list cannot be a key; use tuple(key)"),
        ({"a": 1}, "dict cannot be a key; use tuple(sorted(key.items())), or one of its fields"),
        ({1}, "set cannot be a key; use tuple(sorted(key))"),
        (bytearray(b"a"), "bytearray cannot be a key; use bytes(key)"),
        (timedelta(1), "datetime.timedelta cannot be a key; use key / timedelta(microseconds=1)"),
        (Colour.RED, "Colour cannot be a key; use its .value or .name"),
        (Name.RED, "Name cannot be a key; use its .value or .name"),
        (Number.ONE, "Number cannot be a key; use its .value or .name"),
        (Point(1), "Point cannot be a key; use tuple(key)"),
        (Money(1), "Money cannot be a key; use Decimal(key)"),
        (object(), "object cannot be a key; a key is None, bool, int, float, str, bytes, Decimal"),
        ((1, ["x"]), "list cannot be a key"),
        (Row(a={}), "dict cannot be a key"),
        (time(1, tzinfo=UTC), "a time with an offset cannot be a key"),
        (datetime.min.replace(tzinfo=timezone(timedelta(hours=1))), "outside the years 1 to 9999"),
        ("\ud800", "half of a surrogate pair"),
        ("x" * 70_000, "a key of 70004 bytes (type str) is over 65536"),
    ],
)
def test_refused_keys_are_named_with_what_to_use(key: Any, says: str) -> None:
    with pytest.raises(UnsupportedKeyError) as caught:
        encode(key)
    assert says in str(caught.value)


def test_depth_is_bounded() -> None:
    key: Any = 1
    for _ in range(keys.KEY_DEPTH_MAX):
        key = (key,)
    assert decode(encode(key)) == key
    with pytest.raises(UnsupportedKeyError, match="nested over 32 deep"):
        encode((key,))


@pytest.mark.parametrize("data", [b"", b"x", b"i\0", b"s\x05ab", b"s\x01\xff", b"d\x01x", b"D\0\0\0\0", b"t\x02N"])
def test_bytes_that_encode_no_key_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"encoded key"):
        decode(data)


def test_lanes_share_the_groups_evenly_and_in_order() -> None:
    for lanes in range(1, 65):
        owners = [keys.lane_of_group(group, lanes) for group in range(keys.KEY_GROUPS)]
        assert owners == sorted(owners)
        assert set(owners) == set(range(lanes))
        counts = [owners.count(lane) for lane in range(lanes)]
        assert max(counts) - min(counts) <= 1


def test_import_stays_light() -> None:
    """Every slot worker imports this at its start."""
    code = "import sys, headrace.graph.keys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert not {"pydantic", "asyncio", "confluent_kafka", "cloudpickle"} & set(loaded)
