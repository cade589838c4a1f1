"""Edits of an inventory: what files say afterwards, what is refused, and what two writers at once make of it."""

from __future__ import annotations

import difflib
import json
import multiprocessing
import os
import signal
import time
from typing import TYPE_CHECKING

import pytest

from rolecall.errors import Faults, undotted
from rolecall.evaluate.merge import combined
from rolecall.inventory.changes import Change, Set, Unset
from rolecall.inventory.edit import digest, edit, get
from rolecall.inventory.notations.json_text import value as value_of
from rolecall.project import Project

if TYPE_CHECKING:
    from pathlib import Path

    from rolecall.inventory.data import Data

TOML = """\
# Ours
[machines.jon]  # the first
tags = ["a"]  # short

# about sara
[machines.sara]
deploy.targetHost = "sara"

[instances.b.roles.client]
tags = ["a"]
"""
YAML = """\
# Ours
machines:
  jon:  # the first
    tags: [a]  # short
  # about sara
  sara:
    deploy: {targetHost: sara}
  rob:
tags:
  web:
  - jon   # he
  - sara
"""
JSON = """\
{
    "machines": {
        "jon": {"tags": ["a"]},
        "sara": null
    }
}
"""


def set_(path: str, value: object) -> Change:
    return Set(undotted(path), value)


def unset(path: str) -> Change:
    return Unset(undotted(path))


# The file's suffix, its text, the change, and the lines that go (-) and come (+).
CHANGES: list[tuple[str, str, Change, str]] = [
    ("toml", TOML, set_("machines.jon.tags", ["a", "b"]), '-tags = ["a"]  # short\n+tags = ["a", "b"]  # short'),
    ("toml", TOML, set_("machines.jon.tags[1]", "b"), '-tags = ["a"]  # short\n+tags = ["a", "b"]  # short'),
    ("toml", TOML, set_("machines.jon.description", "he"), '+description = "he"'),
    ("toml", TOML, set_("machines.sara.deploy.targetHost", "s"),
     '-deploy.targetHost = "sara"\n+deploy.targetHost = "s"'),
    ("toml", TOML, unset("machines.jon.tags"), '-tags = ["a"]  # short'),
    ("toml", TOML, set_("machines.rob", {"tags": ["a"]}), '+[machines.rob]\n+tags = ["a"]\n+'),
    ("toml", TOML, set_("instances.b.roles.server.machines.sara", {}), "+\n+[instances.b.roles.server.machines.sara]"),
    ("toml", TOML, set_("meta.name", "x"), '+\n+[meta]\n+name = "x"'),
    ("toml", TOML, unset("machines.sara"), '-[machines.sara]\n-deploy.targetHost = "sara"'),
    ("toml", "", set_("machines.jon", {}), "+[machines.jon]"),
    ("yaml", YAML, set_("machines.jon.tags[1]", "b"), "-    tags: [a]  # short\n+    tags: [a, b]  # short"),
    ("yaml", YAML, set_("machines.jon.description", "a: b"), "+    description: 'a: b'"),
    ("yaml", YAML, set_("machines.rob.tags", ["a"]), "+    tags: [a]"),
    ("yaml", YAML, set_("machines.sara.deploy.targetHost", "s"),
     "-    deploy: {targetHost: sara}\n+    deploy: {targetHost: s}"),
    ("yaml", YAML, unset("tags.web[0]"), "-  - jon   # he"),
    ("yaml", YAML, set_("tags.web[2]", "rob"), "+  - rob"),
    ("yaml", YAML, unset("machines.sara.deploy"), "-  sara:\n-    deploy: {targetHost: sara}\n+  sara: {}"),
    ("yaml", YAML, set_("meta", {"name": "x"}), "+meta:\n+  name: x"),
    ("yaml", "# only this\n", set_("meta.name", "x"), "+meta:\n+  name: x"),
    ("json", JSON, set_("machines.jon.tags[1]", "b"),
     '-        "jon": {"tags": ["a"]},\n+        "jon": {"tags": ["a", "b"]},'),
    ("json", JSON, set_("machines.sara.tags", ["b"]),
     ('-        "sara": null\n'
     '+        "sara": {\n+            "tags": [\n+                "b"\n+            ]\n+        }')),
    ("json", JSON, set_("machines.rob", {}), '-        "sara": null\n+        "sara": null,\n+        "rob": {}'),
    ("json", JSON, unset("machines.sara"),
     '-        "jon": {"tags": ["a"]},\n-        "sara": null\n+        "jon": {"tags": ["a"]}'),
]  # fmt: skip


