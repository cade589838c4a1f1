"""Machines come, go and get other names: in every notation, everywhere, and nowhere else."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from rolecall.errors import Faults
from rolecall.inventory import load, machines
from rolecall.inventory.notation import NOTATIONS
from rolecall.project import Project

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rolecall.errors import Fault
    from rolecall.model.inventory import Loaded

TEXTS = {
    "toml": """\
# jon is the first
[machines.jon]  # jon
tags = ["jon"]
description = "jon"
[machines.'jon-2']

[machines.sara]
[tags]
jon = ["sara"]
web = ["sara", 'jon']
all-of = { all = ["jon"], machines = ["jon", "sara"] }

[instances.jon.roles.jon.machines.jon.settings]
jon = "jon"
[instances.jon.roles.other]
machines = { jon = {}, sara = {} }
tags.jon = {}
""",
    "yaml": """\
# jon is the first
machines:
  jon:  # jon
    tags: [jon]
    description: jon
  jon-2:
  sara: {}
tags:
  jon: [sara]
  web:
  - sara
  - "jon"
  all-of: {all: [jon], machines: [jon, sara]}
instances:
  jon:
    roles:
      jon:
        machines: {jon: {settings: {jon: jon}}}
      other:
        machines:
          "jon": {}
          sara: {}
        tags: {jon: {}}
""",
    "nix": """\
# jon is the first
{
  machines.jon = { # jon
    tags = [ "jon" ];
    description = "jon";
  };
  machines.jon-2 = { };
  machines.sara = { };
  tags.jon = [ "sara" ];
  tags.web = [ "sara" "jon" ];
  tags.all-of = { all = [ "jon" ]; machines = [ "jon" "sara" ]; };
  instances.jon.roles.jon.machines."jon".settings.jon = "jon";
  instances.jon.roles.other = {
    machines = { jon = { }; sara = { }; };
    tags.jon = { };
  };
}
""",
    "python": """\
# jon is the first
inventory = {
    "machines": {
        "jon": {"tags": ["jon"], "description": "jon"},  # jon
        "jon-2": {},
        "sara": {},
    },
    "tags": {
        "jon": ["sara"],
        "web": ["sara", 'jon'],
        "all-of": {"all": ["jon"], "machines": ["jon", "sara"]},
    },
    "instances": {
        "jon": {
            "roles": {
                "jon": {"machines": {"jon": {"settings": {"jon": "jon"}}}},
                "other": {"machines": {"jon": {}, "sara": {}}, "tags": {"jon": {}}},
            },
        },
    },
}
""",
    "json": """\
{
  "machines": {"jon": {"tags": ["jon"], "description": "jon"}, "jon-2": {}, "sara": {}},
  "tags": {
    "jon": ["sara"],
    "web": ["sara", "jon"],
    "all-of": {"all": ["jon"], "machines": ["jon", "sara"]}
  },
  "instances": {"jon": {"roles": {
    "jon": {"machines": {"jon": {"settings": {"jon": "jon"}}}},
    "other": {"machines": {"jon": {}, "sara": {}}, "tags": {"jon": {}}}
  }}}
}
""",
}


def judge(_: Loaded, faults: Sequence[Fault]) -> Sequence[Sequence[Fault]]:
    return [faults]


def rename(project: Project, old: str, new: str, *, known: bool = False) -> None:
    with machines.renaming(project, old, new, judge, known=known):
        pass


@pytest.mark.parametrize("new", ["bob", "5", "true", "jon-3"])
@pytest.mark.parametrize("notation", TEXTS)
def test_only_names_of_the_machine_are_renamed(notation: str, new: str, tmp_path: Path) -> None:
    file = tmp_path / f"inventory{NOTATIONS[notation].suffixes[0]}"
    file.write_text(TEXTS[notation])
    project = Project(tmp_path)
    before = load(project).inventory
    rename(project, "jon", new)
    after = load(project).inventory
    assert after.machines.keys() == {new, "jon-2", "sara"}
    assert after.machines[new].model_copy(update={"formerly": []}) == before.machines["jon"]
    assert after.machines[new].formerly == ["jon"]
    assert after.tags["web"] == ["sara", new]
    assert after.tags["jon"] == ["sara"]
    assert after.tags["all-of"] == before.tags["all-of"].model_copy(update={"machines": [new, "sara"]})  # type: ignore[union-attr]
    roles = after.instances["jon"].roles
    assert roles["jon"].machines[new].settings == {"jon": "jon"}
    assert list(roles["other"].machines) == [new, "sara"]
    assert not project.renaming.exists()
    text = file.read_text()
    assert text.count("jon") == TEXTS[notation].count("jon") - 5 + text.count("jon-3") + (notation == "json")
    rename(project, new, "jon")
    assert load(project).inventory.machines["jon"].formerly == [new]
    if notation == "json":
        return
    same = file.read_text().replace('"jon"', "jon").replace("'jon'", "jon")
    assert same == TEXTS[notation].replace('"jon"', "jon").replace("'jon'", "jon")  # but for quotes


def test_all_files_and_the_folder_get_the_other_name(tmp_path: Path) -> None:
    (tmp_path / "inventory.toml").write_text('[machines.jon]\n[tags]\nx = ["jon"]\n')
    (tmp_path / "inventory.json").write_text('{"machines": {"jon": {"tags": ["y"]}}}')
    (tmp_path / "machines/jon").mkdir(parents=True)
    (tmp_path / "machines/jon/file").write_text("kept")
    rename(Project(tmp_path), "jon", "bob")
    assert (tmp_path / "inventory.toml").read_text() == '[machines.bob]\n[tags]\nx = ["bob"]\n'
    layer = json.loads((tmp_path / "inventory.json").read_text())
    assert layer == {"machines": {"bob": {"tags": ["y"], "formerly": ["jon"]}}}
    assert (tmp_path / "machines/bob/file").read_text() == "kept"


COMPUTED = """\
let first = "jon"; in {
  machines.${first} = { };
  tags.web = [
    "sara"
    first
  ];
  machines.sara = { };
}
"""


def test_places_that_cannot_be_edited_are_reported(tmp_path: Path) -> None:
    file = tmp_path / "inventory.nix"
    file.write_text(COMPUTED)
    with pytest.raises(Faults) as caught:
        rename(Project(tmp_path), "jon", "bob")
    message = str(caught.value).replace(f"{tmp_path}/", "")
    assert (
        message
        == """\
