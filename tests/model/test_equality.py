"""Data is equal only when it is written alike."""

from __future__ import annotations

import json
from dataclasses import dataclass

from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict

from rolecall.model.equality import same

SCALARS = (
    st.sampled_from([None, True, False, 0, 1, 0.0, -0.0, 1.0, "", "1", "true"])
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
)
DATA = st.recursive(
    SCALARS,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.sampled_from("ab"), below, max_size=2),
    max_leaves=5,
)


@given(DATA, DATA)
@example([True], [1])
@example({"a": 1}, {"a": 1.0})
@example({"a": {"b": None}}, {"a": {}})
@example({"a": 1, "b": 2}, {"b": 2, "a": 1})
def test_data_is_the_same_exactly_when_its_json_is(one: object, other: object) -> None:
    assert same(one, other) == (json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True))


@given(DATA)
def test_a_copy_is_the_same(data: object) -> None:
    assert same(data, json.loads(json.dumps(data)))


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    value: object = None


@dataclass(frozen=True)
class Record:
    value: object


@dataclass(eq=False)
class Handle:
    value: object


def test_what_holds_data_is_compared_by_it() -> None:
    handle = Handle(1)
    for one, other in ((True, 1), (1, 1.0), ({"a": [1]}, {"a": [True]})):
        assert not same(Open(value=one), Open(value=other))
        assert not same(Open(more=one), Open(more=other))  # type: ignore[call-arg]
        assert not same(Record(one), Record(other))
        assert not same((one,), (other,))
        assert same(Open(value=one), Open(value=one))
        assert same(Record((one,)), Record((one,)))
    assert not same({True}, {1})
    assert not same({(1,)}, {(True,)})
    assert not same(frozenset({(1.0,)}), frozenset({(1,)}))
    assert not same({1: "a"}, {True: "a"})
    assert not same({(1, "a"): 0}, {(True, "a"): 0})
    assert not same(frozenset({1}), {1})
    assert same({1, "a"}, {"a", 1})
    assert same(handle, handle)
    assert not same(handle, Handle(1))
