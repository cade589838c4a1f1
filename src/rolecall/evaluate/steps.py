"""Members → vars, and exports step by step.

Vars are made first, all in one run, for a generator reads vars of its own role alone. Publishing an export is a step of
a role, which may read vars and exports that it declares to need. What is published of one interface is complete before
any step reads it, so the interfaces run in topological order; a circle is a fault that names its steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from rolecall.errors import Fault, Faults, Where, dotted
from rolecall.evaluate.authors import calling, results
from rolecall.model.exports import Exported
from rolecall.model.vars import Recipe, VarKey
from rolecall.service.contract import Var
from rolecall.service.interfaces import State
from rolecall.service.member import Host, Member, World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from rolecall.model.exports import Interface
    from rolecall.model.inventory import Inventory
    from rolecall.model.membership import Membership
    from rolecall.model.vars import StoredVar
    from rolecall.service.contract import Publisher, Role

    Make = Callable[[Sequence[Recipe]], Mapping[VarKey, StoredVar]]


@dataclass(frozen=True, slots=True)
class Step:
    """One step of one role of one instance: it publishes what its members have of an interface.

    Attributes:
        instance: The instance's name.
        role: The role.
        publisher: What it does.
    """

    instance: str
    role: Role[Any]
    publisher: Publisher

    def __str__(self) -> str:
        return f"{self.instance}.{self.role.name}: export {self.publisher.interface.__name__}"


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
    declared = _declared_state(inventory)
    world.vars |= make(recipes(membership, world))
    steps: dict[type[Interface], list[Step]] = {State: []}
    for step in _steps(membership):
        steps.setdefault(step.publisher.interface, []).append(step)
    for interface in _in_order(steps):
        exports = [*(declared if interface is State else ())]
        for step in steps[interface]:
            exports += _published(step, world)
        world.publish(interface, exports)


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
    return [
        Recipe(
            key=VarKey(member.machine, f"{instance}.{var.name}"),
            generator=var.generator,
            origin=f"{instance}.{role.name}",
            settings=member.settings,
            inputs=tuple((need.name, VarKey(member.machine, f"{instance}.{need.name}")) for need in var.needs),
        )
        for instance, service in membership.services.items()
        for role in service.roles.values()
        for var in role.vars.values()
        for member in world.members[instance, role.name]
    ]


def _steps(membership: Membership) -> Iterable[Step]:
    for instance, service in membership.services.items():
        for role in service.roles.values():
            if membership.casts[instance][role.name].settings:
                yield from (Step(instance, role, publisher) for publisher in role.publishers)


def _in_order(steps: Mapping[type[Interface], Sequence[Step]]) -> list[type[Interface]]:
    """The interfaces, each after those that its steps need.

    Raises:
        Faults: When steps need one another in a circle.
    """
    # Of each interface, the first step that needs another one. No sets: their order differs between processes.
    graph: dict[type[Interface], dict[type[Interface], Step]] = {}
    for interface, its_steps in steps.items():
        needs = graph[interface] = {}
        for step in its_steps:
            for need in step.publisher.needs:
                if not isinstance(need, Var) and need in steps:
                    needs.setdefault(need, step)
    try:
        return list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        # graphlib lists each node before the one that needs it.
        circle = [graph[interface][need] for interface, need in pairwise(reversed(error.args[1]))]
        path = " → ".join(str(step) for step in (*circle, circle[0]))
        where = Where(keys=("instances", circle[0].instance))
        hint = "a step may need only what is there before it"
        raise Faults([Fault(f"these steps need one another: {path}", where, hint)]) from None


def _published(step: Step, world: World) -> Iterable[Exported[Any]]:
    publisher, role = step.publisher, step.role
    with world.limited(publisher.needs):
        for member in world.members[step.instance, role.name]:
            with calling(role.service, f"{step.instance}.{role.name} on {member.machine}", step.instance):
                values = results(publisher.function, member, (publisher.interface,))
            yield from (Exported(value, member.machine, step.instance, role.name) for value in values)
