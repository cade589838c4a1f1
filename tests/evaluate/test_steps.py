"""Vars and exports, step by step; and faults of service code."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from rolecall import pipeline
from rolecall.errors import Faults
from rolecall.service import Backups, State

if TYPE_CHECKING:
    from collections.abc import Callable

    from rolecall.project import Project

    MakeProject = Callable[..., Project]

HEAD = """
from dataclasses import dataclass
from rolecall.service import *

service = Service("mine", description="For tests.")
one = service.role("one", description="One.")
two = service.role("two", description="Two.")
"""
INVENTORY = """
[machines]
a = {}
b = {}
[instances.x.module]
name = "mine"
input = "self"
[instances.x.roles]
one.machines.a = {}
two.machines.b = {}
"""


def faults_of(project: Project) -> str:
    with pytest.raises(Faults) as caught:
        pipeline.evaluate(project)
    return str(caught.value).replace(f"{project.root}/", "")


def test_steps_run_after_what_they_need(make_project: MakeProject) -> None:
    """The name is published from a key, and another's certificate is made when the name is there."""
    module = (
        HEAD
        + """
class Name(Interface):
    name: str

class Signed(Interface):
    text: str

@two.exports(Signed, needs=[Name])
def sign(me):
    yield Signed(text=" ".join(each.value.name for each in me.exports(Name)))

key = one.var("key", SSHKeyPair())

@one.exports(Name, needs=[key])
def publish(me):
    yield Name(name=me[key].public.split()[2])

@one.configure
def show(me):
    [signed] = me.exports(Signed)
    yield File("/signed", f"{signed.value.text} {signed.machine} {signed.instance} {signed.role}")
"""
    )
    file = pipeline.evaluate(make_project(INVENTORY, mine=module)).configured["a"].configuration.resources[0]
    assert file.parts[0].data == b"a/x.key b x two"  # type: ignore[union-attr]


def test_a_circle_names_its_steps(make_project: MakeProject) -> None:
    module = (
        HEAD
        + """
class A(Interface): pass
class B(Interface): pass

@one.exports(A, needs=[B])
def a(me): yield A()

@two.exports(B, needs=[A])
def b(me): yield B()
"""
    )
    told = faults_of(make_project(INVENTORY, mine=module))
    assert re.match(
        r"error: these steps need one another: (x.one: export A → x.two: export B → x.one: export A|"
        r"x.two: export B → x.one: export A → x.two: export B)\n  at inventory.toml:5:12 instances.x\n",
        told,
    )


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (
            "@one.configure\ndef f(me):\n    yield 1 / 0\n",
            "mine, x.one on a: ZeroDivisionError: division by zero (LINE:11)",
        ),
        (
            "@one.configure\ndef f(me):\n    return 1 / 0\n",
            "mine, x.one on a: ZeroDivisionError: division by zero (LINE:11)",
        ),
        (
            "@one.check\ndef f(me):\n    yield 1 / 0\n",
            "mine, x.one on a: ZeroDivisionError: division by zero (LINE:11)",
        ),
        (
            "class A(Interface): pass\n@one.exports(A)\ndef f(me): yield 1 / 0\n",
            "mine, x.one on a: ZeroDivisionError: division by zero (LINE:11)",
        ),
        (
            "import json\n@one.configure\ndef f(me): yield json.loads('x')\n",
            "mine, x.one on a: JSONDecodeError: Expecting value: line 1 column 1 (char 0) (LINE:11)",
        ),
        (
            "@one.configure\ndef f(me): pass\n",
            "mine, x.one on a: TypeError: f gives NoneType; it must yield, or return a list",
        ),
        (
            "@one.configure\ndef f(me): yield 'text'\n",
            "mine, x.one on a: TypeError: f gives str; it must give Package or ",
        ),
        ("@one.check\ndef f(me): yield 'text'\n", "mine, x.one on a: TypeError: f gives str; it must give Check"),
        (
            "class A(Interface): pass\nclass B(Interface): pass\n@one.exports(A)\ndef f(me): yield B()\n",
            "mine, x.one on a: TypeError: f gives B; it must give A",
        ),
        (
            "@one.configure\ndef f(me):\n    yield File('x', '')\n",
            "mine, x.one on a: file: 'x' is not an absolute path (LINE:11)",
        ),
        (
            "k = two.var('k', SSHKeyPair())\n@one.configure\ndef f(me): yield me[k]\n",
            "NotDeclaredError: <Member x.one.a> has no var 'k': it belongs to the role 'two' (LINE:11)",
        ),
        (
            (
                "class A(Interface): pass\nk = one.var('k', SSHKeyPair(), needs=[A])\n"
                "@one.exports(A)\ndef f(me): yield me[k]\n"
            ),
            "NotDeclaredError: 'x.k' of a is not made at this step; declare it in the step's needs= (LINE:12)",
        ),
        ("@service.machine\ndef f(members): yield 1 / 0\n", "mine, mine on a: ZeroDivisionError"),
    ],
)
def test_faults_of_service_code_name_its_line(make_project: MakeProject, code: str, message: str) -> None:
    project = make_project(INVENTORY, mine=HEAD + "\n" + code)
    told = faults_of(project)
    assert message.replace("LINE", "modules/mine.py") in told
    assert "at inventory.toml:5:12 instances.x" in told


def test_declared_state_reaches_the_backup(make_project: MakeProject) -> None:
    project = make_project("""
[machines.a.state.documents]
folders = ["/srv/documents"]
beforeBackup = ["sync"]
[machines.b]
[instances.backup]
module.name = "borgbackup"
roles.client.machines.a = {}
roles.server.machines.b = {}
""")
    world = pipeline.evaluate(project).world
    [state] = world.exports[State]
    assert (state.machine, state.value.folders, state.value.before_backup) == ("a", ["/srv/documents"], ["sync"])
    assert [(offer.machine, offer.value.target) for offer in world.exports[Backups]] == [("a", "b")]


@pytest.mark.parametrize("folders", ["[]", '["srv"]', '["/srv/../etc"]', '["/a\\nb"]'])
def test_state_that_is_no_folder(make_project: MakeProject, folders: str) -> None:
    told = faults_of(make_project(f"[machines.a.state.x]\nfolders = {folders}\n"))
    assert told.startswith("error: folders")
    assert "at inventory.toml:2:" in told
