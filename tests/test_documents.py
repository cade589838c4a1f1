"""JSON documents are valid JSON."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rolecall.documents import as_text
from rolecall.errors import Faults

DATA = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["Infinity", "NaN", "\udc80"]),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(), below, max_size=3),
    max_leaves=8,
)


def finite(value: Any) -> bool:  # noqa: ANN401 - any data
    if isinstance(value, dict | list):
        return all(map(finite, value.values() if isinstance(value, dict) else value))
    return not isinstance(value, float) or math.isfinite(value)


def refuse(constant: str) -> None:
    raise AssertionError(constant)


@given(DATA)
def test_a_document_is_valid_json_and_says_the_same(data: object) -> None:
    if finite(data):
        assert json.loads(as_text(data), parse_constant=refuse) == data
    else:
        with pytest.raises(Faults, match="JSON cannot represent"):
            as_text(data)


@pytest.mark.parametrize(("number", "name"), [(math.inf, "inf"), (-math.inf, "-inf"), (math.nan, "nan")])
def test_a_number_that_json_does_not_have_is_told_with_its_path(number: float, name: str) -> None:
    with pytest.raises(Faults, match=rf"members\.a\[1\]\.b is {name}, which JSON cannot represent"):
        as_text({"members": {"a": ["Infinity", {"b": number}]}})
