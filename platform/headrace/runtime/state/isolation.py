"""Private copies of mutable values, so that what a user holds and what a table holds are never one object.

A table must be able to go back to what it held before (an aborted commit), and an output that waits for its
commit must not change when the state it came from does. Values of immutable types are shared; flat containers
of such values are copied directly; anything else takes a round trip through pickle.
"""

from __future__ import annotations

import datetime
import decimal
import pickle
import types
import uuid
from copy import copy
from typing import Any

import cloudpickle

from headrace.common.typed_row import TypedRow, astuple
from headrace.common.types import Row
from headrace.errors import UsageError

#: Types whose values never change and hold no values that do. Exact: a subclass may carry anything.
ATOMS: frozenset[type] = frozenset(
    {
        bool,
        bytes,
        complex,
        datetime.date,
        datetime.datetime,
        datetime.time,
        datetime.timedelta,
        decimal.Decimal,
        float,
        int,
        str,
        types.NoneType,
        uuid.UUID,
    }
)
_all_atoms = ATOMS.issuperset


def isolated(value: Any) -> Any:
    """``value`` itself when it cannot change, else a copy that shares nothing that can.

    Raises UsageError ``state-unpicklable`` for a value that cannot be copied, and so could not be kept either.
    """
    kind = type(value)
    if kind in ATOMS:
        return value
    if kind is tuple:
        if _all_atoms(map(type, value)):
            return value
    elif kind is dict:
        if _all_atoms(map(type, value.values())) and _all_atoms(map(type, value)):
            return value.copy()
    elif kind is list:
        if _all_atoms(map(type, value)):
            return value.copy()
    elif kind is Row:
        values = value[:]
        if _all_atoms(map(type, values)):
            return Row.of(value.field_names(), values)
    elif issubclass(kind, TypedRow) and _all_atoms(map(type, astuple(value))):
        return copy(value)
    return pickle.loads(dumps(value))


def dumps(value: Any) -> bytes:
    """Pickle 5; classes that exist only in the user's script travel by value, as their functions do.

    Raises UsageError ``state-unpicklable`` naming what cannot be kept.
    """
    try:
        return pickle.dumps(value, protocol=5)
    except (pickle.PicklingError, TypeError, AttributeError, RecursionError):
        pass
    try:
        return cloudpickle.dumps(value, protocol=5)  # type: ignore[no-any-return]
    except (pickle.PicklingError, TypeError, AttributeError, RecursionError) as error:
        raise UsageError(
            "state-unpicklable",
            f"a value of type {type(value).__qualname__} cannot be kept as state: {error}",
            hint="keep plain data (numbers, text, tuples, dicts, dataclasses) and rebuild connections in open()",
        ) from error
