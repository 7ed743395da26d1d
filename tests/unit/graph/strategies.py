"""Hypothesis strategies for keys: every type of the closed set, nested ones too."""

from __future__ import annotations

from datetime import timedelta, timezone
from typing import Any

from hypothesis import strategies as st

from headrace.common.types import Row

offsets = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
scalars: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(2**200), 2**200),
    st.floats(),
    st.text(st.characters(exclude_categories=["Cs"])),
    st.binary(),
    st.decimals(),
    st.dates(),
    st.times(),
    st.datetimes(),
    st.datetimes(timezones=offsets).filter(lambda moment: 1 < moment.year < 9999),
)
names = st.lists(st.text("abcde", min_size=1), unique=True, max_size=4)
keys: st.SearchStrategy[Any] = st.recursive(
    scalars,
    lambda items: st.one_of(
        st.lists(items, max_size=4).map(tuple),
        st.lists(items, max_size=4).map(lambda values: Row(*values)),
        names.flatmap(lambda fields: st.tuples(*[items for _ in fields]).map(lambda values: Row.of(fields, values))),
    ),
    max_leaves=8,
)
