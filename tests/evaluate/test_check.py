"""`check` finds what `plan` would refuse, as far as that can be known without making anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import services
from rolecall import pipeline
from rolecall.errors import Faults

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from rolecall.project import Project

    MakeProject = Callable[..., Project]

# Each setting is a file of the machine: `secret` and `public` after reading such a var, `named` after an export.
MODULE = services.code("early_late")
INVENTORY = """
[machines]
a = {}
b = {}
[instances.x]
module = { name = "mine", input = "self" }
roles.one.machines.a.settings = { ONE }
roles.two.machines.b = {}
[instances.y]
module = { name = "mine", input = "self" }
roles.one.machines.a.settings = { TWO }
roles.two.machines.b = {}
"""


def inventory(**settings: str) -> str:
    told = ", ".join(f"{name} = '{value}'" for name, value in settings.items())
    return INVENTORY.replace("ONE", told).replace("TWO", "")


def tree(folder: Path) -> Mapping[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def refused(project: Project) -> str:
    with pytest.raises(Faults) as caught:
        pipeline.Workspace(project).check()
    return str(caught.value)


@pytest.mark.parametrize(
    ("setting", "without_vars"), [("first", True), ("secret", True), ("public", False), ("named", False)]
)
def test_two_instances_that_exclude_each_other(make_project: MakeProject, setting: str, *, without_vars: bool) -> None:
    project = make_project(inventory(**{setting: "y"}), mine=MODULE)
    what, who = "conflicting", "x.one and y.one"
    if setting == "named":
        what, who = "two conflicting", "mine (for x.one and y.one)"
    message = f"{what} definitions of file:/etc/{setting} on a from {who}: content line 1 'y' and 'x'"
    if without_vars:
        assert message in refused(project)
    else:
        assert pipeline.Workspace(project).check().incomplete == {"a": ("x.one", "y.one", "mine")}
    with pytest.raises(Faults):  # nothing is kept of what was made
        pipeline.Workspace(project).evaluation()
    pipeline.generate(pipeline.Workspace(project))
    assert message in refused(project)


def test_what_is_complete_is_told_and_nothing_is_made_or_changed(make_project: MakeProject) -> None:
    project = make_project(inventory(), mine=MODULE)
    before = tree(project.root)
    found = pipeline.Workspace(project).check()
    assert found.incomplete == {"a": ("x.one", "y.one", "mine")}
    assert tree(project.root) == before
    pipeline.generate(pipeline.Workspace(project))
    before = tree(project.root)
    assert pipeline.Workspace(project).check().incomplete == {}
    assert tree(project.root) == before


def test_nothing_is_decrypted_or_asked(make_project: MakeProject, tmp_path: Path) -> None:
    prompted = services.code(
        "early_late",
        ("Passphrase,", "Prompted,"),
        ("Passphrase()", 'Prompted("secret", "What it is for")'),
        ("me[words].secret", "me[words]"),
    )
    project = make_project(inventory(), mine=prompted)  # whose asker raises
    assert pipeline.Workspace(project).check().incomplete == {"a": ("x.one", "y.one", "mine")}
    (tmp_path / "identity").unlink()
    pipeline.Workspace(project).check()


def test_a_var_that_does_not_fit_what_is_stored(make_project: MakeProject) -> None:
    project = make_project(inventory(), mine=MODULE)
    pipeline.generate(pipeline.Workspace(project))
    services.install(
        project.root, "early_late", ("Passphrase,", "Password,"), ("Passphrase()", "Password()"), module="mine"
    )
    assert "a/x.words has passphrase (secret), but x.one wants hash (secret), password (secret)" in refused(project)


def test_a_var_that_would_be_made_anew_is_not_made_yet(make_project: MakeProject) -> None:
    module = services.code("early_late", ("SSHKeyPair()", "SSHKeyPair(), validation=lambda settings: LIMIT"))
    project = make_project(inventory(), mine="LIMIT = 1\n" + module)
    pipeline.generate(pipeline.Workspace(project))
    assert pipeline.Workspace(project).check().incomplete == {}
    (project.modules / "mine.py").write_text("LIMIT = 22\n" + module)
    assert pipeline.Workspace(project).check().incomplete == {"a": ("x.one", "y.one", "mine")}


def test_service_code_that_fails(make_project: MakeProject) -> None:
    failing = services.code("early_late", ('yield File("/etc/first", me.settings.first)', "1 / 0"))
    project = make_project(inventory(), mine=failing)
    told = refused(project).replace(f"{project.root}/", "")
    assert told.count("ZeroDivisionError: division by zero (modules/mine.py:37)") == 2
    assert "x.one on a" in told
    assert "y.one on a" in told


def test_an_update_runs_each_configure_once(make_project: MakeProject) -> None:
    """What only `check` evaluates is no part of other commands."""
    project = make_project(inventory(), mine=MODULE)
    services.calls.clear()
    pipeline.Workspace(project).evaluation()
    assert services.calls == ["a", "a"]
    services.calls.clear()
    pipeline.Workspace(project).sound()
    assert services.calls == []


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("dir:targets/a", "dir:./targets//b/../a", True),
        ("dir:targets/a", "dir:targets/b", False),
        ("root@a.example.org", "admin@A.example.org.:22", True),
        ("a.example.org", "a.example.org:2222", False),
        ("a.example.org:2222", "root@a.example.org:02222", True),
        ("[2001:db8::1]", "root@[2001:DB8:0::1]:22", True),
        ("[2001:db8::1]:23", "[2001:db8::1]", False),
        ("192.0.2.1", "192.0.2.11", False),
    ],
)
def test_two_machines_with_one_target_are_a_warning(
    make_project: MakeProject, one: str, other: str, *, same: bool
) -> None:
    text = f'[machines.a]\ndeploy.targetHost = "{one}"\n[machines.b]\ndeploy.targetHost = "{other}"\n'
    workspace = pipeline.Workspace(make_project(text))
    found = [str(each).replace(f"{workspace.project.root}/", "") for each in workspace.check().warnings]
    warning = (
        "warning: machine 'b' has the same target as 'a' (at inventory.toml:2)\n"
        "  at inventory.toml:4:8 machines.b.deploy.targetHost\nhint: give each machine a target of its own"
    )
    assert found == [warning] * same
