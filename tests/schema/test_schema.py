"""The schema of an inventory: valid inventories fit it, and a mistake is reported at its place."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator

from rolecall import inventory, pipeline
from rolecall.errors import Faults
from rolecall.inventory.clan import LEFT_OUT
from rolecall.project import Project

if TYPE_CHECKING:
    from collections.abc import Callable

    MakeProject = Callable[..., Project]

ROOT = Path(__file__).parents[2]
BASE: dict[str, Any] = {
    "machines": {"jon": {"tags": ["a"]}, "sara": {"tags": ["a", "b"]}, "store": {}},
    "instances": {
        "club": {
            "module": {"name": "club", "input": "self"},
            "roles": {"talk": {"tags": ["a"], "settings": {"word": "hi"}}, "lead": {"machines": {"store": {}}}},
        },
        "backup": {"module": {"name": "borgbackup"}, "roles": {"server": {"machines": {"store": {}}}}},
    },
}


def validator(project: Project) -> Draft7Validator:
    text, warnings = pipeline.schema(pipeline.Workspace(project))
    assert warnings == ()
    schema = json.loads(text)
    Draft7Validator.check_schema(schema)
    return Draft7Validator(schema)


def wrong(project: Project, data: object) -> list[str]:
    """Return the places of all that does not fit, the deepest of alternatives."""
    places = []
    todo = [*validator(project).iter_errors(data)]
    while todo:
        error = todo.pop()
        inner = [each for each in error.context or () if "_type" not in each.schema.get("properties", {})]
        if inner:
            todo += [each for each in inner if each.validator != "type"] or inner
        else:
            places.append(".".join(map(str, error.absolute_path)) + f" {error.validator}")
    return sorted(set(places))


def test_every_example_fits(tmp_path: Path) -> None:
    for name in ("instances", "inventory"):
        page = (ROOT / f"tests/documents/{name}.md").read_text()
        for number, block in enumerate(
            re.findall(r"^( *)```\{?\.?nix.*?\n(.*?)^ *```", page, re.MULTILINE | re.DOTALL)
        ):
            file = tmp_path / f"{name}-{number}" / ("flake.nix" if "outputs" in block[1] else "inventory.nix")
            file.parent.mkdir()
            file.write_text(block[1])
            try:
                loaded = inventory.load(Project(file.parent))
            except Faults:
                continue  # the document's own slip
            (source,) = loaded.sources
            text, _ = pipeline.schema(pipeline.Workspace(Project(file.parent)))
            assert [*Draft7Validator(json.loads(text)).iter_errors(source.data)] == []
    for example in (ROOT / "examples").iterdir():
        project = Project(tmp_path / example.name)
        shutil.copytree(example, project.root)
        for source in inventory.load(project).sources:
            assert [*validator(project).iter_errors(source.data)] == []


LIMITS = st.fixed_dictionaries({}, optional={"soft": st.integers(0, 20), "hard": st.none() | st.integers()})
BARE = {
    "word": st.sampled_from(["hi", "ho"]),
    "times": st.integers(-1, 12),
    "tone": st.sampled_from(["loud", "quiet", "odd"]),
    "also": st.lists(st.sampled_from("xyz"), max_size=3),
    "limits": LIMITS,
    "named": st.dictionaries(st.sampled_from("mn"), LIMITS, max_size=2),
    "secret": st.none(),
    "wrod": st.none(),
}


def _perhaps_wrapped(value: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    forced = st.builds(lambda content: {"_type": "override", "priority": 50, "content": content}, value)
    return st.one_of(value, value, value, forced)


WRAPPED_SETTINGS = st.fixed_dictionaries({}, optional={name: _perhaps_wrapped(value) for name, value in BARE.items()})
NAMES = st.sampled_from(["jon", "sara", "store"])
ROLE = st.fixed_dictionaries(
    {},
    optional={
        "settings": st.none() | WRAPPED_SETTINGS,
        "machines": st.dictionaries(
            NAMES, st.none() | st.builds(lambda settings: {"settings": settings}, WRAPPED_SETTINGS), max_size=2
        ),
        "tags": st.lists(st.sampled_from(["a", "b", "all"]), unique=True, max_size=2)
        | st.dictionaries(
            st.sampled_from(["a", "b"]),
            st.builds(lambda settings: {"settings": settings}, WRAPPED_SETTINGS),
            max_size=2,
        ),
    },
)


@pytest.mark.slow
@settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much],
)
@given(st.dictionaries(st.sampled_from(["talk", "lead"]), ROLE), st.sampled_from(["club", "other"]))
def test_an_inventory_without_faults_fits(make_project: MakeProject, roles: dict[str, Any], name: str) -> None:
    text = json.dumps(roles)
    assume(not ('"odd"' in text and '"override"' in text))  # a wrong value that another one overrides does not count
    data = {**BASE, "instances": {name: {"module": {"name": "club", "input": "self"}, "roles": roles}}}
    project = make_project(json.dumps(data), "inventory.json")
    try:
        members_by_role = pipeline.Workspace(project).members().membership.role_members[name]
        assume(
            all(members_by_role[role].settings for role in roles)
        )  # of a role that nobody plays, settings are not looked at
    except Faults:
        assume(False)  # noqa: FBT003 - hypothesis's way to say: another one
    assert [error.message for error in validator(project).iter_errors(data)] == []
    make_project(json.dumps(BASE), "inventory.json")  # nor does the schema refuse it that was there before it
    assert [error.message for error in validator(project).iter_errors(data)] == []


def test_what_is_ignored_of_a_clan_fits(make_project: MakeProject) -> None:
    data = json.loads(json.dumps(BASE))
    for path in LEFT_OUT:
        *parents, last = ({"machines": "jon", "instances": "club", "roles": "talk"}.get(a, b) for a, b in pairs(path))
        table = data
        for key in parents:
            table = table.setdefault(key, {})
        table[last] = ["x"]
    project = make_project(json.dumps(data), "inventory.json")
    assert len(inventory.load(project).warnings) == len(LEFT_OUT)
    assert [error.message for error in validator(project).iter_errors(data)] == []


def pairs(path: tuple[str, ...]) -> list[tuple[str, str]]:
    """Each key of a path, after the table that it names an entry of, or ""."""
    return [(path[n - 1] if key == "*" else "", key) for n, key in enumerate(path)]


SETTINGS = "instances.club.roles.talk.settings"


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        (f"{SETTINGS}.wrod", "x", f"{SETTINGS} additionalProperties"),
        (f"{SETTINGS}.word", 3, f"{SETTINGS}.word type"),
        (f"{SETTINGS}.times", 10, f"{SETTINGS}.times maximum"),
        (f"{SETTINGS}.tone", "odd", f"{SETTINGS}.tone enum"),
        (f"{SETTINGS}.limits", {"sfot": 1}, f"{SETTINGS}.limits additionalProperties"),
        (f"{SETTINGS}.named", {"x": {"soft": -1}}, f"{SETTINGS}.named.x.soft minimum"),
        (f"{SETTINGS}.secret", {"vra": "a/b"}, f"{SETTINGS}.secret additionalProperties"),
        ("instances.club.roles.takl", {}, "instances.club.roles additionalProperties"),
        ("instances.club.role", {}, "instances.club additionalProperties"),
        ("instances.club.roles.lead.settings", {"x": 1}, "instances.club.roles.lead.settings additionalProperties"),
        ("instances.a b", {}, "instances pattern"),
        ("machines.jon.tagz", [], "machines.jon additionalProperties"),
        ("machines.jon.tags", "a", "machines.jon.tags type"),
        ("machines.jon.deploy", {"targethost": "x"}, "machines.jon.deploy additionalProperties"),
        ("tags.x", {"al": []}, "tags.x additionalProperties"),
        ("meta.nam", "x", "meta additionalProperties"),
        ("mta", {}, " additionalProperties"),
        (
            "instances.new",
            {"module": {"name": "club", "input": "self"}, "roles": {"talk": {"settings": {"wrod": 1}}}},
            "instances.new.roles.talk.settings additionalProperties",
        ),
        ("instances.borgbackup", {"roles": {"clinet": {}}}, "instances.borgbackup.roles additionalProperties"),
    ],
)
def test_a_mistake_is_reported_at_its_place(make_project: MakeProject, path: str, value: object, expected: str) -> None:
    project = make_project(json.dumps(BASE), "inventory.json")
    data = json.loads(json.dumps(BASE))
    table = data
    *parents, last = path.split(".")
    for key in parents:
        table = table.setdefault(key, {})
    table[last] = value
    assert wrong(project, BASE) == []
    assert expected in wrong(project, data)


def test_it_is_the_same_each_time(make_project: MakeProject) -> None:
    project = make_project(json.dumps(BASE), "inventory.json")
    assert pipeline.schema(pipeline.Workspace(project)) == pipeline.schema(pipeline.Workspace(project))


def test_a_module_that_does_not_load_is_a_warning(make_project: MakeProject) -> None:
    project = make_project(json.dumps(BASE), "inventory.json")
    (project.modules / "club.py").write_text("raise ValueError('no')")
    text, (warning,) = pipeline.schema(pipeline.Workspace(project))
    assert warning.warning
    assert "club" in warning.message
    assert [*Draft7Validator(json.loads(text)).iter_errors(BASE)] == []


def test_json_may_name_its_schema(make_project: MakeProject) -> None:
    project = make_project(json.dumps({"$schema": "./inventory.schema.json", **BASE}), "inventory.json")
    assert pipeline.Workspace(project).check().membership.role_members["club"]["talk"].settings.keys() == {
        "jon",
        "sara",
    }
    assert wrong(project, {"$schema": "./inventory.schema.json", "inventory": BASE}) == []
