"""Members → vars and exports, step by step.

Making a var and publishing an export are steps of a role. They run over all members in topological order of what they
declare to need; a cycle is a fault that names its steps. Nothing here is lazy: once a step has run, what it made is
complete.
"""

from __future__ import annotations

from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from rolecall.errors import Fault, Faults, Where, dotted
from rolecall.evaluate.authors import calling, results
from rolecall.model.vars import Recipe, VarKey
from rolecall.service.contract import Var
from rolecall.service.interfaces import State
from rolecall.service.member import Exported, Host, Member, World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from rolecall.model.inventory import Inventory
    from rolecall.model.membership import Membership
    from rolecall.model.vars import StoredVar
    from rolecall.service.contract import Interface, Publisher, Role

    Make = Callable[[Sequence[Recipe]], Mapping[VarKey, StoredVar]]


@dataclass(frozen=True, slots=True)
class Step:
    """One step of one role of one instance: a var to make or an interface to publish.

    Attributes:
        instance: The instance's name.
        role: The role.
        does: The var or the publisher.
    """

    instance: str
    role: Role[Any]
    does: Var[Any] | Publisher

    def __str__(self) -> str:
        what = f"var {self.does.name}" if isinstance(self.does, Var) else f"export {self.does.interface.__name__}"
        return f"{self.instance}.{self.role.name}: {what}"


def gather(membership: Membership, hosts: Mapping[str, Host]) -> World:
    """All members of all instances, as service code will see them."""
    members: dict[tuple[str, str], tuple[Member[Any], ...]] = {}
    world = World(members, hosts)
    for instance, casts in membership.casts.items():
        for role, cast in casts.items():
            members[instance, role] = tuple(
                Member(world, instance, role, machine, settings) for machine, settings in cast.settings.items()
            )
    return world


def run_steps(inventory: Inventory, membership: Membership, world: World, make: Make) -> None:
    """Runs every step; the world then holds all vars and exports.

    Args:
        inventory: For the state that machines declare themselves.
        membership: The instances and their services.
        world: From `gather`; filled here.
        make: Gives the stored vars of recipes, making those that are missing.

    Raises:
        Faults: When steps need one another in a circle, or a step fails.
    """
    world.exports[State] = _declared_state(inventory)
    order = TopologicalSorter(_needs(membership))
    try:
        order.prepare()
    except CycleError as error:
        raise Faults([_cycle(error.args[1])]) from None
    while order.is_active():
        ready = order.get_ready()
        recipes = [recipe for step in ready if isinstance(step.does, Var) for recipe in _recipes(step, world)]
        if recipes:
            world.vars |= make(recipes)
        for step in ready:
            if not isinstance(step.does, Var):
                _publish(step, step.does, world)
        order.done(*ready)


def _declared_state(inventory: Inventory) -> list[Exported[State]]:
    """The state that the inventory declares for machines themselves."""
    exports, faults = [], []
    for machine, declared in inventory.machines.items():
        for name, state in declared.state.items():
            try:
                exports.append(Exported(State(name=name, **state.model_dump()), machine))
            except ValidationError as error:
                for detail in error.errors(include_url=False):
                    keys = ("machines", machine, "state", name, *detail["loc"])
                    message = f"{dotted(detail['loc'])}: {detail['msg'].removeprefix('Input ')}"
                    faults.append(Fault(message, Where(keys=keys), "folders are absolute paths, at least one"))
    if faults:
        raise Faults(faults)
    return exports


def recipes(membership: Membership, world: World) -> list[Recipe]:
    """Every var that the members want, whether made or not."""
    return [recipe for step in _steps(membership) if isinstance(step.does, Var) for recipe in _recipes(step, world)]


def _steps(membership: Membership) -> list[Step]:
    steps = []
    for instance, service in membership.services.items():
        for role in service.roles.values():
            if membership.casts[instance][role.name].settings:
                steps += [Step(instance, role, var) for var in role.vars.values()]
                steps += [Step(instance, role, publisher) for publisher in role.publishers]
    return steps


def _needs(membership: Membership) -> dict[Step, set[Step]]:
    steps = _steps(membership)
    makes = {(step.instance, step.does): step for step in steps if isinstance(step.does, Var)}
    publishes: dict[type[Interface], set[Step]] = {}
    for step in steps:
        if not isinstance(step.does, Var):
            publishes.setdefault(step.does.interface, set()).add(step)
    graph: dict[Step, set[Step]] = {}
    for step in steps:
        graph[step] = set()
        for need in step.does.needs:
            if not isinstance(need, Var):
                graph[step] |= publishes.get(need, set())
            elif (step.instance, need) in makes:
                graph[step].add(makes[step.instance, need])
    return graph


def _cycle(steps: Sequence[Step]) -> Fault:
    path = " → ".join(str(step) for step in reversed(steps))
    where = Where(keys=("instances", steps[0].instance))
    return Fault(f"these steps need one another: {path}", where, "a step may need only what is there before it")


def _recipes(step: Step, world: World) -> Iterable[Recipe]:
    var = step.does
    assert isinstance(var, Var)  # noqa: S101 - callers ask for such steps alone
    for member in world.members[step.instance, step.role.name]:
        inputs = tuple(
            (need.name, VarKey(member.machine, f"{step.instance}.{need.name}"))
            for need in var.needs
            if isinstance(need, Var) and need.role is var.role
        )
        yield Recipe(
            key=VarKey(member.machine, f"{step.instance}.{var.name}"),
            generator=var.generator,
            origin=f"{step.instance}.{step.role.name}",
            settings=member.settings,
            inputs=inputs,
        )


def _publish(step: Step, publisher: Publisher, world: World) -> None:
    published = world.exports.setdefault(publisher.interface, [])
    for member in world.members[step.instance, step.role.name]:
        with calling(step.role.service, f"{step.instance}.{step.role.name} on {member.machine}", step.instance):
            values = results(publisher.function, member, (publisher.interface,))
        published += [Exported(value, member.machine, step.instance, step.role.name) for value in values]
