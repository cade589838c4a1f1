"""Vars and exports, step by step; and faults of service code."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import services
from rolecall import pipeline
from rolecall.errors import Faults
from rolecall.evaluate.membership import Membership, RoleMembers
from rolecall.evaluate.order import waves
from rolecall.evaluate.steps import gather, in_order, run_steps, steps_of
from rolecall.model.inventory import Inventory
from rolecall.project import Project
from rolecall.service import Backups, Member, NoSettings, Service, State
from rolecall.vars.maker import Maker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    MakeProject = Callable[..., Project]

HEAD = """
from dataclasses import dataclass
from rolecall.service import *

service = Service("mine", description="For tests.")
one = service.role("one", description="One.")
two = service.role("two", description="Two.")
"""
RESOURCES = "resources such as File"
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
        pipeline.Workspace(project).evaluation()
    return str(caught.value).replace(f"{project.root}/", "")


def test_steps_run_after_what_they_need(make_project: MakeProject) -> None:
    """The name is published from a key, and another publishes when the name is there."""
    project = make_project(INVENTORY, mine=services.code("published_in_turn"))
    file = pipeline.Workspace(project).evaluation().configured["a"].configuration.resources[0]
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
    assert faults_of(make_project(INVENTORY, mine=module)).startswith(
        "error: dependency cycle: x.one: export A → x.two: export B → x.one: export A\n"
        "  at inventory.toml:5:12 instances.x\n"
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
            "mine, x.one on a: f returns None; it must yield " + RESOURCES + ", or return a list (LINE:9)",
        ),
        (
            "@one.configure\ndef f(me): yield 'text'\n",
            "mine, x.one on a: f yields a str; it must yield " + RESOURCES + " (LINE:10)",
        ),
        ("@one.check\ndef f(me): yield 'text'\n", "mine, x.one on a: f yields a str; it must yield Check (LINE:10)"),
        (
            "class A(Interface): pass\nclass B(Interface): pass\n@one.exports(A)\ndef f(me): yield B()\n",
            "mine, x.one on a: f yields a B; it must yield A (LINE:12)",
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
            "class A(Interface): pass\nk = one.var('k', SSHKeyPair())\n@one.exports(A)\ndef f(me): yield me[k]\n",
            "NotDeclaredError: this step reads the var 'k' and does not declare it in its needs= (LINE:12)",
        ),
        (
            (
                "class A(Interface): pass\nk = two.var('k', SSHKeyPair())\n"
                "@one.exports(A)\ndef f(me): yield me.members(two)[0][k]\n"
            ),
            "NotDeclaredError: this step reads the var 'k' and does not declare it in its needs= (LINE:12)",
        ),
        (
            "class A(Interface): pass\n@one.exports(A)\ndef f(me): yield from me.exports(State)\n",
            "NotDeclaredError: this step reads exports of State and does not declare it in its needs= (LINE:11)",
        ),
        ("@service.machine\ndef f(members): yield 1 / 0\n", "mine, mine on a: ZeroDivisionError"),
    ],
)
def test_faults_of_service_code_name_its_line(make_project: MakeProject, code: str, message: str) -> None:
    project = make_project(INVENTORY, mine=HEAD + "\n" + code)
    told = faults_of(project)
    assert message.replace("LINE", "modules/mine.py") in told
    assert "at inventory.toml:5:12 instances.x" in told


@pytest.mark.slow
def test_exports_have_one_order_in_every_process(make_project: MakeProject) -> None:
    names = ("z", "y", "x", "w")
    inventory = "[machines]\nb = {}\na = {}\n" + "".join(
        f"""
