"""Settings whose keys nobody knows beforehand: they take any data, also such as the module system would unwrap."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator

import services
from rolecall import pipeline
from rolecall.errors import Faults

if TYPE_CHECKING:
    from collections.abc import Callable

    from rolecall.project import Project

    MakeProject = Callable[..., Project]

INVENTORY: dict[str, Any] = {"machines": {"a": {}}, "instances": {"mine": {"module": {"input": "self"}}}}


def project_with(make_project: MakeProject, told: dict[str, Any], **others: dict[str, Any]) -> Project:
    project = make_project("", mine=services.code("free_form"))
    (project.root / "inventory.toml").unlink(missing_ok=True)
    role = {"settings": told, "machines": {"a": {"settings": others.get("machine", {})}}}
    inventory = {**INVENTORY, "instances": {"mine": {"module": {"input": "self"}, "roles": {"r": role}}}}
    (project.root / "inventory.json").write_text(json.dumps(inventory))
    return project


def settings_of(project: Project) -> dict[str, Any]:
    found: dict[str, Any] = pipeline.as_json(pipeline.Workspace(project).check())["members"]["mine"]["r"]["a"]
    return found


DATA = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8", exclude_characters="\0"))
    | st.sampled_from(["order", "override", "literal"]),
    lambda below: (
        st.lists(below, max_size=3)
        | st.dictionaries(st.sampled_from(["_type", "content", "priority", "a b", "ü"]), below, max_size=4)
    ),
    max_leaves=8,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(DATA)
def test_any_data_can_be_written(make_project: MakeProject, data: Any) -> None:  # noqa: ANN401 - any data
    literal = {"_type": "literal", "content": {"x": data}}
    project = project_with(make_project, {"free": literal, "many": [literal], "other": literal})
    found = settings_of(project)
    expected = {"x": data}
    assert json.dumps(found["free"], sort_keys=True) == json.dumps(expected, sort_keys=True)
    assert (found["many"], found["other"]) == ([expected], expected)


def test_layers_merge_and_priorities_count(make_project: MakeProject) -> None:
    general = {"free": {"a": {"x": 1, "y": [1]}, "b": {"_type": "override", "priority": 50, "content": 2}}, "new": 1}
    specific = {"free": {"a": {"y": [2], "_type": "plain"}, "b": 3}, "new": 2}
    found = settings_of(project_with(make_project, general, machine=specific))
    assert found["free"] == {"a": {"x": 1, "y": [1, 2], "_type": "plain"}, "b": 2}
    assert found["new"] == 2


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"free": 5}, "error: free must be a table, not the number 5\n"),
        ({"many": [[]]}, "error: many[0] must be a table, not a list\n"),
        ({"count": "x"}, "error: count must be a whole number, not the string 'x'\n"),
        (
            {"count": {"_type": "literal", "content": "x"}},
            (
                "error: count must be a whole number, not the string 'x'\n"
                "  at ROOT/inventory.json:1:136 instances.mine.roles.r.settings.count.content"
            ),
        ),
        ({"free": {"_type": "order"}}, "error: `order` lacks its `content`\n"),
        ({"free": {"_type": "order", "content": 1, "priority": 5, "x": 1}}, "error: `order` has an unknown key `x`\n"),
    ],
)
def test_what_is_known_of_it_is_checked(make_project: MakeProject, told: dict[str, Any], message: str) -> None:
    with pytest.raises(Faults) as caught:
        pipeline.Workspace(project_with(make_project, told)).check()
    assert str(caught.value).replace(f"{make_project('').root}", "ROOT").startswith(message)
    if "free" in str(told) and "_type" in str(told):
        assert 'or put plain data into `{ _type = "literal", content = … }`' in str(caught.value)


def test_editors_take_any_data(make_project: MakeProject) -> None:
    told = {"free": {"a": [1, {"b": None}], "_type": "order"}, "many": [{"x": {}}], "other": {"y": 1}}
    project = project_with(make_project, {})
    schema = json.loads(pipeline.schema(pipeline.Workspace(project))[0])
    project_with(make_project, told)
    written = json.loads((project.root / "inventory.json").read_text())
    assert [*Draft7Validator(schema).iter_errors(written)] == []
    written["instances"]["mine"]["roles"]["r"]["settings"]["count"] = "x"
    assert [*Draft7Validator(schema).iter_errors(written)] != []


@pytest.mark.parametrize(
    ("tools", "own", "expected"),
    [
        ({"a": 1}, 'free = { _type = "literal", content = { _type = "order" } }', {"a": 1, "_type": "order"}),
        ({"_type": "literal", "content": {"_type": "order"}}, "free.b = 2", {"_type": "order", "b": 2}),
        (
            {"_type": "literal", "content": {"_type": "order", "x": 1}},
            'free = { _type = "literal", content = { y = { _type = "if" } } }',
            {"_type": "order", "x": 1, "y": {"_type": "if"}},
        ),
    ],
)
def test_two_files_that_say_it(make_project: MakeProject, tools: dict[str, Any], own: str, expected: object) -> None:
    project = project_with(make_project, {"free": tools})
    (project.root / "inventory.toml").write_text(f"[instances.mine.roles.r.settings]\n{own}\n")
    assert settings_of(project)["free"] == expected
