"""Members → vars and exports, step by step.

Generating a var is a step of a role in an instance, for all its members; publishing exports of an interface is another.
A step can read the vars and exports that it declares to need. All exports of an interface are complete before any step
reads them. So there is one topological order over vars and interfaces; a cycle is a fault that names its steps.
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
from rolecall.evaluate.addresses import missing_addresses
from rolecall.evaluate.authors import WrongResultError, calling, results
from rolecall.model.exports import Exported, Interface
from rolecall.model.frozen import frozen
from rolecall.model.recipes import Recipe
from rolecall.model.world import FILTERS, NotMadeError, View, World
from rolecall.service.contract import Publisher
from rolecall.service.handles import Var
from rolecall.service.interfaces import State
from rolecall.service.member import members_of
from rolecall_agent.content import Reference, shows_reference

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator

    from rolecall.evaluate.membership import Membership, RoleMembers
    from rolecall.model.generators import Published
    from rolecall.model.inventory import Inventory
    from rolecall.model.vars import StoredVar, VarKey
    from rolecall.model.world import Host, Read
    from rolecall.service.contract import Role


class VarMaker(Protocol):
    """Generates vars: `rolecall.vars.make.Making` those that are missing, others for `check` and for tests."""

    @property
    def made(self) -> Container[VarKey]:
        """The vars that this run made so far."""

    @property
    def replaced(self) -> Container[VarKey]:
        """Those of them that brought another value into use."""

    def make(
        self, recipes: Sequence[Recipe], published: Published, *, inputs_made: bool, exports_replaced: bool
    ) -> Mapping[VarKey, StoredVar]:
        """Return the vars of recipes, after those that are missing or must be replaced are generated.

        Args:
            recipes: The recipes of one step.
            published: Returns exports, for those that read some.
            inputs_made: Whether this run made something that they read: then pending values are generated again.
            exports_replaced: Whether an export that they read is of a var that this run replaced: then stored values
                are generated again, too.
        """


Result = type[Interface] | tuple[str, Var[Any]]
"""The result of a step: all exports of an interface, or a var of an instance."""


@dataclass(frozen=True)
class Step:
    """One step of one role of one instance, for all its members.

    Attributes:
        instance: The instance's name.
        role: The role.
        members_by_role: The members of the instance, by role.
        does: The var that it generates, or the publisher that it calls.
    """

    instance: str
    role: Role[Any]
    members_by_role: Mapping[str, RoleMembers]
    does: Var[Any] | Publisher

    def __str__(self) -> str:
        what = f"make {self.does.name}" if isinstance(self.does, Var) else f"export {self.does.interface.__name__}"
        return f"{self.instance}.{self.role.name}: {what}"

    @property
    def result(self) -> Result:
        """Its result; that of an interface is complete when every step that publishes it has run."""
        return (self.instance, self.does) if isinstance(self.does, Var) else self.does.interface

    def needs(self, *, others: bool = False) -> Iterator[Result]:
        """Yield the results that it reads; with ``others``, without the vars of its own role."""
        for need in self.does.needs:
            if not isinstance(need, Var):
                yield need
            elif not (others and need.role is self.role):
                yield self.instance, need

    @cached_property
    def recipes(self) -> tuple[Recipe, ...]:
        """A recipe of its var for each member; () when it publishes exports."""
        return _recipes(self.instance, self.role, self.does, self.members_by_role) if isinstance(self.does, Var) else ()


Steps = Mapping[Result, Sequence[Step]]


def gather(membership: Membership, hosts: Mapping[str, Host]) -> World:
    """Return the world of these members, with no vars and exports yet."""
    return World(
        {
            (instance, role): members.settings
            for instance, members_by_role in membership.role_members.items()
            for role, members in members_by_role.items()
        },
        hosts,
        data_names=membership.data_names,
    )


def steps_of(membership: Membership) -> Steps:
    """Return every step of a role that has members, by its result; in no order yet."""
    steps: dict[Result, list[Step]] = {State: []}
    for instance, service in membership.services.items():
        members_by_role = membership.role_members[instance]
        for role in service.roles.values():
            if not members_by_role[role.name].settings:
                continue
            work: list[Var[Any] | Publisher] = [*role.vars.values(), *role.publishers]
            for does in work:
                step = Step(instance, role, members_by_role, does)
                steps.setdefault(step.result, []).append(step)
    return steps


def interfaces_read_by_vars(membership: Membership) -> list[Read]:
    """Return reads of all exports that the vars of these instances depend on, also through other exports."""
    roles = [role for service in membership.services.values() for role in service.roles.values()]
    needs = [need for role in roles for var in role.vars.values() for need in var.needs]
    found: dict[type[Interface], None] = {}
    while needs:
        need = needs.pop()
        if not isinstance(need, Var) and need not in found:
            found[need] = None
            publishers = [each for role in roles for each in role.publishers if each.interface is need]
            needs += [below for publisher in publishers for below in publisher.needs]
    return [*map(whole, found)]


def whole(interface: type[Interface]) -> Read:
    """Return the read of all exports of an interface."""
    return ("published", interface, *[None] * len(FILTERS))


def steps_behind(wanted: Result, steps: Steps) -> Steps:
    """Return those of the steps that a result depends on, and those that give it, in the same order."""
    found: set[Result] = set()
    waiting = [wanted]
    while waiting:
        if (result := waiting.pop()) not in found and result in steps:
            found.add(result)
            waiting += [need for step in steps[result] for need in step.needs()]
    return {result: group for result, group in steps.items() if result in found}


def recipes(steps: Steps) -> list[Recipe]:
    """Return a recipe of every var of the members, whether it exists or not."""
    return [recipe for group in steps.values() for step in group for recipe in step.recipes]


def run_steps(
    steps: Steps, inventory: Inventory, world: World, making: VarMaker, standalone: Sequence[Recipe] = ()
) -> None:
    """Run every step; the world then holds all vars and exports.

    Args:
        steps: From `in_order`.
        inventory: For the state that machines declare themselves.
        world: From `gather`; filled here.
        making: Generates vars.
        standalone: Recipes that belong to no step.

    Raises:
        Faults: When a step fails.
    """
    world.vars.update(making.make(standalone, world.published, inputs_made=False, exports_replaced=False))
    declared = declared_state(inventory)
    new: set[Result] = set()  # generated in this run, or from that
    replaced: set[Result] = set()  # of these, what replaces stored values
    for result, group in steps.items():
        if isinstance(result, tuple):
            [step] = group
            needs = set(step.needs(others=True))
            made = making.make(
                step.recipes,
                world.published,
                inputs_made=not needs.isdisjoint(new),
                exports_replaced=any(isinstance(need, type) for need in needs & replaced),
            )
            world.vars.update(made)
            keys = [recipe.key for recipe in step.recipes]
            made_now, replaced_now = (
                any(key in making.made for key in keys),
                any(key in making.replaced for key in keys),
            )
        else:
            exports = [*(declared if result is State else ())]
            for step in group:
                exports += _published(step, world)
            world.publish(result, exports)
            needs = {need for step in group for need in step.needs()}
            made_now, replaced_now = (not needs.isdisjoint(new), not needs.isdisjoint(replaced))
        new |= {result} if made_now else set()
        replaced |= {result} if replaced_now else set()


def _recipes(
    instance: str, role: Role[Any], var: Var[Any], members_by_role: Mapping[str, RoleMembers]
) -> tuple[Recipe, ...]:
    """Return a recipe of a var for every member of its role."""
    needs = [need for need in var.needs if isinstance(need, Var)]
    peers = {
        need.name: {machine: need.key(instance, machine) for machine in members_by_role[need.role.name].settings}
        for need in needs
        if need.role is not role
    }
    interfaces = tuple(need for need in var.needs if not isinstance(need, Var))
    members = members_by_role[role.name].settings
    if var.scope == "shared":  # one recipe stands for all members
        members = dict(list(members.items())[:1])
    wanted = {}
    if var.instance_validation:
        every = {name: each.settings for name, each in members_by_role.items()}
        wanted = dict.fromkeys(members, _wanted(instance, role, var, var.instance_validation, every))
    elif var.validation:
        wanted = {
            machine: _wanted(instance, role, var, var.validation, settings) for machine, settings in members.items()
        }
    return tuple(
        Recipe(
            key=var.key(instance, machine),
            generator=var.generator,
            origin=f"{instance}.{role.name}",
            settings=settings if var.scope == "instance" else None,
            inputs=tuple((need.name, need.key(instance, machine)) for need in needs if need.role is role),
            peers=peers,
            interfaces=interfaces,
            validation=digest,
            wanted=value,
            binds=var.binds,
            accepted=var.accepted,
            extends=var.extends,
        )
        for machine, settings in members.items()
        for value, digest in (wanted.get(machine, (None, "")),)
    )


def _wanted(
    instance: str, role: Role[Any], var: Var[Any], validation: Callable[[Any], object], settings: object
) -> tuple[object, str]:
    """Return what a var is generated for, and a digest of that: lower-case hex SHA-256."""
    with calling(role.service, f"the validation of {instance}.{role.name}: {var.name}", instance):
        value = validation(settings)
        try:
            text = json.dumps(value, sort_keys=True, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise WrongResultError(f"returns a value that JSON cannot hold: {error}", validation) from None
    return value, hashlib.sha256(text.encode()).hexdigest()


def declared_state(inventory: Inventory) -> list[Exported[State]]:
    """Return the state that the inventory declares for machines themselves.

    Raises:
        Faults: Every folder that is not an absolute path, and every state without folders.
    """
    exports, faults = [], []
    for machine, declared in inventory.machines.items():
        for name, state in declared.state.items():
            try:
                exports.append(Exported(frozen(State(name=name, **state.model_dump())), machine))
            except ValidationError as error:
                for detail in error.errors(include_url=False):
                    keys = ("machines", machine, "state", name, *detail["loc"])
                    empty = detail["type"] == "too_short"
                    problem = " is empty" if empty else f": {detail['msg'].removeprefix('Input ')}"
                    message = dotted(detail["loc"]) + problem
                    faults.append(
                        Fault(message, Where(keys=keys), "list at least one folder, each as an absolute path")
                    )
    if faults:
        raise Faults(faults)
    return exports


def in_order(steps: Steps) -> Steps:
    """Return the same steps, each after those that it needs.

    Raises:
        Faults: When they have a dependency cycle.
    """
    # Of each, the first step that needs another one. No sets: their order differs between processes.
    graph: dict[Result, dict[Result, Step]] = {}
    for result, group in steps.items():
        needs = graph[result] = {}
        for step in group:
            for need in step.needs():
                if need in steps:
                    needs.setdefault(need, step)
    try:
        return {result: steps[result] for result in TopologicalSorter(graph).static_order()}
    except CycleError as error:
        # graphlib lists each node before the one that needs it.
        circle = [graph[result][need] for result, need in pairwise(reversed(error.args[1]))]
        path = " → ".join(str(step) for step in (*circle, circle[0]))
        where = Where(keys=("instances", circle[0].instance))
        hint = "a step can read only the results of earlier steps"
        raise Faults([Fault(f"dependency cycle: {path}", where, hint)]) from None


def _published(step: Step, world: World) -> Iterator[Exported[Any]]:
    publisher, role = step.does, step.role
    assert isinstance(publisher, Publisher)  # noqa: S101 - as all steps that give an interface
    reads: dict[frozenset[Read], frozenset[Read]] = {}  # in a mesh, all members read the same
    addresses: set[str] = set()
    with View(world, publisher.needs) as view:
        members = members_of(view, step.instance, role.name)
        for machine, member in zip(world.members[step.instance, role.name], members, strict=True):
            view.reads = {}
            try:
                with calling(role.service, f"{step.instance}.{role.name} on {machine}", step.instance):
                    values = list(results(publisher.function, member, publisher.interface))
                    if any(map(_holds_secret, values)):
                        raise WrongResultError("publishes a secret; exports are public", publisher.function)
            except NotMadeError:
                publisher_of = (machine, step.instance, role.name, role.service.name)
                world.withheld.setdefault(publisher.interface, []).append(publisher_of)
                continue
            finally:
                addresses.update(view.addresses)
            read = frozenset(view.reads)
            read = reads.setdefault(read, read)
            for value in values:
                yield Exported(frozen(value), machine, step.instance, role.name, role.service.name, read)
    if faults := list(missing_addresses(world.hosts, [(f"{step.instance}.{role.name}", sorted(addresses))])):
        raise Faults(faults)


def _holds_secret(value: object) -> bool:
    """Return whether a published value contains a reference to a secret."""
    if isinstance(value, BaseModel):
        return any(map(_holds_secret, value.__dict__.values()))
    if isinstance(value, Mapping):
        return any(map(_holds_secret, (*value, *value.values())))
    if isinstance(value, (list, tuple, set, frozenset)):
        return any(map(_holds_secret, value))
    return isinstance(value, Reference) or (isinstance(value, (str, bytes)) and shows_reference(value))
