"""Steps over vars and exports: what each may read, in which order they run, and that nothing is half made."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import services
from rolecall import pipeline
from rolecall import vars as var_store
from rolecall.errors import Faults
from rolecall.evaluate.membership import Membership, RoleMembers
from rolecall.evaluate.steps import gather, in_order, recipes, run_steps, steps_of
from rolecall.model.generators import NotDeclaredError
from rolecall.model.inventory import Inventory
from rolecall.model.vars import VarKey
from rolecall.project import Project
from rolecall.service import Context, Interface, NoSettings, Role, Service, Var, VarFile
from rolecall.vars.maker import Maker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from rolecall.service import Member

    MakeProject = Callable[..., Project]
    Publishes = Callable[[Member[Any]], Iterator[Interface]]

HEAD = services.code("tells") + "\nfrom rolecall.service import *\n"  # which the code below it needs
INVENTORY = """
[machines]
a = {}
b = {}
c = {}
[instances.x]
module = { name = "mine", input = "self" }
roles.one.machines.a = {}
roles.two.machines = { b = {}, c = {} }
"""
# The certificates of `one` are signed with a secret of each of `two`, and have names that any instance publishes.
SIGNED = services.code("signed", ("from services.tells import Hides, Name, Tells, one, two\n", services.code("tells")))
EXPECTED = "own of a/x.own | b=secret of b c=secret of c | label of b label of c | c"


def content(project: Project, machine: str = "b") -> str:
    file = pipeline.Workspace(project).evaluation().configured[machine].configuration.resources[0]
    return file.parts[0].data.decode()  # type: ignore[union-attr]


def faults_of(project: Project) -> str:
    with pytest.raises(Faults) as caught:
        pipeline.Workspace(project).evaluation()
    return str(caught.value).replace(f"{project.root}/", "")


def test_a_var_is_made_of_what_others_made_and_published(make_project: MakeProject) -> None:
    project = make_project(INVENTORY, mine=SIGNED)
    assert content(project) == EXPECTED
    assert set(var_store.pending(project)) == {recipe.key for recipe in pipeline.Workspace(project).members().recipes}


def test_inputs_that_are_kept_are_opened(make_project: MakeProject) -> None:
    project = make_project(INVENTORY, mine=SIGNED)
    assert len(pipeline.generate(pipeline.Workspace(project))) == 6
    shutil.rmtree(project.vars / "per-machine/a/x.certificate")
    assert content(project) == EXPECTED
    assert pipeline.generate(pipeline.Workspace(project)) == [VarKey("a", "x.certificate")]
    assert pipeline.generate(pipeline.Workspace(project)) == []


@pytest.mark.parametrize(
    ("was", "becomes", "message"),
    [
        ("yield Name(text=me[label])", "yield 1 / 0", "mine, x.two on b: ZeroDivisionError"),
        ("own = one.var", "bad = one.var('bad', Tells(lambda _: 1 / 0), needs=[Name]); own = one.var", "ZeroDivision"),
        ("name=me[certificate]", "name=5", "mine, x.one on a: State.name: Input should be a valid string"),
    ],
)
def test_nothing_is_kept_when_a_later_step_fails(
    make_project: MakeProject, was: str, becomes: str, message: str
) -> None:
    assert SIGNED.count(was) == 1
    project = make_project(INVENTORY, mine=SIGNED.replace(was, becomes))
    assert message in faults_of(project)
    with pytest.raises(Faults):
        pipeline.generate(pipeline.Workspace(project))
    assert (var_store.pending(project), var_store.stored_all(project)) == ({}, {})
    assert content(make_project(INVENTORY, mine=SIGNED)) == EXPECTED


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("context.inputs['other']", "reads the var 'other' and does not declare it in its needs="),
        ("context.inputs['far']", "reads the var 'far' and does not declare it in its needs="),
        ("context.peers['far']", "reads the var 'far' and does not declare it in its needs="),
        ("context.exports(Name)", "reads exports of Name and does not declare it in its needs="),
    ],
)
def test_a_generator_reads_what_it_declares_alone(make_project: MakeProject, code: str, message: str) -> None:
    module = f"""{HEAD}
