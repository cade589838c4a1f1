"""Members → vars and exports, step by step.

Making a var is a step of a role in an instance, for all its members; publishing an export is one too. A step may read
the vars and the exports that it declares to need. What is published of one interface is complete before any step reads
it. So there is one topological order over vars and interfaces; a circle is a fault that names its steps.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import BaseModel, ValidationError

from rolecall.errors import Fault, Faults, Where, dotted
from rolecall.evaluate.authors import WrongResultError, calling, results
from rolecall.model.exports import Exported, Interface
from rolecall.model.recipes import Recipe
from rolecall.service.contract import Publisher, Var
from rolecall.service.interfaces import State
from rolecall.service.member import FILTERS, Member, NotMadeError, World
from rolecall_agent.content import Reference, shows_reference

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

    from rolecall.model.generators import Published
    from rolecall.model.inventory import Inventory
    from rolecall.model.membership import Membership, RoleMembers
    from rolecall.model.vars import StoredVar, VarKey
    from rolecall.service.contract import Role
    from rolecall.service.member import Host, Question


class Making(Protocol):
    """How vars are made: those that are missing, once, and kept when all went well."""

    @property
    def made(self) -> Container[VarKey]:
        """The vars that this run made so far."""

    @property
    def replaced(self) -> Container[VarKey]:
        """Those of them that brought another value into use."""

    def make(
        self, recipes: Sequence[Recipe], published: Published, *, inputs_made: bool, exports_replaced: bool
    ) -> Mapping[VarKey, StoredVar]:
        """Make those vars of recipes that are missing or must be replaced; return all of them.

        Args:
            recipes: The recipes of one step.
            published: Gives them exports.
            inputs_made: Whether this run made something that they read: then pending ones are generated again.
            exports_replaced: Whether an export that they read is of a var that this run replaced: then stored ones are
                regenerated, too.
        """


Given = type[Interface] | tuple[str, Var[Any]]
"""What is there when a step has run: all of an interface, or a var of an instance."""


@dataclass(frozen=True)
class Step:
    """One step of one role of one instance, for all its members.

    Attributes:
        instance: The instance's name.
        role: The role.
        members_by_role: The members of the instance, by role.
        does: The var that it makes, or what it publishes.
    """

    instance: str
    role: Role[Any]
    members_by_role: Mapping[str, RoleMembers]
    does: Var[Any] | Publisher

    def __str__(self) -> str:
        what = f"make {self.does.name}" if isinstance(self.does, Var) else f"export {self.does.interface.__name__}"
        return f"{self.instance}.{self.role.name}: {what}"

    @property
    def gives(self) -> Given:
        """What is there when it, and for an interface every other step that publishes it, has run."""
        return (self.instance, self.does) if isinstance(self.does, Var) else self.does.interface

    def needs(self, *, others: bool = False) -> Iterator[Given]:
        """What must be there before it runs; with ``others``, without the vars of its own role."""
        for need in self.does.needs:
            if not isinstance(need, Var):
                yield need
            elif not (others and need.role is self.role):
                yield self.instance, need

    @cached_property
    def recipes(self) -> tuple[Recipe, ...]:
        """The var that it makes, for each member; () when it makes none."""
        return _recipes(self.instance, self.does, self.members_by_role) if isinstance(self.does, Var) else ()


Steps = Mapping[Given, Sequence[Step]]


def gather(membership: Membership, hosts: Mapping[str, Host]) -> World:
    """All members of all instances, as service code will see them."""
    members: dict[tuple[str, str], tuple[Member[Any], ...]] = {}
    world = World(members, hosts)
    for instance, members_by_role in membership.role_members.items():
        for role, played in members_by_role.items():
            members[instance, role] = tuple(
                Member(world, instance, role, machine, settings) for machine, settings in played.settings.items()
            )
    return world


def steps_of(membership: Membership) -> Steps:
    """Every step of a role that has members, by what it gives; in no order yet."""
    steps: dict[Given, list[Step]] = {State: []}
    for instance, service in membership.services.items():
        members_by_role = membership.role_members[instance]
        for role in service.roles.values():
            if not members_by_role[role.name].settings:
                continue
            work: list[Var[Any] | Publisher] = [*role.vars.values(), *role.publishers]
            for does in work:
                step = Step(instance, role, members_by_role, does)
                steps.setdefault(step.gives, []).append(step)
    return steps


def interfaces_read_by_vars(membership: Membership) -> list[Question]:
    """What exports the vars of these instances may come from: all of them must be there, for a var is made once."""
    roles = [role for service in membership.services.values() for role in service.roles.values()]
    needs = [need for role in roles for var in role.vars.values() for need in var.needs]
    found: dict[type[Interface], None] = {}
    while needs:
        need = needs.pop()
        if not isinstance(need, Var) and need not in found:
            found[need] = None
            publishers = [each for role in roles for each in role.publishers if each.interface is need]
            needs += [below for publisher in publishers for below in publisher.needs]
    return [("published", interface, *[None] * len(FILTERS)) for interface in found]


def recipes(steps: Steps) -> list[Recipe]:
    """Every var that the members want, whether made or not."""
    return [recipe for those in steps.values() for step in those for recipe in step.recipes]


def run_steps(
    steps: Steps, inventory: Inventory, world: World, making: Making, standalone: Sequence[Recipe] = ()
) -> None:
    """Runs every step; the world then holds all vars and exports.

    Args:
        steps: From `in_order`.
        inventory: For the state that machines declare themselves.
        world: From `gather`; filled here.
        making: How vars are made.
        standalone: Vars that belong to no step.

    Raises:
        Faults: When a step fails.
    """
    world.vars |= making.make(standalone, world.published, inputs_made=False, exports_replaced=False)
    declared = declared_state(inventory)
    new: set[Given] = set()  # what this run made, or derived from that
    replaced: set[Given] = set()  # those of them that took the place of another value
    for given, those in steps.items():
        if isinstance(given, tuple):
            [step] = those
            needs = set(step.needs(others=True))
            world.vars |= making.make(
                step.recipes,
                world.published,
                inputs_made=not needs.isdisjoint(new),
                exports_replaced=any(isinstance(need, type) for need in needs & replaced),
            )
            keys = [recipe.key for recipe in step.recipes]
            made_now, replaced_now = (
                any(key in making.made for key in keys),
                any(key in making.replaced for key in keys),
            )
        else:
            exports = [*(declared if given is State else ())]
            for step in those:
                exports += _published(step, world)
            world.publish(given, exports)
            needs = {need for step in those for need in step.needs()}
            made_now, replaced_now = (not needs.isdisjoint(new), not needs.isdisjoint(replaced))
        new |= {given} if made_now else set()
        replaced |= {given} if replaced_now else set()


def _recipes(instance: str, var: Var[Any], members_by_role: Mapping[str, RoleMembers]) -> tuple[Recipe, ...]:
    """A var for every member of its role."""
    needs = [need for need in var.needs if isinstance(need, Var)]
    peers = {
        need.name: {machine: need.key(instance, machine) for machine in members_by_role[need.role.name].settings}
        for need in needs
        if need.role is not var.role
    }
    interfaces = tuple(need for need in var.needs if not isinstance(need, Var))
    return tuple(
        Recipe(
            key=var.key(instance, machine),
            generator=var.generator,
            origin=f"{instance}.{var.role.name}",
            settings=settings if var.scope == "instance" else None,
            inputs=tuple((need.name, need.key(instance, machine)) for need in needs if need.role is var.role),
            peers=peers,
            interfaces=interfaces,
            validation=_validation(instance, var, settings) if var.validation else "",
            binds=var.binds,
            accepted=var.accepted,
        )
        for machine, settings in members_by_role[var.role.name].settings.items()
    )


def _validation(instance: str, var: Var[Any], settings: object) -> str:
    """A digest of what a var is made for: lower-case hex SHA-256."""
    assert var.validation  # noqa: S101 - the caller looks
    role = var.role
    with calling(role.service, f"the validation of {instance}.{role.name}: {var.name}", instance):
        value = var.validation(settings)
        try:
            said = json.dumps(value, sort_keys=True, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise WrongResultError(f"returns what JSON cannot hold: {error}", var.validation) from None
    return hashlib.sha256(said.encode()).hexdigest()


def declared_state(inventory: Inventory) -> list[Exported[State]]:
    """The state that the inventory declares for machines themselves.

    Raises:
        Faults: Every folder that is no absolute path, and every state without one.
    """
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


def in_order(steps: Steps) -> Steps:
    """The same steps, each after those that it needs.

    Raises:
        Faults: When steps need one another in a circle.
    """
    # Of each, the first step that needs another one. No sets: their order differs between processes.
    graph: dict[Given, dict[Given, Step]] = {}
    for given, those in steps.items():
        needs = graph[given] = {}
        for step in those:
            for need in step.needs():
                if need in steps:
                    needs.setdefault(need, step)
    try:
        return {given: steps[given] for given in TopologicalSorter(graph).static_order()}
    except CycleError as error:
        # graphlib lists each node before the one that needs it.
        circle = [graph[given][need] for given, need in pairwise(reversed(error.args[1]))]
        path = " → ".join(str(step) for step in (*circle, circle[0]))
        where = Where(keys=("instances", circle[0].instance))
        hint = "a step can read only the results of earlier steps"
        raise Faults([Fault(f"dependency cycle: {path}", where, hint)]) from None


def _published(step: Step, world: World) -> Iterator[Exported[Any]]:
    publisher, role = step.does, step.role
    assert isinstance(publisher, Publisher)  # noqa: S101 - as all steps that give an interface
    with world.limited(publisher.needs):
        members = world.members[step.instance, role.name]
        for machine, member in zip(step.members_by_role[role.name].settings, members, strict=True):
            try:
                with calling(role.service, f"{step.instance}.{role.name} on {machine}", step.instance):
                    values = list(results(publisher.function, member, (publisher.interface,)))
                    if any(map(_holds_secret, values)):
                        raise WrongResultError("publishes a secret; exports are public", publisher.function)
            except NotMadeError:
                publisher_of = (machine, step.instance, role.name, role.service.name)
                world.withheld.setdefault(publisher.interface, []).append(publisher_of)
                continue
            for value in values:
                yield Exported(value, machine, step.instance, role.name, role.service.name)


def _holds_secret(value: object) -> bool:
    """Whether a reference to a secret stands anywhere in what is published."""
    if isinstance(value, BaseModel):
        return any(map(_holds_secret, value.__dict__.values()))
    if isinstance(value, Mapping):
        return any(map(_holds_secret, (*value, *value.values())))
    if isinstance(value, (list, tuple, set, frozenset)):
        return any(map(_holds_secret, value))
    return isinstance(value, Reference) or (isinstance(value, (str, bytes)) and shows_reference(value))
