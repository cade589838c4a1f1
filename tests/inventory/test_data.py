"""Data of several files as one (rolecall.inventory.data)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rolecall.evaluate.layers import Layer
from rolecall.evaluate.merge import merge as merge_settings
from rolecall.inventory.data import merge


def override(priority: int, content: object) -> dict[str, Any]:
    return {"_type": "override", "priority": priority, "content": content}


@pytest.mark.parametrize(
    ("general", "specific", "settings"),
    [
        ({"a": 1, "b": 1}, {"b": 2}, {"a": 1, "b": 2}),
        ({"t": {"a": 1}}, {"t": {"b": 2}}, {"t": {"a": 1, "b": 2}}),
        ({"a": [1]}, {"a": [2]}, {"a": [2]}),
        # A priority in one file hides nothing that the other says about other settings.
        ({"a": 1}, override(50, {"b": 2}), {"a": 1, "b": 2}),
        (override(1000, {"a": 1}), {"b": 2}, {"a": 1, "b": 2}),
        (override(1000, {"a": 1}), {"a": 2}, {"a": 2}),
        ({"a": 1}, override(1000, {"a": 2}), {"a": 1}),
        ({"t": {"a": 1}}, {"t": {"_type": "if", "condition": False, "content": {"a": 2}}}, {"t": {"a": 1}}),
        ({"t": {"a": 1}}, {"t": {"_type": "merge", "contents": [{"b": 2}, {"c": 3}]}}, {"t": {"a": 1, "b": 2, "c": 3}}),
        # Of anything but tables, the more specific file's value counts, whatever stands around it.
        ({"a": [1]}, {"a": override(50, [2])}, {"a": [2]}),
        ({"a": override(50, [1])}, {"a": [2]}, {"a": [2]}),
        ({"a": 1}, {"a": override(1000, 2)}, {"a": 2}),
    ],
)
def test_settings_of_two_files(general: dict[str, Any], specific: dict[str, Any], settings: dict[str, Any]) -> None:
    whole = merge({"settings": general}, {"settings": specific})["settings"]
    assert merge_settings([Layer(("settings",), 0, whole)], problems := []) == settings
    assert problems == []


TABLES = st.recursive(
    st.dictionaries(st.sampled_from("abc"), st.integers() | st.none(), max_size=3),
    lambda below: st.dictionaries(st.sampled_from("abc"), st.integers() | below, max_size=3),
    max_leaves=6,
)


@given(TABLES, TABLES)
def test_of_two_files_each_key_is_kept(one: dict[str, Any], two: dict[str, Any]) -> None:
    both = merge(one, two)
    assert both.keys() == one.keys() | two.keys()
    assert merge(one, both) == merge(both, two) == both
    assert merge({}, one) == merge(one, {}) == merge(one, one) == one