def make(context):
    {code}
    return ""

other = one.var("other", Tells(lambda context: ""))
far = two.var("far", Tells(lambda context: ""))
fine = one.var("fine", Tells(lambda context: f"{{context.inputs}} {{context.peers}}"), needs=[other, far])
bad = one.var("bad", Tells(make))
"""
    told = faults_of(make_project(INVENTORY, mine=module))
    line = module.splitlines().index(f"    {code}") + 1
    assert (
        told == f"error: a/x.bad (for x.one), made by Tells, failed: this step {message}\n  at modules/mine.py:{line}"
    )


CIRCLE = (
    HEAD
    + """
named = one.var("named", Tells(lambda context: ""), needs=[Name])
signed = two.var("signed", Tells(lambda context: ""), needs=[named])

@two.exports(Name, needs=[signed])
def publish(me): return []
"""
)


def test_a_circle_over_vars_and_exports_is_told_by_check(make_project: MakeProject) -> None:
    project = make_project(INVENTORY, mine=CIRCLE)
    with pytest.raises(Faults) as caught:
        pipeline.Workspace(project).check()
    assert str(caught.value).replace(f"{project.root}/", "") == (
        "error: dependency cycle: "
        "x.one: make named → x.two: export Name → x.two: make signed → x.one: make named\n"
        "  at inventory.toml:6:12 instances.x\n"
        "hint: a step can read only the results of earlier steps"
    )
    pipeline.Workspace(
        make_project(INVENTORY.replace("roles.one.machines.a = {}", ""), mine=CIRCLE)
    ).check()  # nobody to need it


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("Secret", "me[key]"),
        ("list[dict[str, Secret]]", "[{'x': me[key]}]"),
        ("Inner", "Inner(secret=me[key])"),
        ("object", "(me[key],)"),
        ("dict[str, int]", "{repr(me[key]): 1}"),
        ("bytes", "repr(me[key]).encode()"),
    ],
)
def test_exports_hold_no_secrets(make_project: MakeProject, field: str, value: str) -> None:
    module = f"""{HEAD}
class Inner(Interface):
    secret: Secret

class Bad(Interface):
    it: {field}

key = one.var("key", Hides(lambda context: ""))

@one.exports(Bad, needs=[key])
def tell(me):
    yield Bad(it={value})
"""
    line = module.splitlines().index("def tell(me):")  # its decorator's
    assert faults_of(make_project(INVENTORY, mine=module)).startswith(
        f"error: mine, x.one on a: tell publishes a secret; exports are public (modules/mine.py:{line})\n"
        "  at inventory.toml:6:12"
    )


def test_what_is_published_is_the_publishers_own(make_project: MakeProject) -> None:
    """A step that changes its member, or another one, still publishes for its own machine, instance and role."""
    module = (
        HEAD
        + """
@two.exports(Name)
def lie(me):
    for member in me.members(two):
        member.machine, member.instance, member.role = "a", "other", "one"
    yield Name(text="x")