error: inventory.nix names jon in a place that Rolecall cannot edit
  at inventory.nix:2:12 machines.jon
hint: change jon to bob there by hand, then run this command again
error: inventory.nix names jon in a place that Rolecall cannot edit
  at inventory.nix:5:5 tags.web[1]
hint: change jon to bob there by hand, then run this command again"""
    )
    assert file.read_text() == COMPUTED
    file.write_text(COMPUTED.replace('"jon"', '"bob"'))  # as a person does
    with pytest.raises(Faults, match="machine 'jon' does not exist"):
        rename(Project(tmp_path), "jon", "bob")  # when nothing else knows that name
    rename(Project(tmp_path), "jon", "bob", known=True)
    assert load(Project(tmp_path)).inventory.machines["bob"].formerly == ["jon"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("jno", "bob", "error: machine 'jno' does not exist\nhint: did you mean 'jon'?"),
        ("jon", "sara", "error: machine 'sara' already exists"),
        ("jon", "rob", "error: machine 'rob' already exists"),
        ("jon", "jon", "error: machine 'jon' already exists"),
        ("jon", "a.b", ("error: invalid machine name 'a.b'\nhint: use 1 to 63 letters, digits, `_` and `-`; "
         "the first character cannot be `-`")),
    ],
)  # fmt: skip
def test_a_rename_is_refused(old: str, new: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "inventory.toml").write_text("[machines.jon]\n[machines.sara]\n")
    (tmp_path / "machines/rob").mkdir(parents=True)
    with pytest.raises(Faults) as caught:
        rename(Project(tmp_path), old, new)
    assert str(caught.value) == message
    assert not (tmp_path / "inventory.json").exists()


def test_nothing_is_read_during_a_rename(tmp_path: Path) -> None:
    (tmp_path / "inventory.toml").write_text("[machines.jon]\n")
    project = Project(tmp_path)
    with pytest.raises(OSError, match="power"), machines.renaming(project, "jon", "bob", judge, known=False):
        raise OSError("power")
    with pytest.raises(Faults, match="renaming machine 'jon' to 'bob' was interrupted"):
        load(project)
    with pytest.raises(Faults, match="renaming machine 'jon' to 'bob' was interrupted"):
        rename(project, "jon", "rob")
    rename(project, "jon", "bob")
    assert list(load(project).inventory.machines) == ["bob"]


def test_a_machine_is_removed_everywhere(tmp_path: Path) -> None:
    (tmp_path / "inventory.yaml").write_text(TEXTS["yaml"])
    (tmp_path / "inventory.json").write_text('{"machines": {"jon": {}}, "tags": {"y": ["jon", "sara", "jon"]}}')
    project = Project(tmp_path)
    with pytest.raises(Faults) as caught:
        machines.remove(project, "jon", own=False, judge=judge)
    assert [fault.message for fault in caught.value.faults] == [
        "inventory.yaml sets machines.jon",
        "inventory.yaml sets tags.web[1]",
        "inventory.yaml sets tags.all-of.machines[0]",
        "inventory.yaml sets instances.jon.roles.jon.machines.jon",
        "inventory.yaml sets instances.jon.roles.other.machines.jon",
    ]
    machines.remove(project, "jon", own=True, judge=judge)
    assert json.loads((tmp_path / "inventory.json").read_text()) == {"machines": {}, "tags": {"y": ["sara"]}}
    after = load(project).inventory
    assert after.machines.keys() == {"jon-2", "sara"}
    assert after.tags["web"] == ["sara"]
    assert after.instances["jon"].roles["jon"].machines == {}
    with pytest.raises(Faults, match="machine 'jon' does not exist"):
        machines.remove(project, "jon", own=True, judge=judge)


def test_a_machine_with_a_folder_is_not_removed(tmp_path: Path) -> None:
    (tmp_path / "inventory.toml").write_text("[machines.jon]\n")
    (tmp_path / "machines/jon").mkdir(parents=True)
    with pytest.raises(Faults, match="the folder machines/jon declares machine 'jon'"):
        machines.remove(Project(tmp_path), "jon", own=True, judge=judge)
    assert (tmp_path / "inventory.toml").read_text() == "[machines.jon]\n"


def test_a_machine_is_added_once(tmp_path: Path) -> None:
    (tmp_path / "inventory.toml").write_text("[machines.jon]\n")
    project = Project(tmp_path)
    machines.add(project, "sara", {"tags": ["a"]}, judge)
    assert json.loads((tmp_path / "inventory.json").read_text()) == {"machines": {"sara": {"tags": ["a"]}}}
    for name in ("jon", "sara"):
        with pytest.raises(Faults, match=f"machine '{name}' already exists"):
            machines.add(project, name, {}, judge)