@pytest.mark.parametrize(("suffix", "text", "change", "lines"), CHANGES, ids=lambda value: str(value)[:50])
def test_an_edit_changes_these_lines(suffix: str, text: str, change: Change, lines: str, tmp_path: Path) -> None:
    file = tmp_path / f"inventory.{suffix}"
    file.write_text(text)
    edit(Project(tmp_path), lambda _: [change], own=True)
    assert difference(text, file.read_text()) == lines


def difference(old: str, new: str) -> str:
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), n=0, lineterm="")
    return "\n".join(line for line in lines if not line.startswith(("---", "+++", "@@")))


OWN = """\
[machines.jon]
tags = ["a"]

[machines.sara]
"""
LAYER = '{"machines": {"rob": {"tags": ["b"]}}}'

# A change, whether it is one of the user's file, and the fault.
REFUSED: list[tuple[Change, bool, str]] = [
    (set_("machines.jon.tags", ["b"]), False, """\
error: inventory.toml sets machines.jon.tags
  at inventory.toml:2:1 machines.jon.tags
hint: edit it there by hand, or let Rolecall do it: `--own`"""),
    (set_("machines.jon", {"description": "he"}), False, """\
error: inventory.toml sets machines.jon
  at inventory.toml:1:11 machines.jon
hint: edit it there by hand, or let Rolecall do it: `--own`"""),
    (set_("machines.jon.tags[1]", "b"), False, """\
error: inventory.toml sets machines.jon.tags
  at inventory.toml:2:1 machines.jon.tags
hint: edit it there by hand, or let Rolecall do it: `--own`"""),
    (set_("machines.rob.tags[0]", "c"), True, """\
error: inventory.json sets machines.rob.tags
  at inventory.json:1:23 machines.rob.tags
hint: omit `--own` to change it there"""),
    (set_("machines.sara.tags[0]", "b"), True, """\
error: machines.sara.tags does not exist
  at machines.sara.tags
hint: set the whole list"""),
    (unset("machines.sara"), False, """\
error: inventory.toml sets machines.sara
  at inventory.toml:4:11 machines.sara
hint: edit it there by hand, or let Rolecall do it: `--own`"""),
    (unset("machines.rob.tags"), True, """\
error: inventory.json sets machines.rob.tags
  at inventory.json:1:23 machines.rob.tags
hint: omit `--own` to change it there"""),
    (unset("machines.bob"), True, """\
error: machines.bob does not exist
  at machines.bob
hint: did you mean 'rob'?"""),
    (set_("machines.rob.tags[2]", "c"), False, """\
error: machines.rob.tags[2] does not exist
  at machines.rob.tags[2]
hint: machines.rob.tags is a list with the items [0] to [0]"""),
    (set_("machines.rob.tags.x", "c"), False, """\
error: machines.rob.tags.x does not exist
  at machines.rob.tags.x
hint: machines.rob.tags is a list with the items [0] to [0]"""),
    (set_("machines.jon.tags[0].x", "c"), True, """\
error: machines.jon.tags[0] is the string "a", so it has no keys
  at machines.jon.tags[0]
hint: replace the whole value"""),
    (set_("machines.jon.tagz", ["b"]), False, """\
error: nothing written: the change would cause these faults
error: unknown key 'tagz'
  at machines.jon.tagz
hint: did you mean 'tags'?"""),
    (set_("machines.rob.tags", "b"), False, """\
error: nothing written: the change would cause these faults
error: expected a list of strings, found the string "b"
  at machines.rob.tags"""),
    (set_("", {}), True, """\
error: cannot change the inventory as a whole
hint: give a path, such as `machines.jon.tags`"""),
    (unset(""), False, """\
error: cannot change the inventory as a whole
hint: give a path, such as `machines.jon.tags`"""),
    (set_("machines.jon.description", None), True, """\
error: machines.jon.description cannot be null
hint: write a value"""),
    (set_("instances.i.roles.r.settings.limit", None), True, """\
error: this change cannot be made automatically
  at inventory.toml
hint: edit inventory.toml by hand: Rolecall cannot change how this place is written"""),
]  # fmt: skip


@pytest.mark.parametrize(("change", "own", "message"), REFUSED, ids=lambda value: str(value)[:50])
def test_an_edit_is_refused(change: Change, own: bool, message: str, tmp_path: Path) -> None:  # noqa: FBT001 - a column
    (tmp_path / "inventory.toml").write_text(OWN)
    (tmp_path / "inventory.json").write_text(LAYER)
    with pytest.raises(Faults) as caught:
        edit(Project(tmp_path), lambda _: [change], own=own)
    assert str(caught.value).replace(f"{tmp_path}/", "") == message
    assert (tmp_path / "inventory.toml").read_text() == OWN
    assert (tmp_path / "inventory.json").read_text() == LAYER


