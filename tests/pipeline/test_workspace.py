"""An open project (rolecall.pipeline.workspace)."""

from __future__ import annotations

import gc
import sys
import threading
from typing import TYPE_CHECKING

import pytest

import services
from rolecall import inventory, pipeline
from rolecall.errors import Faults
from rolecall.service.models import declared_at

if TYPE_CHECKING:
    from pathlib import Path

INVENTORY = """
[machines.{name}]
deploy.targetHost = "dir:targets/{name}"

[instances.greet]
module = {{ name = "greet", input = "self" }}
roles.all.machines.{name} = {{}}
"""
SHARED = "WORD = '{word}'\n"


def project(folder: Path, name: str) -> pipeline.Workspace:
    services.install(folder, "greet")
    (folder / "inventory.toml").write_text(INVENTORY.format(name=name))
    (folder / "modules/shared.py").write_text(SHARED.format(word=name))
    return pipeline.open(folder)


def motd(workspace: pipeline.Workspace) -> bytes | None:
    [configured] = workspace.evaluation().configured.values()
    [file] = configured.configuration.resources
    return file.content[0].data  # type: ignore[attr-defined]


def test_each_stage_is_computed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = project(tmp_path, "jon")
    reads = []
    read = inventory.read
    monkeypatch.setattr(inventory, "read", lambda *arguments: reads.append(arguments) or read(*arguments))
    assert workspace.members() is workspace.sound() is workspace.members()
    assert workspace.evaluation() is workspace.evaluation()
    assert workspace.evaluation_of(["jon"]).configured.keys() == {"jon"}
    assert pipeline.explain(workspace, "machines.jon").roles.keys() == {"greet.all"}
    with pipeline.planning(workspace, pipeline.Choice(("jon",))) as planned:
        assert [machine.machine for machine in planned.plan.machines] == ["jon"]
    assert len(reads) == 1


def test_after_an_edit_it_is_computed_again(tmp_path: Path) -> None:
    workspace = project(tmp_path, "jon")
    assert workspace.machine_names() == ["jon"]
    pipeline.add_machine(workspace, "sara")
    assert workspace.machine_names() == ["jon", "sara"]
    assert workspace.members().loaded.inventory.machines.keys() == {"jon", "sara"}
    pipeline.remove_machine(workspace, "sara")
    assert workspace.machine_names() == ["jon"]


def test_two_projects_do_not_mix(tmp_path: Path) -> None:
    one, two = project(tmp_path / "one", "jon"), project(tmp_path / "two", "sara")
    assert (motd(one), motd(two)) == (b"jon", b"sara")
    services.install(tmp_path / "one", "greet", ('"greet"', '"more"'), module="more")
    one.members().registry.find("self", "more")  # which imports what the project itself has, not the other one
    more = one.members().registry.find("self", "more").service
    assert more.name == "more"
    assert (motd(one), motd(two)) == (b"jon", b"sara")
    one.refresh()
    assert motd(one) == b"jon"


def test_an_import_inside_a_function_finds_its_own_project(tmp_path: Path) -> None:
    one, two = project(tmp_path / "one", "jon"), project(tmp_path / "two", "sara")
    (tmp_path / "two/modules/greet.py").write_text("# below\n" + services.code("greet"))
    one.members(), two.members()
    assert (motd(one), motd(two)) == (b"jon", b"sara")
    lines = [declared_at(each.members().membership.services["greet"].roles["all"].settings) for each in (one, two)]
    assert lines == [f"{tmp_path}/one/modules/greet.py:10", f"{tmp_path}/two/modules/greet.py:11"]


def test_a_message_names_modules_as_their_author_does(tmp_path: Path) -> None:
    workspace = project(tmp_path, "jon")
    services.install(tmp_path, "greet", ("from .shared import WORD", "from .shared import NONE"))
    workspace.refresh()
    with pytest.raises(Faults, match=r"'NONE' from 'rolecall_project\.shared'"):
        workspace.evaluation()
    services.install(tmp_path, "greet", (".shared as", ".absent as"))
    workspace.refresh()
    with pytest.raises(Faults, match=r"No module named 'rolecall_project\.absent'"):
        workspace.members()


def test_the_modules_of_a_project_that_is_gone_are_forgotten(tmp_path: Path) -> None:
    def own() -> set[str]:
        return {name for name in sys.modules if name.startswith("rolecall_project")}

    gc.collect()
    before = own()
    workspace = project(tmp_path, "jon")
    workspace.members()
    assert len(own() - before) == 3  # the package, greet, shared
    assert not (tmp_path / "modules/__pycache__").exists()
    del workspace
    gc.collect()
    assert own() == before


def test_projects_in_threads_do_not_mix(tmp_path: Path) -> None:
    names = [f"m{number}" for number in range(6)]
    found: dict[str, bytes | None] = {}

    def evaluate(name: str) -> None:
        found[name] = motd(project(tmp_path / name, name))

    threads = [threading.Thread(target=evaluate, args=[name]) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {name: name.encode() for name in names}


def test_threads_share_a_workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = project(tmp_path, "jon")
    reads = []
    read, reading, changed = inventory.read, threading.Event(), threading.Event()

    def slow(*arguments: object) -> object:
        reads.append(arguments)
        found = read(*arguments)  # type: ignore[arg-type]
        reading.set()
        assert changed.wait(60)
        return found

    monkeypatch.setattr(inventory, "read", slow)
    found: list[bytes | None] = []
    threads = [threading.Thread(target=lambda: found.append(motd(workspace))) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert reading.wait(60)
    (tmp_path / "inventory.toml").write_text(INVENTORY.format(name="sara"))
    refreshing = threading.Thread(target=workspace.refresh)
    refreshing.start()
    changed.set()
    for thread in (*threads, refreshing):
        thread.join()
    assert found == [b"jon"] * 4
    assert workspace.machine_names() == ["sara"]  # what was read before the change is not kept
    assert len(reads) <= 1 + len(threads)


def test_what_is_wrong_is_reported_each_time(tmp_path: Path) -> None:
    workspace = project(tmp_path, "jon")
    (tmp_path / "inventory.toml").write_text("[machines]\njon.tgas = []\n")
    for _ in range(2):
        with pytest.raises(Faults, match="unknown key 'tgas'"):
            workspace.members()
    (tmp_path / "inventory.toml").write_text("[machines]\njon.tags = []\n")
    workspace.refresh()
    assert workspace.members().loaded.inventory.machines.keys() == {"jon"}