[instances.{name}]
module = {{ name = "mine", input = "self" }}
roles.two.tags = ["all"]
roles.one.tags = ["all"]
"""
        for name in names
    )
    project = make_project(inventory, mine=services.code("many_exports"))
    pipeline.Workspace(project).evaluation()  # makes the keys
    code = """if True:
        import pathlib, sys
        from rolecall import pipeline
        junk = [object() for _ in range(int(sys.argv[2]) * 1000)]  # other addresses for what comes
        found = pipeline.open(pathlib.Path(sys.argv[1])).evaluation().configured["a"].configuration
        print(found.resources[0].parts[0].data.decode(), found.digest, sep="\\n")
        """
    answers = set()
    for seed in "0123":
        argv = [sys.executable, "-c", code, str(project.root), seed]
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        answers.add(subprocess.run(argv, env=environment, check=True, capture_output=True, text=True).stdout)
    [answer] = answers
    assert answer.splitlines()[:-1] == [
        f"{machine}.{instance}.{role} {number}"
        for machine in "ab"
        for instance in sorted(names)
        for role in ("one", "two")
        for number in (1, 2)
    ]


def test_what_came_of_a_pending_var_is_made_anew_with_it(make_project: MakeProject) -> None:
    for name in ("old", "new"):
        project = make_project(INVENTORY, mine=services.code("chain_of_vars", ('Text("one")', f'Text("{name}")')))
        file = pipeline.Workspace(project).evaluation().configured["a"].configuration.resources[0]
        assert file.parts[0].data == f"three(two({name}()))".encode()  # type: ignore[union-attr]


def operations(function: Callable[[], object]) -> int:
    """How many bytecodes run: the cost, whatever else the computer does."""
    count = 0

    def trace(frame: FrameType, event: str, _argument: object) -> Callable[..., object]:
        nonlocal count
        frame.f_trace_lines, frame.f_trace_opcodes = False, True
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    gc.disable()  # what it would clear away belongs to other tests
    sys.settrace(trace)
    try:
        function()
    finally:
        sys.settrace(before)
        gc.enable()
    return count


def published(count: int) -> Callable[[], object]:
    """Every client of an instance reads the state of its own machine."""
    machines = [f"m{number}" for number in range(count)]
    inventory = Inventory.model_validate(
        {"machines": {name: {"state": {"data": {"folders": ["/srv"]}}} for name in machines}}
    )
    service = Service("s", description="")
    role = service.role("r", description="")

    @role.exports(Backups, needs=[State])
    def offer(me: Member[NoSettings]) -> Iterator[Backups]:
        assert len(me.exports(State, machine=me.machine)) == 1
        assert len(me.exports(State, machine=me.machine, instance="")) == 1
        yield Backups(target="", create=[], listing=[], restore=[])

    members_by_role = {
        f"i{number}": {"r": RoleMembers(dict.fromkeys(machines, NoSettings()), {})} for number in range(2)
    }
    membership = Membership(dict.fromkeys(members_by_role, service), members_by_role)
    making = Maker(Project(Path("nowhere")), [])
    return lambda: run_steps(in_order(steps_of(membership)), inventory, gather(membership, {}), making)


def chain(count: int) -> Callable[[], object]:
    """Each instance's client is the server of the one before."""
    members_by_role = {
        f"i{number}": {
            "server": RoleMembers({f"m{number}": None}, {}),
            "client": RoleMembers({f"m{number + 1}": None, "m": None}, {}),
        }
        for number in reversed(range(count))
    }
    return lambda: waves(Membership({}, members_by_role))


def knots(count: int) -> Callable[[], object]:
    """Pairs that contradict each other, each after the pair before."""
    members_by_role = {
        f"i{number}{turn}": {
            "server": RoleMembers({f"m{number + turn}": None}, {}),
            "client": RoleMembers({f"m{number + 1 - turn}": None, f"m{number + 2}": None}, {}),
        }
        for number in range(0, 2 * count, 2)
        for turn in range(2)
    }
    return lambda: waves(Membership({}, members_by_role))


@pytest.mark.parametrize("work", [published, chain, knots])
def test_cost_grows_with_the_number_of_members(work: Callable[[int], Callable[[], object]]) -> None:
    work(1)()  # what is made once
    few, many = operations(work(50)), operations(work(200))
    assert many < few * 4.5


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
    world = pipeline.Workspace(project).evaluation().world
    [state] = world.exports[State]
    assert (state.machine, state.value.folders, state.value.before_backup) == ("a", ["/srv/documents"], ["sync"])
    assert [(offer.machine, offer.value.target) for offer in world.exports[Backups]] == [("a", "b")]


@pytest.mark.parametrize("folders", ["[]", '["srv"]', '["/srv/../etc"]', '["/a\\nb"]'])
def test_state_that_is_no_folder(make_project: MakeProject, folders: str) -> None:
    told = faults_of(make_project(f"[machines.a.state.x]\nfolders = {folders}\n"))
    assert told.startswith("error: folders")
    assert "at inventory.toml:2:" in told
