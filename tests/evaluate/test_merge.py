"""The laws of merging settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import Field

from rolecall.evaluate.kinds import Kind
from rolecall.evaluate.layers import Layer
from rolecall.evaluate.merge import Conflict, Malformed, merge
from rolecall.service import Settings, lines, replace, unique

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rolecall.evaluate.merge import Problem, Record

    Wrap = Callable[[int, object], dict[str, Any]]

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


def merged(*values: Mapping[str, Any], kind: Kind | None = None) -> dict[str, Any]:
    problems: list[Problem] = []
    result = merge(layers(*values), problems, kind)
    assert problems == []
    return result


def problems_of(*values: Mapping[str, Any], kind: Kind | None = None) -> list[Problem]:
    problems: list[Problem] = []
    merge(layers(*values), problems, kind)
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
    names = Kind([Chosen])  # whose lists are compared as a whole
    assert len(problems_of({}, {"names": [True]}, {"names": [1]}, {}, kind=names)) == 1
    assert len(problems_of({}, {"table": {"a": 1}}, {"table": {"a": 1.0}}, {}, kind=names)) == 1


@given(SCALARS, SCALARS)
def test_tags_that_agree_overrule_the_role(role: object, tags: object) -> None:
    assert merged({"a": role}, {"a": tags}, {"a": tags}, {}) == {"a": tags}


@given(TABLES, TABLES, TABLES)
def test_merging_in_two_steps_is_merging_at_once(
    role: dict[str, Any], tag: dict[str, Any], machine: dict[str, Any]
) -> None:
    assert merged(merged(role, tag), machine) == merged(role, tag, machine)


@given(TABLES, TABLES, TABLES)
def test_what_is_merged_stays_so(role: dict[str, Any], tag: dict[str, Any], machine: dict[str, Any]) -> None:
    result = merged(role, tag, machine)
    assert merged(result, {}) == merged({}, result) == result


def without_lists(value: object) -> object:
    if isinstance(value, dict):
        return {key: without_lists(item) for key, item in value.items() if not isinstance(item, list)}
    return value


@given(TABLES.map(without_lists))
def test_saying_it_again_changes_nothing_but_lists(table: dict[str, Any]) -> None:
    assert merged(table, table, table, table) == table


def test_what_is_no_list_or_table_ends_what_is_more_general() -> None:
    assert merged({"a": [1]}, {"a": None}, {"a": [3]}) == {"a": [3]}
    assert merged({"a": {"x": 1}}, {"a": 2}, {"a": {"y": 3}}) == {"a": {"y": 3}}
    assert merged({"a": None}, {"a": [2]}, {"a": [3]}) == {"a": [2, 3]}
    assert merged({"a": 1}, {"a": {"x": 2}}, {"a": {"y": 3}}) == {"a": {"x": 2, "y": 3}}
    assert merged({"a": {"x": 1}}, {"a": None}) == {"a": None}


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


def test_a_default_of_a_specific_layer_loses_to_what_a_general_one_says() -> None:
    assert merged({"a": [1]}, {"a": override(1000, [2])}) == {"a": [1]}


def test_priorities_come_before_order() -> None:
    assert merged({"a": order(1, override(1000, [1]))}, {"a": order(1500, [2])}, {"a": [3]}) == {"a": [3, 2]}
    assert merged({"a": override(50, order(1500, [1]))}, {"a": override(50, order(500, [2]))}) == {"a": [2, 1]}


def test_conditions_come_before_priorities() -> None:
    assert merged({"a": only_if(NO, override(50, 1))}, {"a": override(1500, 2)}) == {"a": 2}
    assert merged({"a": several(override(50, [1]), only_if(YES, override(50, [2])), [3])}, {"a": [4]}) == {"a": [1, 2]}


def test_a_priority_around_several_is_that_of_each() -> None:
    value = override(50, several([1], order(500, [2]), override(1000, [3])))
    assert merged({"a": value}, {"a": [4]}) == {"a": [2, 1]}


def test_items_of_lists_are_unwrapped() -> None:
    items = [only_if(NO, 1), override(50, 2), {"x": only_if(YES, 3), "y": only_if(NO, 4)}, [only_if(NO, 5)]]
    assert merged({"a": items}, {}) == {"a": [2, {"x": 3}, []]}


def test_the_settings_as_a_whole_can_have_a_priority_or_condition() -> None:
    assert merged(override(50, {"a": 1}), {"a": 2, "b": 3}) == {"a": 1, "b": 3}
    assert merged({"a": 1}, only_if(NO, {"a": 2})) == {"a": 1}


@pytest.mark.parametrize(
    ("role", "machine", "result"),
    [
        # As Clan's own evaluator has it; each of these lost a value once.
        ({}, override(1000, {"peers": 5}), {"peers": 5}),
        (override(1000, {"flag": True}), {"count": 6}, {"flag": True, "count": 6}),
        ({"flag": True}, override(50, {"count": 2}), {"flag": True, "count": 2}),
        ({"a": 1, "b": 1}, override(1000, {"a": 2, "c": 2}), {"a": 1, "b": 1, "c": 2}),
        ({"a": [1]}, order(500, {"a": [2], "b": [2]}), {"a": [2, 1], "b": [2]}),
        ({"a": 1}, several(override(1000, {"a": 2}), {"b": 2}), {"a": 1, "b": 2}),
        ({"a": 1}, override(50, only_if(NO, {"a": 2})), {"a": 1}),
        # The inner of two priorities counts.
        ({"a": 1, "b": 1}, override(50, {"a": override(1000, 2), "b": 2}), {"a": 1, "b": 2}),
        # A table inside of the settings is one value: its priority counts for it as a whole.
        ({"t": {"a": 1}}, {"t": override(50, {"b": 2})}, {"t": {"b": 2}}),
    ],
)
def test_what_stands_around_all_settings_counts_for_each(
    role: dict[str, Any], machine: dict[str, Any], result: dict[str, Any]
) -> None:
    assert merged(role, machine) == result


@given(TABLES, TABLES, TABLES, st.sampled_from([override, order]), st.sampled_from([10, 100, 1000]))
def test_around_all_settings_is_around_each(
    role: dict[str, Any], tag: dict[str, Any], machine: dict[str, Any], wrap: Wrap, number: int
) -> None:
    each = {key: wrap(number, value) for key, value in tag.items()}
    assert merged(role, wrap(number, tag), machine) == merged(role, each, machine)


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
    assert merged({"a": {"_type": "other", "x": 1}}, {"a": {"y": 2}}) == {"a": {"_type": "other", "x": 1, "y": 2}}
    assert merged({"a": {"_type": [1]}}, {}) == {"a": {"_type": [1]}}


def literal(content: object) -> dict[str, Any]:
    return {"_type": "literal", "content": content}


WRAPPERS = st.sampled_from(
    [override(50, 1), order(500, [2]), only_if(NO, 3), several(4), literal(5), {"_type": "order"}]
)
HOLDING_WRAPPERS = st.recursive(
    WRAPPERS | st.integers(),
    lambda below: st.lists(below, max_size=2) | st.dictionaries(st.sampled_from(["a", "_type"]), below, max_size=2),
    max_leaves=4,
)


@given(HOLDING_WRAPPERS)
def test_what_is_literal_is_taken_as_it_is(content: Any) -> None:  # noqa: ANN401 - any data
    assert merged({"a": literal(content)}, {}) == {"a": content}
    assert merged({"a": override(50, literal(content))}, {"a": 1}) == {"a": content}
    record: dict[Any, Any] = {}
    assert merge(layers({"a": literal(content)}, {}), [], None, record) == {"a": content}


def test_literal_tables_and_lists_are_merged_as_others() -> None:
    inner = order(500, [1])
    assert merged({"a": literal({"x": inner})}, {"a": {"y": override(50, 2)}}) == {"a": {"x": inner, "y": 2}}
    assert merged({"a": {"x": [order(500, 0)]}}, {"a": literal({"x": [inner]})}) == {"a": {"x": [0, inner]}}


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ({"_type": "override"}, "`override` lacks its `content`"),
        ({"_type": "literal"}, "`literal` lacks its `content`"),
        ({**literal(1), "priority": 50}, "`literal` has an unknown key `priority`"),
        ({**order(1, [1]), "note": 1, "also": 2}, "`order` has an unknown key `also`"),
        ({**several(1), "content": 2}, "`merge` has an unknown key `content`"),
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
        ([1, only_if(1, 2)], "the `condition` of `if` must be true or false"),
        (several(override(50, only_if(1, 2))), "the `condition` of `if` must be true or false"),
    ],
)
def test_a_wrapper_that_is_not_well_formed(value: object, problem: str) -> None:
    [found] = problems_of({"t": {"a": value}}, {})
    assert isinstance(found, Malformed)
    assert (found.statement.keys[:2], found.problem) == (("t", "a"), problem)


def test_settings_that_are_wrapped_are_a_table() -> None:
    [found] = problems_of(override(50, 1), {})
    assert isinstance(found, Malformed)
    assert (found.statement.keys, found.problem) == (("content",), "settings must be a table")


# What the author of a model decides.


class Local(Settings):
    kind_of_place: Literal["local"]
    folder: str = ""
    port: int = 0


class Remote(Settings):
    kind_of_place: Literal["remote"]
    host: str = ""
    port: int = 0


Place = Annotated[Local | Remote, Field(discriminator="kind_of_place")]


class Inner(Settings):
    some_names: Annotated[list[str], replace]
    all_names: list[str]


class Chosen(Settings):
    names: Annotated[list[str], replace]
    table: Annotated[dict[str, int], replace]
    either: Annotated[list[str], replace] | None
    inner: Inner | None
    tables: dict[str, Inner]
    place: Place
    places: dict[str, Place]
    untold: Local | Remote | list[str]
    children: dict[str, Chosen]
    pair: tuple[int, int]
    numbers: tuple[int, ...] | None
    once: Annotated[list[str | int | bool | dict[str, int]], unique]
    text: Annotated[str, lines] | None
    texts: dict[str, Annotated[str, lines]]


CHOSEN = Kind([Chosen])
LOCAL, REMOTE = {"kindOfPlace": "local"}, {"kindOfPlace": "remote"}
A, B = {"a": 1}, {"a": 2}


@pytest.mark.parametrize(
    ("role", "tag", "machine", "result"),
    [
        ({"names": ["a"]}, {}, {"names": ["b"]}, {"names": ["b"]}),
        ({"names": ["a"]}, {"names": ["b"]}, {}, {"names": ["b"]}),
        ({"table": {"a": 1}}, {"table": {"b": 2}}, {"table": {"c": 3}}, {"table": {"c": 3}}),
        ({"either": ["a"]}, {"either": ["b"]}, {}, {"either": ["b"]}),
        ({"inner": {"someNames": ["a"]}}, {"inner": {"someNames": ["b"]}}, {}, {"inner": {"someNames": ["b"]}}),
        ({"inner": {"allNames": ["a"]}}, {"inner": {"allNames": ["b"]}}, {}, {"inner": {"allNames": ["a", "b"]}}),
        (
            {"tables": {"x": {"someNames": ["a"]}}},
            {"tables": {"y": {"someNames": ["b"]}}},
            {"tables": {"x": {"someNames": ["c"]}}},
            {"tables": {"x": {"someNames": ["c"]}, "y": {"someNames": ["b"]}}},
        ),
        (
            {"children": {"x": {"children": {"y": {"names": ["a"]}}}}},
            {},
            {"children": {"x": {"children": {"y": {"names": ["b"]}}}}},
            {"children": {"x": {"children": {"y": {"names": ["b"]}}}}},
        ),
        # The value of one layer, in parts.
        ({"names": ["a"]}, {}, {"names": several(["b"], order(500, ["c"]))}, {"names": ["c", "b"]}),
        # A priority still beats place.
        ({"names": override(50, ["a"])}, {}, {"names": ["b"]}, {"names": ["a"]}),
        # A table that names its kind goes on with what is said of that kind.
        ({"place": {**REMOTE, "host": "h"}}, {"place": {"port": 1}}, {}, {"place": {**REMOTE, "host": "h", "port": 1}}),
        ({"place": {**REMOTE, "host": "h"}}, {"place": {"port": 1}}, {"place": {**LOCAL}}, {"place": LOCAL}),
        ({"place": {"port": 1}}, {"place": REMOTE}, {}, {"place": {"port": 1, **REMOTE}}),
        ({"place": {**LOCAL, "port": 1}}, {"place": LOCAL}, {}, {"place": {**LOCAL, "port": 1}}),
        (
            {"place": {**LOCAL, "folder": "f"}},
            {},
            {"place": {"kindOfPlace": override(1000, "remote"), "host": "h"}},
            {"place": {**LOCAL, "folder": "f"}},
        ),
        ({"place": override(1000, {**LOCAL, "folder": "f"})}, {"place": REMOTE}, {}, {"place": REMOTE}),
        ({"places": {"x": {**LOCAL, "port": 1}}}, {}, {"places": {"x": REMOTE}}, {"places": {"x": REMOTE}}),
        # Without a tag nothing tells which kind the general one meant.
        ({"untold": {**LOCAL, "port": 1}}, {}, {"untold": {"folder": "f"}}, {"untold": {"folder": "f"}}),
        ({"untold": ["a"]}, {}, {"untold": ["b"]}, {"untold": ["a", "b"]}),
        # A list of fixed length is one value.
        ({"pair": [1, 2]}, {}, {"pair": [3, 4]}, {"pair": [3, 4]}),
        ({"pair": override(50, [1, 2])}, {}, {"pair": [3, 4]}, {"pair": [1, 2]}),
        ({"numbers": [1, 2]}, {}, {"numbers": [3, 4]}, {"numbers": [1, 2, 3, 4]}),
        # Of equal items the first is kept.
        ({"once": ["a", "b"]}, {"once": ["b", "c"]}, {"once": ["a", "d"]}, {"once": ["a", "b", "c", "d"]}),
        ({"once": ["a", "a"]}, {}, {}, {"once": ["a"]}),
        ({"once": [1, True, "1"]}, {}, {"once": [YES, {"x": 1}, {"x": 1}]}, {"once": [1, YES, "1", {"x": 1}]}),
        ({"once": ["a", "b"]}, {}, {"once": order(500, ["b"])}, {"once": ["b", "a"]}),
        ({"once": override(50, ["a", "a"])}, {"once": ["b"]}, {"once": ["c"]}, {"once": ["a"]}),
        ({"once": [only_if(NO, "a"), override(50, "b"), "b"]}, {}, {}, {"once": ["b"]}),
        # Texts line by line.
        ({"text": "a"}, {"text": "b"}, {"text": "c"}, {"text": "a\nb\nc"}),
        ({"text": "a"}, {}, {"text": order(500, "c")}, {"text": "c\na"}),
        ({"text": "a"}, {"text": override(1000, "b")}, {"text": "c"}, {"text": "a\nc"}),
        ({"text": "a"}, {"text": None}, {"text": "c"}, {"text": "c"}),
        ({"text": "a"}, {}, {"text": None}, {"text": None}),
        ({"text": several("a", order(500, "b"))}, {}, {}, {"text": "b\na"}),
        ({"texts": {"x": "a"}}, {"texts": {"y": "b"}}, {"texts": {"x": "c"}}, {"texts": {"x": "a\nc", "y": "b"}}),
    ],
)
def test_what_the_author_of_a_field_chose(
    role: dict[str, Any], tag: dict[str, Any], machine: dict[str, Any], result: dict[str, Any]
) -> None:
    assert merged(role, tag, machine, kind=CHOSEN) == result


def test_tags_never_disagree_about_what_is_joined() -> None:
    assert merged({}, {"text": "a"}, {"text": "b"}, {}, kind=CHOSEN) == {"text": "a\nb"}
    assert merged({}, {"once": ["a"]}, {"once": ["b"]}, {}, kind=CHOSEN) == {"once": ["a", "b"]}


@given(st.lists(LISTS, min_size=2, max_size=4))
def test_each_item_once_in_the_order_of_layers(lists: list[list[Any]]) -> None:
    joined = {(type(item), item): item for each in lists for item in each}
    values = [{"once": each} for each in lists]
    assert list(map(repr, merged(*values, kind=CHOSEN)["once"])) == list(map(repr, joined.values()))


@given(st.lists(st.sampled_from(["", "a", "b\n"]), min_size=2, max_size=4))
def test_lines_of_all_layers(texts: list[str]) -> None:
    assert merged(*({"text": each} for each in texts), kind=CHOSEN) == {"text": "\n".join(texts)}


def test_the_record_of_a_list_without_repeats_has_its_items_alone() -> None:
    record: Record = {}
    result = merge(layers({"once": [{"x": 1}, "a"]}, {"once": [{"x": 1}, "b"]}), [], CHOSEN, record)
    assert result == {"once": [{"x": 1}, "a", "b"]}
    assert {keys for keys in record if keys[0] == "once"} == {
        ("once",),
        *(("once", n) for n in range(3)),
        ("once", 0, "x"),
    }
    assert record["once", 2].decisive.keys == ("once", 1)


def test_tags_that_disagree_about_what_is_replaced() -> None:
    assert merged({}, {"names": ["a"]}, {"names": ["a"]}, {}, kind=CHOSEN) == {"names": ["a"]}
    for one, other, at in (
        ({"names": ["a"]}, {"names": ["b"]}, ("names",)),
        ({"table": A}, {"table": B}, ("table",)),
        ({"place": LOCAL}, {"place": REMOTE}, ("place", "kindOfPlace")),
        ({"untold": LOCAL}, {"untold": REMOTE}, ("untold",)),
    ):
        [problem] = problems_of({}, one, other, {}, kind=CHOSEN)
        assert isinstance(problem, Conflict)
        assert problem.keys == at
        assert merged({}, one, other, one, kind=CHOSEN) == one


@given(TABLES, TABLES, TABLES)
def test_a_kind_without_choices_changes_nothing(
    role: dict[str, Any], tag: dict[str, Any], machine: dict[str, Any]
) -> None:
    assert merged(role, tag, machine, kind=Kind([Any])) == merged(role, tag, machine)
    assert not Kind([dict[str, Any]]).guides


# The record of who said what.


@given(TABLES, TABLES, TABLES)
def test_listening_changes_nothing(role: dict[str, Any], tag: dict[str, Any], machine: dict[str, Any]) -> None:
    record: Record = {}
    assert merge(layers(role, tag, machine), [], None, record) == merged(role, tag, machine)
    for resolution in record.values():
        for statement in resolution.stated:
            value: Any = statement.layer.values
            for key in statement.keys:
                value = value[key]
            assert value is statement.value


def test_the_record_has_all_that_was_said_and_what_of_it_counts() -> None:
    record: Record = {}
    values = {"a": [1], "b": 1}, {"a": order(500, [2]), "b": 2}, {"a": [override(50, 3)], "b": override(1000, 3)}
    assert merge(layers(*values), [], None, record) == {"a": [2, 1, 3], "b": 2}
    assert [(each.layer.rank, each.priority, each.value) for each in record["b",].stated] == [
        (ROLE, 100, 1),
        (TAG, 100, 2),
        (MACHINE, 1000, 3),
    ]
    assert [each.value for each in record["b",].kept] == [2]
    assert [each.keys for each in record["a",].kept] == [("a", "content"), ("a",), ("a",)]
    assert record["a", 2].decisive.keys == ("a", 0, "content")


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
    assert isinstance(merge(layers(*values), [], Kind([Strange]), {}), dict)


class Strange(Settings):
    a: Annotated[Local | Remote, Field(discriminator="kind_of_place")] | Annotated[list[Place], replace] | None
    content: dict[str, Local | Inner]
