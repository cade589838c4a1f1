"""`rolecall instances`: an instance gets another name, and keeps its vars and data."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from killing import everything, killed_at
from rolecall import pipeline
from rolecall.errors import Faults
from rolecall.project import Project

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Run

INVENTORY = """\
# ours
[machines.jon]
address = "192.0.2.1"
deploy.targetHost = "dir:targets/jon"
[instances.note.roles.node]  # the first
machines.jon = {}
"""
SERVICE = """\
from rolecall.service import *
service = Service("note", description="Passwords, and a folder of data.")
node = service.role("node", description="Has them.")
own = node.var("own", Passphrase(words=4))
of_machine = node.var("of_machine", Passphrase(words=4), scope="machine")
shared = node.var("shared", Passphrase(words=4), scope="shared", binds="something")
@node.configure
def have(me):
    yield Directory(f"/srv/{me.data_name}")
    yield File(me.path("note"), me.instance)
    yield secret_file(me[own].secret)
"""


@pytest.fixture
def project(run: Run, tmp_path: Path) -> Project:
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules/note.py").write_text(SERVICE)
    (tmp_path / "inventory.toml").write_text(INVENTORY)
    module = {"instances": {"note": {"module": {"input": "self"}}}}
    (tmp_path / "inventory.json").write_text(json.dumps(module))
    assert run("keys", "create", "me")[0] == 0
    assert run("update", "--yes")[0] == 0
    return Project(tmp_path)


def stored(project: Project) -> dict[str, str]:
    return {
        str(path.relative_to(project.vars).parents[1]): path.read_text() for path in project.vars.rglob("*/version")
    }


def test_a_renamed_instance_keeps_vars_and_data(run: Run, project: Project) -> None:
    before, data = stored(project), project.root / "targets/jon/srv/note/data"
    data.write_text("kept")
    assert run("instances", "rename", "note", "memo")[:2] == (
        0,
        "renamed note to memo; the next update tells the machines\n",
    )
    assert (project.root / "inventory.toml").read_text() == INVENTORY.replace("instances.note.", "instances.memo.")
    written = json.loads((project.root / "inventory.json").read_text())["instances"]
    assert written == {"memo": {"module": {"input": "self", "name": "note"}, "dataName": "note"}}
    moved = {key.replace("note.", "memo.") if "of_machine" not in key else key: value for key, value in before.items()}
    assert stored(project) == moved  # a var of the machine is named after the service
    status, out, _ = run("update", "--yes")
    assert (status, "0 vars to generate" in out) == (0, True)
    assert (project.root / "targets/jon/etc/rolecall/memo/note").read_text() == "memo"
    assert not (project.root / "targets/jon/etc/rolecall/note").exists()
    assert data.read_text() == "kept"

    assert run("instances", "rename", "memo", "third")[0] == 0
    assert json.loads((project.root / "inventory.json").read_text())["instances"]["third"]["dataName"] == "note"
    assert run("instances", "rename", "third", "note")[0] == 0
    assert "dataName" not in (project.root / "inventory.json").read_text()
    assert (project.root / "inventory.toml").read_text() == INVENTORY
    assert stored(project) == before


def test_no_two_instances_keep_data_under_one_name(run: Run, project: Project) -> None:
    assert run("instances", "rename", "note", "memo")[0] == 0
    with (project.root / "inventory.toml").open("a") as file:
        file.write("[instances.note]\nmodule.input = 'self'\nroles.node.machines.jon = {}\n")
    status, _, err = run("check")
    assert (status, "error: the instances 'note' and 'memo' both keep data under 'note'\n" in err) == (1, True)
    assert "at inventory.json:" in err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nite", "memo"], "instance 'nite' does not exist\nhint: did you mean 'note'?"),
        (["note", "hosts"], "instance 'hosts' already exists"),
        (["note", "note"], "instance 'note' already exists"),
        (["note", "../x"], "invalid instance name '../x'"),
        (["note", "a.b"], "invalid instance name 'a.b'"),
        (["note", "Hosts"], "the instances 'Hosts' and 'hosts' differ only in case"),
        (["note", "old"], "vars of 'old' already exist: jon/old.own"),
    ],
)
def test_what_is_not_renamed_stays_as_it_is(run: Run, project: Project, words: list[str], told: str) -> None:
    with (project.root / "inventory.toml").open("a") as file:
        file.write("[instances.hosts]\nroles.default.machines.jon = {}\n")
    shutil.copytree(project.vars / "per-machine/jon/note.own", project.vars / "per-machine/jon/old.own")
    before = everything(project)
    status, _, err = run("instances", "rename", *words)
    assert (status, told in err) == (1, True), err
    assert everything(project) == before


def test_a_network_with_the_old_name_is_named(run: Run, project: Project) -> None:
    with (project.root / "inventory.toml").open("a") as file:
        file.write("[instances.hosts]\nroles.default = { machines.jon = {}, settings.network = 'note' }\n")
    status, _, err = run("instances", "rename", "note", "memo")
    assert status == 0
    assert "warning: instances.hosts.roles.default.settings.network is 'note'" in err
    assert "hint: change it to 'memo' if it means the instance" in err


def test_a_rename_that_was_killed_is_completed_when_done_again(
    run: Run, project: Project, tmp_path_factory: pytest.TempPathFactory
) -> None:
    def rename(at: Project) -> None:
        pipeline.rename_instance(pipeline.Workspace(at), "note", "memo")

    def copy() -> Project:
        made = Project(tmp_path_factory.mktemp("copy") / "project")
        shutil.copytree(project.root, made.root, ignore=shutil.ignore_patterns("targets", "__pycache__"))
        return made

    whole = copy()
    rename(whole)
    wanted = everything(whole)
    died, move = True, 0
    while died:
        at = copy()
        died = killed_at(move, lambda at=at: rename(at))  # type: ignore[misc]
        if died and at.renaming.exists():
            status, _, err = run("--project", str(at.root), "check")
            assert (status, "renaming instance 'note' to 'memo' was interrupted" in err) == (1, True)
            assert "`rolecall instances rename note memo`" in err
            with pytest.raises(Faults, match="was interrupted"):
                pipeline.rename_machine(pipeline.Workspace(at), "jon", "bob")
        if died:
            rename(at)
        assert {name: text for name, text in everything(at).items() if ".new" not in name} == wanted
        move += 1
    assert move >= 6  # the record, two vars, two files; and none
