"""Vars that one member, one machine or all members of an instance have."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import services
from rolecall import pipeline
from rolecall import vars as v
from rolecall.model.vars import VarKey
from rolecall.service import ContractError, Passphrase, Service, Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from rolecall.project import Project

    MakeProject = Callable[..., Project]

INVENTORY = """
[machines.jon]
[machines.sara]
[instances.red]
module = { name = "mesh", input = "self" }
roles.peer.tags.all = {}
roles.peer.machines.jon.settings.port = 2
roles.seen.machines.sara = {}
[instances.blue]
module = { name = "mesh", input = "self" }
roles.peer.tags.all = {}
"""


@pytest.fixture
def mesh(make_project: MakeProject) -> Project:
    project = make_project(INVENTORY, mesh=services.code("scopes"))
    v.create_identity(project, "me")
    return project


def test_each_scope_is_made_once(mesh: Project) -> None:
    made = pipeline.generate(pipeline.Workspace(mesh))
    assert sorted(map(str, made)) == [
        *("jon/blue.own", "jon/mesh.host", "jon/red.own", "sara/blue.own", "sara/mesh.host", "sara/red.own"),
        "sara/red.seen",
        *("shared/blue.common", "shared/red.common"),
    ]
    wanted = [(VarKey("jon", "mesh.host"), "passphrase"), (VarKey("", "red.common"), "passphrase")]
    host, common = v.decrypt(mesh, wanted).values()
    own = (VarKey("jon", "red.own"), "text")
    assert v.decrypt(mesh, [own]) == {own: host + b"-" + common}
    assert pipeline.generate(pipeline.Workspace(mesh)) == []
    assert v.stored_all(mesh)[VarKey("sara", "red.seen")]["text"].public == "jon,sara"
    evaluation = pipeline.Workspace(mesh).evaluation()
    resources = evaluation.configured["jon"].configuration.as_json()["resources"]
    assert evaluation.makes == {}
    assert len(resources) == 2


def test_a_shared_var_goes_to_each_member(mesh: Project) -> None:
    pipeline.generate(pipeline.Workspace(mesh))
    pipeline.rotate(pipeline.Workspace(mesh), ["shared/red.common"])
    assert sorted(map(str, v.pending(mesh))) == ["jon/red.own", "sara/red.own", "sara/red.seen", "shared/red.common"]


def test_a_shared_var_is_generated_anew_for_other_members(make_project: MakeProject) -> None:
    project = make_project(INVENTORY, mesh=services.code("members"))
    first = pipeline.Workspace(project).evaluation().makes
    assert first[VarKey("", "red.names")]["names"].public == "peer: jon 2, sara 1; seen: sara -"
    v.promote(project, first)
    assert pipeline.Workspace(project).evaluation().makes == {}
    (project.root / "inventory.toml").write_text(INVENTORY.replace("port = 2", "port = 3"))
    again = pipeline.Workspace(project).evaluation().makes
    assert again[VarKey("", "red.names")]["names"].public == "peer: jon 3, sara 1; seen: sara -"
    assert VarKey("", "blue.names") not in again


class Said(Settings):
    """Something."""

    word: str = ""


def test_what_several_share_depends_on_nobody_alone() -> None:
    role = Service("x", description="X.").role("r", Said, description="R.")
    one = role.var("one", Passphrase())
    machine = role.var("machine", Passphrase(), scope="machine")
    shared = role.var("shared", Passphrase(), scope="shared")
    for needs, scope in (([one], "shared"), ([one], "machine"), ([machine], "shared"), ([shared], "machine")):
        with pytest.raises(ContractError, match="is shared by several members, so it cannot need"):
            role.var("bad", Passphrase(), needs=needs, scope=scope)  # type: ignore[arg-type]  # one of them
        del role.vars["bad"]
    with pytest.raises(ContractError, match="cannot have a validation of one member"):
        role.var("worse", Passphrase(), scope="shared", validation=lambda said: said.word)
    with pytest.raises(ContractError, match="an instance_validation, which only a var with scope='shared' can have"):
        role.var("worser", Passphrase(), instance_validation=len)
    with pytest.raises(ContractError, match="an invalid scope 'all'; valid are: instance, machine, shared"):
        role.var("worst", Passphrase(), scope="all")  # type: ignore[arg-type]  # that is the mistake
