"""The laws of merging settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from rolecall.evaluate.layers import Layer
from rolecall.evaluate.merge import Conflict, Malformed, merge

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rolecall.evaluate.merge import Problem

ROLE, TAG, MACHINE = range(3)
YES, NO = True, False
KEYS = st.sampled_from(["a", "b", "c", "enable"])
SCALARS = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "x", "y"])
LISTS = st.lists(SCALARS, max_size=3)
# No empty tables below the top: they say "a table", which is something.
TABLES = st.recursive(
    st.dictionaries(KEYS, SCALARS | LISTS, min_size=1, max_size=3),
    lambda below: st.dictionaries(KEYS, SCALARS | LISTS | below, min_size=1, max_size=3),
    max_leaves=8,
) | st.just({})


def layers(*values: Mapping[str, Any]) -> list[Layer]:
    """A role, tags (for all but the first and last), and a machine."""
    ranks = [ROLE, *[TAG] * (len(values) - 2), MACHINE]
    at = [
        ("settings",),
        *(("tags", f"t{n}", "settings") for n in range(len(values) - 2)),
        ("machines", "m", "settings"),
    ]
    return [Layer(*each) for each in zip(at, ranks, values, strict=True)]


def merged(*values: Mapping[str, Any]) -> dict[str, Any]:
    problems: list[Problem] = []
    result = merge(layers(*values), problems)
    assert problems == []
    return result


def problems_of(*values: Mapping[str, Any]) -> list[Problem]:
    problems: list[Problem] = []
    merge(layers(*values), problems)
    return problems


def override(priority: int, content: object) -> dict[str, Any]:
    return {"_type": "override", "priority": priority, "content": content}


def order(priority: int, content: object) -> dict[str, Any]:
    return {"_type": "order", "priority": priority, "content": content}


def only_if(condition: object, content: object) -> dict[str, Any]:
    return {"_type": "if", "condition": condition, "content": content}


def several(*contents: object) -> dict[str, Any]:
    return {"_type": "merge", "contents": list(contents)}


def turned(table: object) -> object:
    """The same with the keys of every table in the opposite order."""
    if isinstance(table, dict):
        return {key: turned(table[key]) for key in reversed(table)}
    return table


@given(TABLES)
def test_one_layer_alone_is_the_settings(table: dict[str, Any]) -> None:
    assert merged(table, {}) == table


@given(TABLES, TABLES, TABLES, TABLES)
def test_a_layer_that_says_nothing_changes_nothing(
    role: dict[str, Any], one: dict[str, Any], other: dict[str, Any], machine: dict[str, Any]
) -> None:
    expected: list[Problem] = []
    found: list[Problem] = []
    with_nothing = layers(role, one, {}, other, machine)
    without = [layer for layer in with_nothing if layer.at != ("tags", "t1", "settings")]
    assert merge(with_nothing, found) == merge(without, expected)
    assert found == expected


@given(TABLES, TABLES, TABLES)
def test_the_order_of_keys_does_not_matter(role: dict[str, Any], tag: dict[str, Any], machine: dict[str, Any]) -> None:
    straight, back = (
        merge(layers(*values), []) for values in ((role, tag, machine), map(turned, (role, tag, machine)))
    )
    assert straight == back


@given(TABLES, TABLES)
def test_of_values_the_specific_wins_and_the_rest_stays(role: dict[str, Any], machine: dict[str, Any]) -> None:
    def check(general: dict[str, Any], specific: dict[str, Any], result: dict[str, Any]) -> None:
        assert result.keys() == general.keys() | specific.keys()
        for key, value in result.items():
            if key not in specific:
                assert value == general[key]
            elif key not in general:
                assert value == specific[key]
            elif isinstance(specific[key], dict) and isinstance(general[key], dict):
                check(general[key], specific[key], value)
            elif isinstance(specific[key], list) and isinstance(general[key], list):
                assert value == general[key] + specific[key]
            else:
                assert value == specific[key]

    check(role, machine, merged(role, machine))


@given(st.lists(LISTS, min_size=2, max_size=6))
def test_joined_lists_keep_every_element_in_order(lists: list[list[Any]]) -> None:
    assert merged(*({"a": each} for each in lists)) == {"a": [item for each in lists for item in each]}


@given(SCALARS, SCALARS, SCALARS)
def test_tags_that_disagree_are_a_conflict_unless_the_machine_decides(one: object, other: object, own: object) -> None:
    assume((type(one), one) != (type(other), other))
    [problem] = problems_of({}, {"a": {"b": one}}, {"a": {"b": other}}, {})
    assert isinstance(problem, Conflict)
    assert problem.keys == ("a", "b")
    assert [layer.at[1] for layer in problem.layers] == ["t0", "t1"]
    assert merged({}, {"a": {"b": one}}, {"a": {"b": other}}, {"a": {"b": own}}) == {"a": {"b": own}}


def test_true_is_not_one() -> None:
    assert len(problems_of({}, {"a": True}, {"a": 1}, {})) == 1


@given(SCALARS, SCALARS)
def test_tags_that_agree_overrule_the_role(role: object, tags: object) -> None:
    assert merged({"a": role}, {"a": tags}, {"a": tags}, {}) == {"a": tags}


def test_lists_of_tags_join_also_where_the_role_says_something_else() -> None:
    assert merged({"a": 1}, {"a": [2]}, {"a": [3]}, {}) == {"a": [2, 3]}
    assert merged({"a": [1]}, {"a": {"x": 2}}, {"a": {"y": 3}}, {}) == {"a": {"x": 2, "y": 3}}


@given(st.permutations([(50, "force"), (100, "plain"), (1000, "default"), (1500, "option")]))
def test_priority_beats_place(definitions: list[tuple[int, str]]) -> None:
    assert merged(*({"a": override(priority, value)} for priority, value in definitions)) == {"a": "force"}


def test_what_has_no_priority_has_100() -> None:
    assert merged({"a": "role"}, {"a": override(101, "machine")}) == {"a": "role"}
    assert merged({"a": override(99, "role")}, {"a": "machine"}) == {"a": "role"}
    assert merged({"a": override(100, "role")}, {"a": "machine"}) == {"a": "machine"}


def test_a_forced_list_stands_alone() -> None:
    assert merged({"a": [1]}, {"a": override(50, [2])}, {"a": [3]}) == {"a": [2]}


def test_a_forced_table_hides_what_others_say_inside_it() -> None:
    assert merged({"a": override(50, {"x": 1})}, {"a": {"x": 2, "y": 3}}) == {"a": {"x": 1}}


def test_priorities_inside_tables_count_there() -> None:
    assert merged({"a": {"x": override(50, 1), "y": 1}}, {"a": {"x": 2, "y": 2}}) == {"a": {"x": 1, "y": 2}}
    assert merged({"a": override(50, {"x": only_if(NO, 1), "y": 1})}, {}) == {"a": {"y": 1}}


def test_the_settings_as_a_whole_can_have_a_priority_or_condition() -> None:
    assert merged(override(50, {"a": 1}), {"a": 2, "b": 3}) == {"a": 1}
    assert merged({"a": 1}, only_if(NO, {"a": 2})) == {"a": 1}


@given(LISTS, LISTS, LISTS, LISTS)
def test_before_and_after(role: list[Any], one: list[Any], other: list[Any], machine: list[Any]) -> None:
    values = {"a": role}, {"a": order(1500, one)}, {"a": other}, {"a": order(500, machine)}
    assert merged(*values) == {"a": [*machine, *role, *other, *one]}


@given(TABLES)
def test_false_says_nothing(table: dict[str, Any]) -> None:
    hidden = {key: only_if(NO, value) for key, value in table.items()}
    assert merged(hidden, {}) == {}
    assert merged({key: only_if(YES, value) for key, value in table.items()}, {}) == table


def test_several_definitions_at_one_place() -> None:
    assert merged({"a": several([1], order(500, [2]), only_if(NO, [3]))}, {}) == {"a": [2, 1]}
    assert merged({"a": several(override(1000, 1), 2)}, {}) == {"a": 2}
    assert merged({"a": several()}, {}) == {}


def test_one_place_that_contradicts_itself() -> None:
    [problem] = problems_of({"a": several(1, 2)}, {})
    assert isinstance(problem, Conflict)
    assert [layer.at for layer in problem.layers] == [("settings",)]


def test_what_is_no_wrapper_is_a_table() -> None:
    assert merged({"a": {"_type": "literal", "x": 1}}, {"a": {"y": 2}}) == {"a": {"_type": "literal", "x": 1, "y": 2}}
    assert merged({"a": {"_type": [1]}}, {}) == {"a": {"_type": [1]}}


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ({"_type": "override"}, "`override` lacks its `content`"),
        ({"_type": "override", "content": 1}, "`override` lacks its `priority`"),
        ({"_type": "override", "priority": 50}, "`override` lacks its `content`"),
        (override("high", 1), "the `priority` of `override` must be a whole number"),  # type: ignore[arg-type]
        (override(None, 1), "the `priority` of `override` must be a whole number"),  # type: ignore[arg-type]
        (override(YES, 1), "the `priority` of `override` must be a whole number"),
        (override(1.5, 1), "the `priority` of `override` must be a whole number"),  # type: ignore[arg-type]
        (order([], [1]), "the `priority` of `order` must be a whole number"),  # type: ignore[arg-type]
        ({"_type": "order", "priority": 1}, "`order` lacks its `content`"),
        ({"_type": "if", "condition": True}, "`if` lacks its `content`"),
        ({"_type": "if", "content": 1}, "`if` lacks its `condition`"),
        (only_if("yes", 1), "the `condition` of `if` must be true or false"),
        ({"_type": "merge"}, "`merge` lacks its `contents`"),
        ({"_type": "merge", "contents": "ab"}, "the `contents` of `merge` must be a list"),
        (several(override(50, only_if(1, 2))), "the `condition` of `if` must be true or false"),
    ],
)
def test_a_wrapper_that_is_not_well_formed(value: object, problem: str) -> None:
    [found] = problems_of({"t": {"a": value}}, {})
    assert isinstance(found, Malformed)
    assert (found.statement.keys[:2], found.problem) == (("t", "a"), problem)


JSON = st.recursive(
    SCALARS,
    lambda below: (
        st.lists(below, max_size=3)
        | st.dictionaries(
            st.sampled_from(["_type", "priority", "content", "condition", "contents", "a"]),
            below | st.sampled_from(["override", "order", "if", "merge"]),
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.lists(st.dictionaries(st.sampled_from(["a", "_type", "content"]), JSON, max_size=2), min_size=2, max_size=4))
def test_nothing_that_can_be_written_breaks_it(values: list[dict[str, Any]]) -> None:
    assert isinstance(merge(layers(*values), []), dict)