@pytest.mark.parametrize("text", ["machines: {jon: }", "machines: {jon: {tags: [a]}}"])
@pytest.mark.parametrize("own", [False, True])
def test_what_two_files_set_cannot_be_removed_from_one(tmp_path: Path, text: str, own: bool) -> None:  # noqa: FBT001 - a case
    (tmp_path / "inventory.json").write_text('{"machines": {"jon": null}}')
    (tmp_path / "inventory.yaml").write_text(text)
    with pytest.raises(Faults) as caught:
        edit(Project(tmp_path), lambda _: [unset("machines.jon")], own=own)
    assert (
        str(caught.value).replace(f"{tmp_path}/", "")
        == """\
error: inventory.json and inventory.yaml set machines.jon
  at inventory.yaml:1:12 machines.jon
hint: remove it from inventory.yaml by hand, then repeat the command without `--own`"""
    )
    (tmp_path / "inventory.yaml").write_text("machines: {}")
    edit(Project(tmp_path), lambda _: [unset("machines.jon")])
    assert get(Project(tmp_path), ("machines",))[0] == {}


def test_a_program_is_not_edited(tmp_path: Path) -> None:
    (tmp_path / "inventory.nix").write_text("{ machines.jon = {}; }")
    with pytest.raises(Faults, match="is a program, so Rolecall cannot edit it"):
        edit(Project(tmp_path), lambda _: [set_("machines.jon.tags", ["a"])], own=True)
    edit(Project(tmp_path), lambda _: [set_("machines.jon.tags", ["a"])])
    assert get(Project(tmp_path), ("machines", "jon"))[0] == {"tags": ["a"]}
    assert json.loads((tmp_path / "inventory.json").read_text()) == {"machines": {"jon": {"tags": ["a"]}}}


def test_a_folder_is_not_edited(tmp_path: Path) -> None:
    (tmp_path / "machines/jon").mkdir(parents=True)
    (tmp_path / "inventory.toml").touch()
    with pytest.raises(Faults, match=r"the folder machines/jon declares machine 'jon'"):
        edit(Project(tmp_path), lambda _: [unset("machines.jon")])


def test_old_faults_do_not_prevent_edits(tmp_path: Path) -> None:
    file = tmp_path / "inventory.toml"
    file.write_text('[machines.jon]\ntag = ["a"]\ntga = ["b"]\n')
    edit(Project(tmp_path), lambda _: [unset("machines.jon.tag")], own=True)
    edit(Project(tmp_path), lambda _: [unset("machines.jon.tga")], own=True)
    assert file.read_text() == "[machines.jon]\n"


def test_new_warnings_are_reported(tmp_path: Path) -> None:
    (tmp_path / "inventory.toml").write_text("[machines.jon]\n")
    edited = edit(Project(tmp_path), lambda _: [set_("tags.x", {"all": ["nobody"]})])
    assert [warning.message for warning in edited.warnings] == ["no machine has the tag 'nobody'"]
    assert edit(Project(tmp_path), lambda _: [set_("meta.name", "x")]).warnings == ()


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_file_keeps_its_form(mark: str, end: str, tmp_path: Path) -> None:
    real = tmp_path / "elsewhere.toml"
    real.write_bytes(f"{mark}{OWN}".replace("\n", end).encode())
    real.chmod(0o640)
    link = tmp_path / "inventory.toml"
    link.symlink_to(real)
    edit(Project(tmp_path), lambda _: [set_("machines.sara.tags", ["c"])], own=True)
    assert link.is_symlink()
    assert real.stat().st_mode & 0o777 == 0o640
    assert real.read_bytes() == f'{mark}{OWN}tags = ["c"]\n'.replace("\n", end).encode()


def test_a_wrapped_inventory_is_edited_inside(tmp_path: Path) -> None:
    file = tmp_path / "inventory.yaml"
    file.write_text("# all\nclan:\n  inventory:\n    machines:\n      jon:\n")
    edit(Project(tmp_path), lambda _: [set_("machines.jon.tags", ["a"])], own=True)
    assert file.read_text() == "# all\nclan:\n  inventory:\n    machines:\n      jon:\n        tags: [a]\n"


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", 1), ("true", True), ('"1"', "1"), ("a b", "a b"), ("", ""), ('["a", {"b": null}]', ["a", {"b": None}])],
)
def test_a_value_is_json_or_a_text(text: str, value: object) -> None:
    assert value_of(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "NaN",
        "1e999",
        "1" * 30,
        "[" * 99999,
        "[" * 200 + "]" * 200,
        '"\\ud800"',
        "\ud800",
        "1" * 5000,
        '[{"a": 1, "a": 2}]',
    ],
)
def test_an_invalid_value_is_a_fault(text: str) -> None:
    with pytest.raises(Faults):
        value_of(text)


