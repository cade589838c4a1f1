"""Settings that two files give at one place."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from rolecall.evaluate.kinds import Kind
from rolecall.evaluate.layers import layers_of
from rolecall.evaluate.merge import Conflict, merge
from rolecall.inventory import data
from rolecall.inventory.join import join
from rolecall.model.source import Source
from rolecall.service import Settings, lines, unique

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rolecall.evaluate.merge import Problem

GENERAL, SPECIFIC = Path("inventory.json"), Path("inventory.toml")
YES, NO = True, False
PLACES = ("settings", "tags", "machines")


def override(priority: int, content: object) -> dict[str, Any]:
    return {"_type": "override", "priority": priority, "content": content}


def many(*contents: object) -> dict[str, Any]:
    return {"_type": "merge", "contents": [*contents]}


def after(content: object) -> dict[str, Any]:
    return {"_type": "order", "priority": 1500, "content": content}


def only_if(condition: object, content: object) -> dict[str, Any]:
    return {"_type": "if", "condition": condition, "content": content}


def literal(content: object) -> dict[str, Any]:
    return {"_type": "literal", "content": content}


def source(file: Path, place: str, settings: object) -> Source:
    names = {"settings": {"settings": settings}, "tags": {"tags": {"t": {"settings": settings}}}}
    role = names.get(place, {"machines": {"m": {"settings": settings}}})
    return Source(file, {"machines": {"m": {"tags": ["t"]}}, "instances": {"i": {"roles": {"r": role}}}})


def joined(
    general: Mapping[str, Any], specific: Mapping[str, Any], kind: Kind | None = None, place: str = "settings"
) -> tuple[dict[str, Any], list[Problem]]:
    loaded, faults = join([source(GENERAL, place, general), source(SPECIFIC, place, specific)])
    assert not faults
    problems: list[Problem] = []
    layers = layers_of(loaded.inventory.instances["i"].roles["r"], "m", ["all", "t"])
    return merge(layers, problems, kind), problems


class Local(Settings):
    kind: Literal["local"] = "local"
    folder: str = ""


class Remote(Settings):
    kind: Literal["remote"] = "remote"
    host: str = ""


class Kinds(Settings):
    store: Annotated[Local | Remote, Field(discriminator="kind")] = Local()
    either: Local | Remote = Local()
    words: Annotated[list[str], unique] = Field([])
    text: Annotated[str, lines] = ""


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    ("general", "specific", "settings"),
    [
        ({"a": 1, "b": 1}, {"b": 2}, {"a": 1, "b": 2}),
        ({"t": {"a": 1}}, {"t": {"b": 2}}, {"t": {"a": 1, "b": 2}}),
        ({"a": [1]}, {"a": [2]}, {"a": [2]}),
        ({"a": {"b": 1}}, {"a": [2]}, {"a": [2]}),
        ({"a": [1]}, {"a": {"b": 2}}, {"a": {"b": 2}}),
        # A priority in one file hides nothing that the other says about other settings.
        ({"a": 1}, override(50, {"b": 2}), {"a": 1, "b": 2}),
        (override(1000, {"a": 1}), {"b": 2}, {"a": 1, "b": 2}),
        (override(1000, {"a": 1}), {"a": 2}, {"a": 2}),
        # It counts before the file does.
        ({"a": 1}, override(1000, {"a": 2}), {"a": 1}),
        ({"a": 1}, {"a": override(1000, 2)}, {"a": 1}),
        ({"a": [1]}, {"a": override(50, [2])}, {"a": [2]}),
        ({"a": override(50, [1])}, {"a": [2]}, {"a": [1]}),
        ({"t": {"a": 1}}, {"t": only_if(NO, {"a": 2})}, {"t": {"a": 1}}),
        ({"t": {"a": 1}}, {"t": many({"b": 2}, {"c": 3})}, {"t": {"a": 1, "b": 2, "c": 3}}),
        # Of one priority, the more specific file's value counts, whatever stands around it.
        ({"a": 1}, {"a": many(2)}, {"a": 2}),
        ({"a": many(1)}, {"a": only_if(YES, 2)}, {"a": 2}),
        ({"a": literal(1)}, {"a": literal(2)}, {"a": 2}),
        ({"a": [1]}, {"a": after([2])}, {"a": [2]}),
        ({"a": [1]}, {"a": many([2], [3])}, {"a": [2, 3]}),
        ({"t": {"u": {"a": 1, "b": 1}}}, {"t": many({"u": {"a": 2}})}, {"t": {"u": {"a": 2, "b": 1}}}),
        ({"t": literal({"a": 1, "_type": "x"})}, {"t": literal({"a": 2})}, {"t": {"a": 2, "_type": "x"}}),
    ],
)
def test_what_of_it_counts(
    general: dict[str, Any], specific: dict[str, Any], settings: dict[str, Any], place: str
) -> None:
    assert joined(general, specific, place=place) == (settings, [])


@pytest.mark.parametrize(
    ("general", "specific", "settings"),
    [
        # Of a table that may be of several kinds, the other kind says nothing.
        ({"store": {"kind": "local", "folder": "/a"}}, {"store": {"kind": "remote"}}, {"store": {"kind": "remote"}}),
        (
            {"store": {"kind": "local", "folder": "/a"}},
            {"store": {"folder": "/b"}},
            {"store": {"kind": "local", "folder": "/b"}},
        ),
        ({"either": {"folder": "/a"}}, {"either": {"host": "h"}}, {"either": {"host": "h"}}),
        ({"words": ["a"]}, {"words": ["b", "b"]}, {"words": ["b"]}),
        ({"text": "a"}, {"text": "b"}, {"text": "b"}),
        ({"text": "a"}, {"text": many("b", "c")}, {"text": "b\nc"}),
    ],
)
def test_kinds_of_settings(general: dict[str, Any], specific: dict[str, Any], settings: dict[str, Any]) -> None:
    assert joined(general, specific, Kind([Kinds])) == (settings, [])


def test_one_file_that_contradicts_itself() -> None:
    settings, [problem] = joined({"a": 1}, {"a": many(2, 3)})
    assert isinstance(problem, Conflict)
    assert {layer.file for layer in problem.layers} == {SPECIFIC}
    assert settings == {"a": 2}


SCALARS = st.booleans() | st.integers(-3, 3) | st.none()
KEYS = st.sampled_from("abc")
TABLES = st.recursive(
    st.dictionaries(KEYS, SCALARS | st.lists(SCALARS, max_size=2), min_size=1, max_size=3),
    lambda below: st.dictionaries(KEYS, SCALARS | below, min_size=1, max_size=3),
    max_leaves=6,
)
AROUND = st.sampled_from([literal, many, after, lambda value: only_if(YES, value), lambda value: override(100, value)])


@given(TABLES, TABLES)
def test_plain_data_is_joined_as_anywhere_in_the_inventory(one: dict[str, Any], two: dict[str, Any]) -> None:
    assert joined(one, two) == (data.merge(one, two), [])


@given(TABLES, TABLES, st.data(), AROUND, st.booleans())
def test_what_changes_nothing_may_stand_around_any_value(
    one: dict[str, Any],
    two: dict[str, Any],
    draw: st.DataObject,
    around: Callable[[object], dict[str, Any]],
    second: bool,  # noqa: FBT001 - drawn by hypothesis
) -> None:
    table = two if second else one
    key = draw.draw(st.sampled_from(sorted(table)))
    wrapped = table | {key: around(table[key])}
    assert joined(*((one, wrapped) if second else (wrapped, two))) == (data.merge(one, two), [])
