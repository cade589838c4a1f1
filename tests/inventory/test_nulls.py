"""A key without a value never takes anything away (rolecall.inventory.nulls)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rolecall.errors import Faults
from rolecall.inventory import edit
from rolecall.inventory.changes import Set, Unset, has
from rolecall.inventory.join import join
from rolecall.inventory.load import check, read
from rolecall.inventory.notations import yaml
from rolecall.model.source import Source
from rolecall.project import Project

if TYPE_CHECKING:
    from conftest import FaultsOf, Load
    from rolecall.inventory.data import Data, Keys
    from rolecall.model.inventory import Inventory

JSON = """\
{
  "machines": {"jon": {"tags": ["backup"], "deploy": {"targetHost": "root@jon"}}},
  "tags": {"servers": ["jon"]},
  "instances": {"backup": {"roles": {
    "server": {"machines": {"jon": {"settings": {"port": 7}}}, "tags": {"backup": {"settings": {"port": 8}}}},
    "client": {"tags": ["backup"], "settings": {"startAt": "daily"}}
  }}}
}
"""


@pytest.mark.parametrize(
    ("own", "silent"),
    [
        ("instances:", ["instances"]),
        ("machines:", ["machines"]),
        ("machines:\n  jon:", []),
        ("machines:\n  jon:\n    tags:\n    description:\n    deploy: ~", ["deploy", "tags"]),
        ("machines:\n  jon:\n    deploy:\n      targetHost:", []),
        ("tags: null\nvars:", ["tags", "vars"]),
        ("tags:\n  servers:", ["servers"]),
        ("instances:\n  backup:\n    module:\n    roles:", ["module", "roles"]),
        ("instances:\n  backup:\n    roles:\n      server:\n      client:", []),
        ("instances:\n  backup:\n    roles:\n      client:\n        settings:\n        tags:", ["settings", "tags"]),
        (
            "instances: {backup: {roles: {server: {tags: {backup: }, machines: {jon: {settings: }}}}}}",
            ["settings"],
        ),
    ],
)
def test_a_key_without_a_value_is_ignored(loading: Load, own: str, silent: list[str]) -> None:
    alone = loading(JSON, "inventory.json").inventory
    found = loading(own, "inventory.yaml", json=JSON)
    assert found.inventory == alone
    messages = sorted(warning.message for warning in found.warnings)
    assert messages == [f"'{key}' has no value and is ignored" for key in silent]


def test_a_folder_of_a_machine_and_a_name_alone(loading: Load, tmp_path: Path) -> None:
    (tmp_path / "machines/sara").mkdir(parents=True)
    found = loading("machines:\n  jon:\n  sara:\n", "inventory.yaml", json=JSON)
    assert {name: machine.tags for name, machine in found.inventory.machines.items()} == {"jon": ["backup"], "sara": []}
    assert found.warnings == ()


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("inventory.json", '{"machiens": null}', "'machiens'\n  at inventory.json:1:2 machiens"),
        ("inventory.json", '{"machines": {"a": {"tgas": null}}}', "'tgas'\n  at inventory.json:1:21 machines.a.tgas"),
        ("inventory.yaml", "instnaces:", "'instnaces'\n  at inventory.yaml:1:1 instnaces"),
        (
            "inventory.nix",
            "{ machines.a.deploy.host = null; }",
            "'host'\n  at inventory.nix:1:21 machines.a.deploy.host",
        ),
        ("inventory.py", "inventory = {'meta': {'nmae': None}}", "'nmae'\n  at inventory.py:1:23 meta.nmae"),
    ],
)
def test_an_unknown_key_is_a_fault_whatever_its_value(faults_of: FaultsOf, name: str, text: str, expected: str) -> None:
    assert faults_of(text, name).startswith(f"error: unknown key {expected}")


def test_a_setting_with_nothing_behind_it_is_a_fault(faults_of: FaultsOf) -> None:
    roles = "instances:\n  backup:\n    roles:\n      client:\n"
    settings = "exclude:\n          keep: {daily: , more: [1, ]}\n          names:\n          -\n"
    text = f"{roles}        settings:\n          {settings}"
    hint = "hint: write a value, which may be `null`, or remove the key"
    assert faults_of(text, "inventory.yaml", json=JSON).split("\n") == [
        "error: 'exclude' has no value",
        "  at inventory.yaml:6:11 instances.backup.roles.client.settings.exclude",
        hint,
        "error: 'daily' has no value",
        "  at inventory.yaml:7:18 instances.backup.roles.client.settings.keep.daily",
        hint,
        "error: item [0] of 'names' has no value",
        "  at inventory.yaml:9:11 instances.backup.roles.client.settings.names[0]",
        hint,
    ]
    inside = "        tags: {backup: {settings: {port: }}}\n        machines: {jon: {settings: {port: }}}\n"
    assert faults_of(roles + inside, "inventory.yaml", json=JSON).count("error: 'port' has no value") == 2


def test_a_setting_with_nothing_behind_it_is_one_fault(tmp_path: Path) -> None:
    text = "instances: {b: {roles: {r: {settings: {exclude: , port: 1}}}}}"
    (tmp_path / "inventory.yaml").write_text(text)
    loaded, faults = check(read(Project(tmp_path)))
    assert [fault.message for fault in faults] == ["'exclude' has no value"]
    assert loaded.inventory.instances["b"].roles["r"].settings == {"port": 1}  # so that the service finds no null


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("machines: {}\n? [a]\n: {}", "this key is a list, not a string\n  at inventory.yaml:2:3"),
        ("machines: {}\n? [a] : {}", "this key is a table, not a string\n  at inventory.yaml:2:3"),
        ("machines:\n  ? {a: 1}\n  : {}", "this key is a table, not a string\n  at inventory.yaml:2:5"),
        ("null: 1\n~: 2", "the key 'null' is not a string\n  at inventory.yaml:1:1"),
        ("machines:\n  jon:\n    ~: 1", "the key '~' is not a string\n  at inventory.yaml:3:5"),
        ("machines: {True: {}, true: {}}", "the key 'True' is not a string\n  at inventory.yaml:1:12"),
        ("a: 1\n: 1", "a key is missing here\n  at inventory.yaml:2:1"),
    ],
)
def test_a_key_that_is_not_a_text_is_named_as_it_is_written(faults_of: FaultsOf, text: str, told: str) -> None:
    hint = "write a name before the `:`" if "the key '" not in told else "put it in quotes"
    assert faults_of(text, "inventory.yaml") == f"error: {told}\nhint: {hint}"


def test_null_is_a_setting(loading: Load) -> None:
    text = "instances:\n  backup:\n    roles:\n      client:\n        settings: {startAt: null, other: ~}\n"
    found = loading(text, "inventory.yaml", json=JSON)
    settings = found.inventory.instances["backup"].roles["client"].settings
    assert [*settings.values()] == [{"startAt": "daily"}, {"startAt": None, "other": None}]  # by file
    assert found.warnings == ()


@pytest.mark.parametrize("text", ["- &a\n- *a\n-", "a: &x {b: , c: *x}", "&a [*a, ]", "? \n: 1\n", "", "~", "? \n: "])
def test_what_is_empty_in_odd_yaml(text: str) -> None:
    try:
        found: object = yaml.read(text, Path("inventory.yaml")).data
    except Faults as faults:
        found = faults
    assert found == {} or "object" not in str(found)  # nothing of the reader's own


@pytest.mark.parametrize(
    ("keys", "value", "path"),
    [
        (("machines", "jon"), None, "machines.jon"),
        (("machines", "jon", "description"), None, "machines.jon.description"),
        (("instances", "i"), {"roles": {"client": {"tags": None}}}, "instances.i.roles.client.tags"),
        (("tags",), {"servers": None}, "tags.servers"),
    ],
)
def test_null_is_not_written_where_it_is_ignored(tmp_path: Path, keys: Keys, value: object, path: str) -> None:
    project = Project(tmp_path)
    (tmp_path / "inventory.toml").write_text("")
    with pytest.raises(Faults) as caught:
        edit.edit(project, lambda _: [Set(keys, value)])
    assert str(caught.value) == f"error: {path} cannot be null\nhint: write a value"
    settings = ("instances", "i", "roles", "client", "settings", "limit")
    edit.edit(project, lambda _: [Set(settings, None)])
    assert edit.get(project, settings)[0] is None


STATE = ("machines", "jon", "state")


@pytest.mark.parametrize(
    ("json", "yaml_", "keys", "own"),
    [
        ('{"machines": {"jon": {"state": null}}, "instances": null}', "", STATE, False),
        ('{"machines": {"jon": {"state": null}}, "instances": null}', "machines: {jon: }", ("instances",), False),
        ('{"machines": {"jon": {"state": null}}}', "machines: {jon: {state: {a: {folders: [/srv]}}}}", STATE, False),
        ('{"machines": {"jon": {}}}', "machines:\n  jon:\n    state:\n    description: x\n", STATE, True),
        ('{"machines": {"jon": {}}, "tags": {"a": null}}', "", ("tags", "a"), False),
    ],
)
def test_a_key_without_a_value_is_removed(tmp_path: Path, json: str, yaml_: str, keys: Keys, own: bool) -> None:  # noqa: FBT001 - a parameter
    project = Project(tmp_path)
    (tmp_path / "inventory.json").write_text(json)
    (tmp_path / "inventory.yaml").write_text(yaml_)
    before = join(read(project).sources)[0].inventory
    with pytest.raises(Faults) as caught:
        edit.edit(project, lambda _: [Set(keys, None)], own=own)
    wanted = f"remove the key: `rolecall inventory unset {'--own ' if own else ''}{'.'.join(map(str, keys))}`"
    assert wanted in str(caught.value)
    if own:
        with pytest.raises(Faults, match=r"inventory\.yaml sets .*\n.*\n.*: `--own`"):
            edit.edit(project, lambda _: [Unset(keys)])
    edit.edit(project, lambda _: [Unset(keys)], own=own)
    after = check(read(project))[0]
    assert join(after.sources)[0].inventory == before
    assert not has(after.sources[-1 if own else 0].data, keys)


NAMES = st.sampled_from(["a", "b", "c"])
SETTINGS = st.dictionaries(st.sampled_from(["x", "y"]), st.integers() | st.lists(NAMES, max_size=2), max_size=2)


def tables(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


SPEAKER = tables(settings=SETTINGS)
INVENTORIES = tables(
    meta=tables(name=NAMES, domain=st.just("home.example")),
    machines=st.dictionaries(
        NAMES,
        tables(
            tags=st.lists(st.sampled_from(["t", "u"]), max_size=2),
            description=NAMES,
            deploy=tables(targetHost=NAMES),
            state=st.dictionaries(NAMES, st.builds(lambda: {"folders": ["/srv"]}), max_size=1),
        ),
        max_size=2,
    ),
    instances=st.dictionaries(
        NAMES,
        tables(
            module=tables(name=NAMES, input=NAMES),
            roles=st.dictionaries(
                NAMES,
                tables(
                    machines=st.dictionaries(NAMES, SPEAKER, max_size=2),
                    tags=st.dictionaries(st.sampled_from(["t", "u"]), SPEAKER, max_size=2),
                    settings=SETTINGS,
                ),
                max_size=2,
            ),
        ),
        max_size=2,
    ),
)


def places(data: object, keys: Keys = ()) -> list[Keys]:
    """Return the key path of every table."""
    if not isinstance(data, dict):
        return []
    return [keys, *(found for key, value in data.items() for found in places(value, (*keys, key)))]


def lost(before: object, after: object, keys: Keys = ()) -> list[Keys]:
    """Return the key paths of what the second inventory lacks or changes."""
    if isinstance(before, dict) and isinstance(after, dict):
        return [
            found
            for key, value in before.items()
            for found in (lost(value, after[key], (*keys, key)) if key in after else [(*keys, key)])
        ]
    return [] if before == after else [keys]


@given(INVENTORIES, INVENTORIES, st.data())
def test_a_key_without_a_value_removes_nothing(tools: Data, own: Data, data: st.DataObject) -> None:
    written, other = data.draw(st.sampled_from([(own, tools), (tools, own)]))

    def joined(empty: tuple[Keys, ...] = ()) -> tuple[Inventory, bool]:
        layers = [("inventory.json", tools), ("inventory.yaml", own)]
        sources = [Source(Path(file), data, empty=empty if data is written else ()) for file, data in layers]
        loaded, faults = join(sources)
        return loaded.inventory, bool(faults)

    before, _ = joined()
    keys = data.draw(st.sampled_from(places(written)))
    table: Any = written
    for key in keys:
        table = table[key]
    there: Any = other
    for key in keys:
        there = there.get(key, {}) if isinstance(there, dict) else {}
    free = [
        key for key in {*(there if isinstance(there, dict) else ()), "a", "t", "tags", "settings"} if key not in table
    ]
    table[data.draw(st.sampled_from(sorted(free)))] = None
    added = (*keys, next(key for key, value in table.items() if value is None))
    after, refused = joined((added,))
    in_settings = "settings" in keys
    assert refused >= in_settings
    if not refused:
        assert lost(before.model_dump(), after.model_dump()) == []