"""
    )
    world = pipeline.Workspace(make_project(INVENTORY, mine=module)).evaluation().world
    name = next(interface for interface in world.exports if interface.__name__ == "Name")
    assert [(each.machine, each.instance, each.role, each.service) for each in world.exports[name]] == [
        ("b", "x", "two", "mine"),
        ("c", "x", "two", "mine"),
    ]


OTHERS = """
[instances.y]
module = { name = "mine", input = "self" }
roles.two.machines.b = {}
"""


def test_one_machine_has_the_vars_that_a_whole_evaluation_makes(make_project: MakeProject) -> None:
    """A var is made once, so what it reads must all be there: also what instances elsewhere publish."""
    text = INVENTORY + OTHERS
    pipeline.generate(pipeline.Workspace(make_project(text.replace("roles.one.machines.a = {}", ""), mine=SIGNED)))
    found = pipeline.Workspace(make_project(text, mine=SIGNED)).evaluation_of(["a"]).world.vars
    names = "label of b label of b label of c"
    text = found[VarKey("a", "x.certificate")]["text"].public
    assert text == EXPECTED.replace("label of b label of c", names)


def test_one_machine_has_what_comes_through_several_services(make_project: MakeProject) -> None:
    head = HEAD.replace('"mine"', '"{}"')
    below = head.replace("{}", "below") + "@one.exports(Name)\ndef publish(me): yield Name(text='below')\n"
    between = head.replace("{}", "between") + (
        "from rolecall_project import below\n@one.exports(Name, needs=[below.Name])\n"
        "def publish(me): yield from (Name(text=each.value.text) for each in me.exports(below.Name))\n"
    )
    above = head.replace("{}", "above") + (
        "from rolecall_project import between\n"
        "var = one.var('v', Tells(lambda it: it.exports(between.Name)[0].value.text), needs=[between.Name])\n"
    )
    roles = {"above": "a", "between": "b", "below": "c"}
    text = "[machines]\na = {}\nb = {}\nc = {}\n" + "".join(
        f'[instances.{name}]\nmodule.input = "self"\nroles.one.machines.{machine} = {{}}\n'
        for name, machine in roles.items()
    )
    project = make_project(text, above=above, between=between, below=below)
    assert pipeline.Workspace(project).evaluation_of(["a"]).world.vars[VarKey("a", "above.v")]["text"].public == "below"


def test_what_came_of_a_pending_var_through_an_export_is_made_anew_with_it(make_project: MakeProject) -> None:
    project = make_project(INVENTORY, mine=SIGNED)
    old = pipeline.Workspace(project).evaluation().world.vars
    new = pipeline.Workspace(make_project(INVENTORY + OTHERS, mine=SIGNED)).evaluation().world.vars
    remade = [key for key in old if old[key] != new[key]]
    assert remade == [VarKey("a", "x.certificate")]
    pipeline.generate(pipeline.Workspace(project))
    third = OTHERS.replace("instances.y", "instances.z")
    assert pipeline.generate(pipeline.Workspace(make_project(INVENTORY + OTHERS + third, mine=SIGNED))) == [
        VarKey("b", "z.authority"),
        VarKey("b", "z.label"),
    ]  # what is kept stays


def test_what_came_of_a_replaced_var_through_an_export_is_made_anew_with_it(make_project: MakeProject) -> None:
    project = make_project(INVENTORY + OTHERS, mine=SIGNED)
    pipeline.generate(pipeline.Workspace(project))
    rotated = pipeline.rotate(pipeline.Workspace(project), ["b/y.label"])
    assert sorted(str(each.key) for each in rotated) == ["a/x.certificate", "b/y.label"]
    pipeline.discard(pipeline.Workspace(project))
    rotated = pipeline.rotate(pipeline.Workspace(project), ["b/y.authority"])  # and on from there
    assert sorted(str(each.key) for each in rotated) == ["a/x.certificate", "b/y.authority", "b/y.label"]
    pipeline.discard(pipeline.Workspace(project))
    assert [str(each.key) for each in pipeline.rotate(pipeline.Workspace(project), ["a/x.certificate"])] == [
        "a/x.certificate"
    ]


class First(Interface):
    by: str


class Second(Interface):
    by: str


class Third(Interface):
    by: str


INTERFACES = (First, Second, Third)
NOWHERE = Project(Path("nowhere"))


@dataclass(frozen=True)
class Reader:
    """Reads what it may, and tries to read all else."""

    plan: Plan
    needs: frozenset[object]
    role: Role[Any]
    files: tuple[VarFile, ...] = (VarFile("text", secret=False),)

    def generate(self, context: Context) -> Mapping[str, bytes]:
        for var in self.plan.handles:
            if var in self.needs:
                machine, instance = context.key.machine, context.key.name.split(".")[0]
                values = context.inputs[var.name] if var.role is self.role else context.peers[var.name]
                expected = {"text"} if var.role is self.role else self.plan.machines(instance, var.role)
                assert (values.keys(), bool(machine)) == (expected, True)
            else:
                for table in (context.inputs, context.peers):
                    with pytest.raises(NotDeclaredError):
                        table[var.name]
        self.plan.look(context.exports, self.needs)
        return {"text": b""}

    def view(self, files: Mapping[str, object]) -> Mapping[str, object]:
        return files


class Plan:
    """A service with random steps, and two instances of it.

    Args:
        kinds: A var or an interface for each step, with the role, and which of all vars and interfaces it needs.
    """

    def __init__(self, kinds: list[tuple[int, int, set[int]]]) -> None:
        self.service = Service("s", description="")
        self.roles = [self.service.role(name, description="") for name in ("one", "two")]
        self.handles: list[Var[Any]] = []
        self.graph: dict[object, set[object]] = {}
        self.published: dict[type[Interface], int] = dict.fromkeys(INTERFACES, 0)
        for kind, role_number, numbers in kinds:
            role = self.roles[role_number]
            known = [*INTERFACES, *self.handles]
            needs = [known[number] for number in sorted(numbers) if number < len(known)]
            if kind == len(INTERFACES):
                generator = Reader(self, frozenset(needs), role)
                node: object = role.var(f"v{len(self.handles)}", generator, needs=needs)  # type: ignore[arg-type]
                self.handles.append(node)  # type: ignore[arg-type]
            else:
                node = interface = INTERFACES[kind]
                self.published[interface] += 2 * (1 + role_number)
                role.exports(interface, needs=needs)(self.publisher(interface, needs))  # type: ignore[arg-type]
            self.graph.setdefault(node, set()).update(needs)
        members_by_role = {
            "one": RoleMembers({"a": NoSettings()}, {}),
            "two": RoleMembers({"b": NoSettings(), "c": NoSettings()}, {}),
        }
        self.membership = Membership(
            {"x": self.service, "y": self.service}, {"x": members_by_role, "y": members_by_role}
        )

    def machines(self, instance: str, role: Role[Any]) -> set[str]:
        return {*self.membership.role_members[instance][role.name].settings}

    def look(self, exports: Callable[..., Any], needs: frozenset[object]) -> None:
        for interface in INTERFACES:
            if interface in needs:
                assert len(exports(interface)) == self.published[interface]
                assert len(exports(interface, instance="x")) == self.published[interface] / 2
            else:
                with pytest.raises(NotDeclaredError):
                    exports(interface)

    def publisher(self, interface: type[Interface], needs: list[object]) -> Publishes:
        def publish(me: Member[Any]) -> Iterator[Interface]:
            for var in self.handles:
                for peer in me.members(var.role):
                    if var in needs:
                        assert peer[var]
                    else:
                        with pytest.raises(NotDeclaredError):
                            peer[var]
            self.look(me.exports, frozenset(needs))
            yield interface(by=me.role)  # type: ignore[call-arg]

        return publish

    @property
    def circular(self) -> bool:
        def reached(node: object) -> set[object]:
            found: set[object] = set()
            todo = [*self.graph.get(node, ())]
            while todo:
                if (each := todo.pop()) not in found:
                    found.add(each)
                    todo += self.graph.get(each, ())
            return found

        return any(node in reached(node) for node in self.graph)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 1), st.sets(st.integers(0, 6), max_size=3)), max_size=7))
def test_steps_run_after_what_they_need_and_read_nothing_else(kinds: list[tuple[int, int, set[int]]]) -> None:
    plan = Plan(kinds)
    if plan.circular:
        with pytest.raises(Faults, match="dependency cycle"):
            in_order(steps_of(plan.membership))
        return
    steps = in_order(steps_of(plan.membership))
    world = gather(plan.membership, {})
    run_steps(steps, Inventory(), world, Maker(NOWHERE, recipes(steps)))
    assert {interface: len(found) for interface, found in world.exports.items() if interface in INTERFACES} == {
        interface: count for interface, count in plan.published.items() if count
    }
    assert len(world.vars) == sum(2 * len(plan.machines("x", handle.role)) for handle in plan.handles)
