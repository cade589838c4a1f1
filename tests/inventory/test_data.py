"""Data of several files as one (rolecall.inventory.data)."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from rolecall.inventory.data import merge

TABLES = st.recursive(
    st.dictionaries(st.sampled_from("abc"), st.integers() | st.none(), max_size=3),
    lambda below: st.dictionaries(st.sampled_from("abc"), st.integers() | below, max_size=3),
    max_leaves=6,
)


@given(TABLES, TABLES)
def test_merging_keeps_each_key_of_both_tables(one: dict[str, Any], two: dict[str, Any]) -> None:
    both = merge(one, two)
    assert both.keys() == one.keys() | two.keys()
    assert merge(one, both) == merge(both, two) == both
    assert merge({}, one) == merge(one, {}) == merge(one, one) == one
