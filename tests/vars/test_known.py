"""Who knows a secret: machines and roles that were removed, former admins."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from calling import call

import services
from rolecall import pipeline
from rolecall import vars as v

if TYPE_CHECKING:
    from rolecall.project import Project

pytestmark = pytest.mark.slow  # whole updates, and many of them

INVENTORY = """
machines.jon.deploy.targetHost = "dir:targets/jon"
machines.sara.deploy.targetHost = "dir:targets/sara"
[instances.net]
module = { name = "mesh", input = "self" }
roles.peer.machines.jon = {}
roles.peer.machines.sara = {}
"""
GONE = "roles.peer.machines.jon = {}\n"
LEFT = "warning: jon received secrets that it no longer needs, and may still have them: shared/net.common\n"


@pytest.fixture
def new(project: Project) -> Project:
    (project.root / "inventory.toml").write_text(INVENTORY)
    services.install(project.root, "received", module="mesh")
    return project


@pytest.fixture
def mesh(new: Project) -> Project:
    call(new, "update", "--yes")
    return new


def edit(project: Project, old: str, new: str = "") -> None:
    file = project.root / "inventory.toml"
    file.write_text(file.read_text().replace(old, new))


def known(project: Project) -> dict[str, list[str]]:
    return {str(each): sorted(each.machines) for each in v.sealed(project)}


def test_the_machines_that_received_a_secret_are_noted(mesh: Project) -> None:
    everywhere = {f"{name}/net.{var}/passphrase": [name] for name in ("jon", "sara") for var in ("disk", "own")}
    assert known(mesh) == {**everywhere, "shared/net.common/passphrase": ["jon", "sara"]}
    before = {path: path.stat().st_mtime_ns for path in mesh.vars.rglob("*")}
    call(mesh, "update", "--yes")
    assert {path: path.stat().st_mtime_ns for path in mesh.vars.rglob("*")} == before


def test_a_machine_that_received_nothing_is_not_noted(new: Project) -> None:
    call(new, "update", "sara", "--yes")
    assert known(new)["shared/net.common/passphrase"] == ["sara"]
    call(new, "plan")
    assert known(new)["shared/net.common/passphrase"] == ["sara"]


def test_plans_warn_of_a_removed_role_until_its_secrets_are_rotated(mesh: Project) -> None:
    assert "no longer needs" not in call(mesh, "plan")
    edit(mesh, GONE)
    output = call(mesh, "plan")
    assert LEFT in output
    assert "hint: to make its copies useless, run `rolecall vars rotate --known-to jon`" in output
    assert LEFT in call(mesh, "update", "--yes")
    assert LEFT in call(mesh, "plan")
    assert "shared/net.common/passphrase  me  →  sara; formerly jon\n" in call(mesh, "vars", "recipients")
    output = call(mesh, "vars", "rotate", "--known-to", "jon", "--update", "--yes")
    assert output.startswith("shared/net.common  the new value takes the place of the old one\n")
    assert "no longer needs" not in call(mesh, "plan")
    assert known(mesh)["shared/net.common/passphrase"] == ["sara"]
    sealed = [path.read_text(errors="replace") for path in (mesh.root / "targets/sara/var/lib").rglob("sealed/*")]
    assert len(sealed) == 3  # the old value is not stored for a rollback


def test_the_warning_limits_the_vars_that_it_lists(new: Project) -> None:
    line = 'more{0} = peer.var("more{0}", Passphrase(), scope="shared", deliver={{"passphrase": Delivery()}})\n'
    more = "".join(map(line.format, range(9)))
    (new.modules / "mesh.py").write_text(services.code("received") + more)
    call(new, "update", "--yes")
    edit(new, GONE)
    assert "shared/net.more6 and 2 more\n" in call(new, "plan")


def test_removing_a_machine_names_the_secrets_that_it_received(mesh: Project) -> None:
    output = json.loads(call(mesh, "machines", "remove", "jon", "--own", "--json"))
    assert output["known"] == ["shared/net.common", "jon/net.disk", "jon/net.own"]
    assert output["kept"] == {"jon/net.disk": "the disk is encrypted with it"}
    edit(mesh, "", "")
    assert LEFT in call(mesh, "plan")
    output = call(mesh, "vars", "prune", "--yes")
    assert output.startswith("removed jon/net.own\nkept jon/net.disk: the disk is encrypted with it\n")


def test_a_renamed_machine_is_noted_by_its_new_name(mesh: Project) -> None:
    call(mesh, "machines", "rename", "jon", "bob")
    assert known(mesh)["shared/net.common/passphrase"] == ["bob", "sara"]
    assert known(mesh)["bob/net.own/passphrase"] == ["bob"]


def test_bound_vars_are_named_and_not_rotated(mesh: Project) -> None:
    output = call(mesh, "vars", "rotate", "--known-to", "sara")
    assert "warning: sara/net.disk is not replaced: the disk is encrypted with it" in output
    assert {str(key) for key in v.pending(mesh)} == {"sara/net.own", "shared/net.common"}
    call(mesh, "vars", "rotate", "--known-to", "sara", "--force")
    assert {str(key) for key in v.pending(mesh)} == {"sara/net.disk", "sara/net.own", "shared/net.common"}
    rows = json.loads(call(mesh, "vars", "recipients", "--json"))["secrets"]
    assert [(row["pending"], row["machines"], row["formerly"]) for row in rows if "common" in row["secret"]] == [
        (False, [], ["jon", "sara"]),
        (True, ["jon", "sara"], []),
    ]


def test_a_former_admin_may_know_the_secrets(mesh: Project) -> None:
    key = "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa"
    call(mesh, "keys", "add", "sam", key)
    assert pipeline.known_to(pipeline.Workspace(mesh), key) == ([], [])  # not encrypted to it yet
    call(mesh, "vars", "fix")
    output = call(mesh, "keys", "remove", "sam")
    assert f"`rolecall vars rotate --known-to '{key}'`" in output
    call(mesh, "vars", "fix")
    call(mesh, "vars", "rotate", "shared/net.common")
    call(mesh, "update", "--yes")
    wanted, others = pipeline.known_to(pipeline.Workspace(mesh), key)
    assert [str(recipe.key) for recipe in wanted] == ["jon/net.disk", "jon/net.own", "sara/net.disk", "sara/net.own"]
    assert others == []


def test_a_pattern_rotates_all_vars_that_match(mesh: Project) -> None:
    output = call(mesh, "vars", "list")
    names = [line.split()[1].rpartition("/")[0] for line in output.splitlines() if ".own" in line]
    assert names == ["jon/net.own", "sara/net.own"]
    assert [line.split()[0] for line in call(mesh, "vars", "rotate", "*/net.own").splitlines()] == names
    for pattern in ("*/net.oen", "nobody/*"):
        assert f"no var matches '{pattern}'" in call(mesh, "vars", "rotate", pattern, "*/net.own", status=1)


def test_rotate_requires_vars_or_known_to(mesh: Project) -> None:
    assert "name the vars, or use --known-to WHO" in call(mesh, "vars", "rotate", status=2)
    for who in ("nobody", "ssh-ed25519 AAAA me"):
        assert "is neither a machine nor a public key that could read a secret" in call(
            mesh, "vars", "rotate", "--known-to", who, status=1
        )
    edit(mesh, GONE)
    call(mesh, "machines", "add", "new")
    assert call(mesh, "vars", "rotate", "--known-to", "new") == ""


BEHIND = "warning: sara missed an update: it has not received sara/net.own\n"


def test_a_rotation_warns_of_a_machine_that_missed_the_one_before(mesh: Project) -> None:
    assert "missed" not in call(mesh, "vars", "rotate", "*/net.own")
    call(mesh, "update", "jon", "--yes")
    assert "missed" not in call(mesh, "vars", "rotate", "*/net.own")  # sara lacks no other value
    call(mesh, "vars", "discard")
    output = call(mesh, "vars", "rotate", "shared/net.common")
    assert BEHIND in output
    assert "hint: run `rolecall update sara` first, or it may share no valid value with the others; " in output
    call(mesh, "vars", "discard")
    call(mesh, "update", "sara", "--yes")
    assert "missed" not in call(mesh, "vars", "rotate", "shared/net.common")


def test_a_machine_that_was_never_updated_missed_nothing(new: Project) -> None:
    call(new, "update", "jon", "--yes")
    assert "missed" not in call(new, "vars", "rotate", "shared/net.common")