def _add(root: Path, number: int) -> None:
    for index in range(10):
        edit(Project(root), lambda _, index=index: [set_(f"machines.m{number}-{index}", {})])  # type: ignore[misc]


def test_several_writers_lose_nothing(tmp_path: Path) -> None:
    (tmp_path / "inventory.toml").write_text(OWN)
    spawn = multiprocessing.get_context("fork")
    writers = [spawn.Process(target=_add, args=(tmp_path, number)) for number in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0] * 4
    names = {f"m{number}-{index}" for number in range(4) for index in range(10)}
    assert get(Project(tmp_path), ("machines",))[0].keys() == {"jon", "sara"} | names


def test_only_one_of_two_writers_with_the_same_digest_writes(tmp_path: Path) -> None:
    (tmp_path / "inventory.toml").write_text(OWN)
    project = Project(tmp_path)
    _, known = get(project, ())
    edited = edit(project, lambda _: [set_("meta.name", "one")], expect=known)
    with pytest.raises(Faults, match="has changed since it was read"):
        edit(project, lambda _: [set_("meta.name", "two")], expect=known)
    assert get(project, ("meta", "name")) == ("one", edited.digest)
    (tmp_path / "machines/rob").mkdir(parents=True)
    assert digest(project) != edited.digest


def _for_ever(root: Path) -> None:
    for number in range(1_000_000):
        edit(Project(root), lambda _, number=number: [set_("meta.description", f"{number} " * 1000)], own=True)  # type: ignore[misc]


def test_a_killed_writer_leaves_a_whole_file(tmp_path: Path) -> None:
    file = tmp_path / "inventory.toml"
    file.write_text(OWN)
    before = get(Project(tmp_path), ("machines",))[0]
    for round_ in range(6):
        writer = multiprocessing.get_context("fork").Process(target=_for_ever, args=(tmp_path,))
        writer.start()
        time.sleep(0.05 + round_ * 0.007)
        os.kill(writer.pid or 0, signal.SIGKILL)
        writer.join()
        assert get(Project(tmp_path), ("machines",))[0] == before
        edit(Project(tmp_path), lambda _, round_=round_: [set_("meta.name", f"{round_}")], own=True)  # type: ignore[misc] # no lock is left


def test_a_table_of_another_file_around_a_key(tmp_path: Path) -> None:
    settings = "instances.i.roles.r.settings"
    (tmp_path / "inventory.nix").write_text(f"{{ lib, ... }}: {{ {settings} = lib.mkDefault {{ a = 1; }}; }}\n")
    edit(Project(tmp_path), lambda _: [set_(f"{settings}.b", 2)], combine=combined)
    assert get(Project(tmp_path), undotted(settings), combined)[0] == {"a": 1, "b": 2}


def override(priority: int, content: object) -> Data:
    return {"_type": "override", "priority": priority, "content": content}


@pytest.mark.parametrize(
    ("tools", "user", "own", "value", "result"),
    [
        ({"a": override(50, 1)}, {}, True, 2, None),  # it would not count
        ({"a": 1}, {}, True, 2, 2),
        ({"a": [1]}, {}, True, [2], [2]),
        ({"a": 1}, {"a": override(50, 3)}, False, 2, None),
        ({}, {"a": override(1000, 3)}, False, 2, 2),
        ({}, {"a": 3}, False, 2, None),
        ({"a": 1}, {"b": 1}, True, override(50, 4), 4),
        ({"a": 1}, {"b": 1}, True, override(1000, 4), None),
    ],
)
def test_a_setting_is_changed_where_the_change_counts(
    tmp_path: Path,
    tools: Data,
    user: Data,
    own: bool,  # noqa: FBT001 - a case
    value: object,
    result: object,
) -> None:
    def inventory(settings: Data) -> str:
        return json.dumps({"instances": {"i": {"roles": {"r": {"settings": settings}}}}})

    (tmp_path / "inventory.json").write_text(inventory(tools))
    (tmp_path / "inventory.yaml").write_text(inventory(user))
    path = "instances.i.roles.r.settings.a"
    if result is None:
        with pytest.raises(Faults, match="sets instances"):
            edit(Project(tmp_path), lambda _: [set_(path, value)], own=own, combine=combined)
        assert (tmp_path / "inventory.yaml").read_text() == inventory(user)
    else:
        edit(Project(tmp_path), lambda _: [set_(path, value)], own=own, combine=combined)
        assert get(Project(tmp_path), undotted(path), combined)[0] == result
