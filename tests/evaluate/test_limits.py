"""Limits of roles and instances are refused by check and plan, and shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import services
from rolecall import pipeline
from rolecall.errors import Faults

if TYPE_CHECKING:
    from collections.abc import Callable

    from rolecall.project import Project

    MakeProject = Callable[..., Project]

MODULE = services.code("limits")
BASE = """
[machines]
a.tags = ["x"]
b.tags = ["x"]
c.tags = ["x", "y"]
d.tags = ["x"]
e = {}
[instances.n]
module = { name = "net", input = "self" }
roles.free.tags.x = {}
"""


def told(project: Project) -> str:
    with pytest.raises(Faults) as caught:
        pipeline.Workspace(project).check()
    with pytest.raises(Faults) as planned:
        pipeline.Workspace(project).evaluation()
    assert str(planned.value) == str(caught.value)
    shown = pipeline.as_json(pipeline.Workspace(project).members())["warnings"]
    assert [fault["message"] for fault in shown] == [fault.message for fault in caught.value.faults]
    return str(caught.value).replace(f"{project.root}/", "")


@pytest.mark.parametrize(
    ("roles", "message"),
    [
        (
            "roles.guest.machines.e = {}",
            (
                "error: the role 'router' needs at least 1 machine, but has 0\n"
                "  at inventory.toml:10:1 instances.n.roles.router\n"
                "hint: add machines to the role, by name or by tag"
            ),
        ),
        (
            "roles.router.tags.x = {}",
            (
                "error: the role 'router' allows at most 2 machines, but has 4\n"
                "  at inventory.toml:11:19 instances.n.roles.router.tags.x\n"
                "hint: its members are a, b, c and 1 more through the tag 'x'"
            ),
        ),
        (
            "roles.router = { tags = ['y'], machines = { a = {}, b = {} } }",
            (
                "error: the role 'router' allows at most 2 machines, but has 3\n"
                "  at inventory.toml:11:7 instances.n.roles.router\n"
                "hint: its members are a through machines.a, b through machines.b, c through the tag 'y'"
            ),
        ),
        (
            "roles.router.machines.c = {}\nroles.guest.machines.e = {}\nroles.guest.tags.x = {}",
            (
                "error: the roles 'router' and 'guest' exclude each other on a machine: c\n"
                "  at inventory.toml:13:18 instances.n.roles.guest.tags.x\n"
                "hint: keep one of the two roles; 'router' comes from machines.c"
            ),
        ),
        (
            "roles.router.machines.e = {}\nroles.guest.tags.x = {}\nroles.watcher.tags.x = {}",
            (
                "error: the roles 'guest' and 'watcher' exclude each other on a machine: a, b, c and 1 more\n"
                "  at inventory.toml:13:20 instances.n.roles.watcher.tags.x\n"
                "hint: keep one of the two roles; 'guest' comes from the tag 'x'"
            ),
        ),
    ],
)
def test_roles(make_project: MakeProject, roles: str, message: str) -> None:
    assert told(make_project(BASE + roles, net=MODULE)) == message


MORE = """
[instances.{name}]
module = {{ name = "net", input = "self" }}
roles = {{ router = {{ machines = {{ a = {{}} }} }}, free = {{ tags = ["x"] }} }}
"""
EMPTY = '[instances.o]\nmodule = { name = "net", input = "self" }\n'


def test_instances(make_project: MakeProject) -> None:
    routers = BASE + "roles.router.machines.a = {}\n" + EMPTY + MORE.format(name="p")
    found = pipeline.Workspace(make_project(routers, net=MODULE)).check()
    assert [warning.message for warning in found.warnings] == ["the instance 'o' has no members"]
    assert told(make_project(routers.replace(EMPTY, "") + MORE.format(name="q"), net=MODULE)) == (
        "error: net allows at most 2 instances, and 'q' exceeds that\n"
        "  at inventory.toml:17:12 instances.q\n"
        "hint: give its machines roles in 'n' or 'p' instead"
    )


def test_roles_exclude_each_other_in_one_instance_alone(make_project: MakeProject) -> None:
    text = BASE + "roles.router.machines.a = {}\nroles.guest.machines.b = {}\n" + MORE.format(name="p")
    pipeline.Workspace(make_project(text.replace("{ a = {} }", "{ b = {} }"), net=MODULE)).check()
