"""From the inventory to the configurations of its machines, without connecting to any."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from typing import TYPE_CHECKING

from rolecall import inventory
from rolecall import vars as var_store
from rolecall.deploy.target import find_target
from rolecall.errors import Fault, Faults, Where
from rolecall.evaluate.configure import configure
from rolecall.evaluate.members import instances_publishing, instances_with, resolve
from rolecall.evaluate.memory import Memory
from rolecall.evaluate.order import waves
from rolecall.evaluate.references import declared, named_instances, unknown_secrets, unused
from rolecall.evaluate.steps import (
    declared_state,
    gather,
    in_order,
    interfaces_read_by_vars,
    run_steps,
    steps_behind,
    steps_of,
    whole,
)
from rolecall.evaluate.steps import recipes as recipes_of
from rolecall.model.recipes import Replacement
from rolecall.model.vars import current
from rolecall.pipeline.reading import StoredVars
from rolecall.service.registry import OWN, Registry

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from rolecall.evaluate.configure import Configured
    from rolecall.evaluate.membership import Membership
    from rolecall.model.exports import Exported, InterfaceT
    from rolecall.model.inventory import Loaded
    from rolecall.model.recipes import Recipe
    from rolecall.model.vars import StoredVar, VarKey
    from rolecall.model.world import Host, World
    from rolecall.project import Project


@dataclass(frozen=True, slots=True)
class Members:
    """An inventory with the members of its instances.

    Attributes:
        loaded: The inventory with its sources.
        registry: Where its services were found.
        membership: Who plays what.
        incomplete: By machine, the roles whose configuration `check` could not evaluate to its end, since vars are
            still to be generated.
        shared: A warning for each key that two vars share, as far as vars were read.
        unverified: A warning if vars were read that an earlier version stored.
    """

    loaded: Loaded
    registry: Registry
    membership: Membership
    incomplete: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    shared: tuple[Fault, ...] = ()
    unverified: tuple[Fault, ...] = ()

    @property
    def warnings(self) -> tuple[Fault, ...]:
        """All warnings, with places."""
        warnings = [*self.loaded.warnings, *self.membership.warnings, *self.shared, *self.unverified]
        if self.loaded.inventory.instances.keys() <= self.membership.role_members.keys():
            warnings += [*unused(self.loaded, self.membership), *_shared_targets(self.loaded)]
        return tuple(inventory.locate(warning, self.loaded.sources) for warning in warnings)

    @property
    def recipes(self) -> list[Recipe]:
        """The recipe of each var that the inventory needs, whether it is stored or not."""
        return [*declared(self.loaded, self.membership), *recipes_of(steps_of(self.membership))]


def _shared_targets(loaded: Loaded) -> Iterator[Fault]:
    """Warn of each machine that has the target of another one: both would be installed on the same machine."""
    first: dict[object, str] = {}
    for name, machine in loaded.inventory.machines.items():
        if machine.deploy.target_host is not None:
            other = first.setdefault(_address(machine.deploy.target_host), name)
            if other != name:
                where, there = (Where(keys=("machines", each, "deploy", "targetHost")) for each in (name, other))
                at = inventory.locate(Fault("", there), loaded.sources).where
                place = f" (at {at.file.name}:{at.line})" if at and at.file else ""
                hint = "give each machine a target of its own"
                yield Fault(f"machine {name!r} has the same target as {other!r}{place}", where, hint, warning=True)


def _address(target_host: str) -> object:
    """Return what is equal for two targets if they reach the same directory, or the same port of the same host."""
    if target_host.startswith("dir:"):
        return os.path.normpath(target_host.removeprefix("dir:"))
    host, _, port = target_host.rpartition("@")[2].partition("]:" if "[" in target_host else ":")
    host = host.strip("[]").rstrip(".").casefold()
    with suppress(ValueError):
        host = str(ip_address(host))
    return host, (port or "22").lstrip("0")


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Everything that follows from an inventory without connecting to a machine.

    Attributes:
        members: The inventory with its members.
        world: All members with their vars and exports.
        configured: The configurations of the machines that were evaluated.
        waves: The order in which machines switch.
        makes: The pending vars: generated for this evaluation or an earlier one, and not yet promoted.
    """

    members: Members
    world: World
    configured: Mapping[str, Configured]
    waves: Mapping[str, int]
    makes: Mapping[VarKey, StoredVar]


def members_of(project: Project, loaded: Loaded, faults: Sequence[Fault], memory: Memory) -> Members:
    """Resolve the members of an inventory. Touches no network and makes nothing.

    Args:
        project: The project.
        loaded: The inventory.
        faults: The faults of its shape.
        memory: Of earlier evaluations in this process.

    Raises:
        Faults: Everything that is wrong with it, with places.
    """
    registry = registry_of(project, loaded, memory)
    try:
        found = Members(loaded, registry, resolve(loaded, registry, memory.resolved))
    except Faults as error:
        faults = [*faults, *(inventory.locate(found, loaded.sources) for found in error.faults)]
    else:
        if not faults:
            return found
    raise Faults(faults)


def registry_of(project: Project, loaded: Loaded, memory: Memory) -> Registry:
    """Return where services are found; the remembered one while the project's modules and inputs are the same."""
    urls = {name: url for source in loaded.sources for name, url in source.inputs.items() if url}
    if any(source.clan for source in loaded.sources):  # then inputs are the flake's, also those without a URL
        named = {each.module.input for each in loaded.inventory.instances.values()}
        urls |= {name: "" for name in named if name and name not in urls and name != OWN}
    registry = Registry(project.modules, urls)
    if memory.registry is None or memory.registry.stamp != registry.stamp:
        memory.registry = registry
    return memory.registry


def check(project: Project, found: Members, hosts: Mapping[str, Host]) -> Members:
    """Evaluate all exports and configurations as far as they can be without making vars.

    Args:
        project: The project.
        found: The members, without `further_faults`.
        hosts: From `addresses.hosts_of`.

    Returns:
        The members, with what could not be evaluated to its end.

    Raises:
        Faults: As `evaluate`, but for what making vars shows.
    """
    found, configured = configured_as_stored(project, found, hosts)
    incomplete = {machine: each.incomplete for machine, each in configured.items() if each.incomplete}
    return replace(found, incomplete=incomplete)


def configured_as_stored(
    project: Project, found: Members, hosts: Mapping[str, Host]
) -> tuple[Members, Mapping[str, Configured]]:
    """Return the configurations of all machines, as far as they follow from the stored vars. Makes nothing.

    Arguments and faults are those of `check`.
    """
    with faults_located_in(found.loaded):
        world = gather(found.membership, hosts)
        steps, standalone = in_order(steps_of(found.membership)), declared(found.loaded, found.membership)
        stored = StoredVars(project, [*standalone, *recipes_of(steps)], world)
        run_steps(steps, found.loaded.inventory, world, stored, standalone)
        # With a memory of its own: what is incomplete is nothing to remember.
        return _configured(project, found, world, found.loaded.inventory.machines, Memory())


def published(
    project: Project, loaded: Loaded, hosts: Mapping[str, Host], interface: type[InterfaceT], memory: Memory
) -> Sequence[Exported[InterfaceT]]:
    """Return the exports of an interface, as far as they follow from the vars that are stored. Makes nothing.

    Args:
        project: The project.
        loaded: The inventory.
        hosts: From `addresses.hosts_of`.
        interface: The interface.
        memory: As for `evaluate`.

    Raises:
        Faults: When the services that publish it do not load, their settings are wrong, or a step fails.
    """
    with faults_located_in(loaded):
        registry = registry_of(project, loaded, memory)
        instances = instances_publishing(loaded, registry, [whole(interface)])
        while instances:
            membership = resolve(loaded, registry, memory.resolved, instances)
            steps = steps_behind(interface, in_order(steps_of(membership)))
            needed = [whole(result) for result in steps if isinstance(result, type)]
            if more := instances_publishing(loaded, registry, needed) - instances:
                instances |= more
                continue
            world = gather(membership, hosts)
            run_steps(steps, loaded.inventory, world, StoredVars(project, recipes_of(steps), world))
            return world.exports.get(interface, ())
        return ()


def further_faults(project: Project, found: Members) -> list[Fault]:
    """Return what is wrong with members beyond `members_of`: limits, secrets, the order of steps, targets."""
    declared = found.loaded.inventory.machines.items()
    hosts = [(name, machine.deploy.target_host) for name, machine in declared if machine.deploy.target_host is not None]
    targets = [find_target(project, name, target_host, None) for name, target_host in hosts]
    faults = [
        *found.membership.unfit,
        *unknown_secrets(found.loaded, found.membership),
        *(target for target in targets if isinstance(target, Fault)),
    ]
    for examined in (lambda: declared_state(found.loaded.inventory), lambda: in_order(steps_of(found.membership))):
        try:
            examined()
        except Faults as error:
            faults += error.faults
    return [inventory.locate(fault, found.loaded.sources) for fault in faults]


def evaluate(project: Project, found: Members, hosts: Mapping[str, Host], memory: Memory) -> Evaluation:
    """Evaluate the configurations of all machines. Missing vars are generated into the pending set.

    Args:
        project: The project.
        found: The members, without `further_faults`.
        hosts: From `addresses.hosts_of`.
        memory: Of earlier evaluations in this process: what nothing has changed for is not evaluated again.

    Raises:
        Faults: When service code fails or definitions exclude each other.
    """
    memory.turn()
    with faults_located_in(found.loaded):
        world = gather(found.membership, hosts)
        return _evaluated(project, found, world, found.loaded.inventory.machines, memory)


def evaluate_some(
    project: Project, loaded: Loaded, hosts: Mapping[str, Host], machines: Sequence[str], memory: Memory
) -> Evaluation:
    """Evaluate the configurations of some machines, and of the inventory only the instances that these play in.

    What an instance elsewhere exports counts too where it is read. So a read that goes beyond what was evaluated adds
    the instances that could answer it, and then all of it is evaluated once more.

    Args:
        project: The project.
        loaded: The inventory.
        hosts: From `addresses.hosts_of`.
        machines: The machines that are wanted.
        memory: As for `evaluate`.

    Raises:
        Faults: As `evaluate`, of what was evaluated; and for a machine that is not declared.
    """
    with faults_located_in(loaded):
        if unknown := [name for name in machines if name not in loaded.inventory.machines]:
            raise Faults(map(loaded.unknown_machine, unknown))
        registry = registry_of(project, loaded, memory)
        instances = instances_with(loaded, machines)
        while True:
            found = Members(loaded, registry, resolve(loaded, registry, memory.resolved, instances))
            more = named_instances(loaded, found.membership)
            more |= instances_publishing(loaded, registry, interfaces_read_by_vars(found.membership))
            if more - instances:
                instances |= more
                continue
            if faults := [*found.membership.unfit, *unknown_secrets(loaded, found.membership)]:
                raise Faults(faults)
            world = gather(found.membership, hosts)
            evaluation, failure = None, None
            try:
                evaluation = _evaluated(project, found, world, machines, memory)
            except Faults as error:  # perhaps only because of what was not evaluated
                failure = error
            if more := instances_publishing(loaded, registry, world.queries) - instances:
                instances |= more
            elif failure:
                raise failure
            elif evaluation:
                return evaluation


def _evaluated(project: Project, found: Members, world: World, machines: Iterable[str], memory: Memory) -> Evaluation:
    membership = found.membership
    run_all_steps(project, found, world)
    found, configured = _configured(project, found, world, machines, memory)
    makes = {key: files for key, files in var_store.pending(project).items() if key in world.vars}
    return Evaluation(found, world, configured, waves(membership), makes)


def _configured(
    project: Project, found: Members, world: World, machines: Iterable[str], memory: Memory
) -> tuple[Members, Mapping[str, Configured]]:
    """Configure machines, and warn of shared keys: services may tell members apart by their keys.

    Raises:
        Faults: As `configure`; the shared keys are among them then, since they may be the cause.
    """
    shared = tuple(_shared_keys(project, world))
    try:
        looked = replace(found, shared=shared, unverified=tuple(unverified(project, world.vars)))
        return looked, configure(found.membership, world, machines, memory)
    except Faults as error:
        raise Faults([*(replace(each, warning=False) for each in shared), *error.faults]) from error.__cause__


def _shared_keys(project: Project, world: World) -> Iterator[Fault]:
    """Warn of each public key that two vars have."""
    first: dict[str, VarKey] = {}
    for key, var in world.vars.items():
        files = current(var)
        if files.keys() == {"private", "public"} and not files["public"].secret:
            other = first.setdefault(" ".join(files["public"].public.split()[:2]), key)
            if other != key:
                hint = f"if a machine was cloned, generate a new key: `rolecall vars rotate {key}`"
                what = f"{key} has the same public key as {other}"
                yield Fault(what, var_store.place(project, key), hint, warning=True)


def unverified(project: Project, keys: Iterable[VarKey]) -> Iterator[Fault]:
    """Warn of stored vars whose files are not marked as made together."""
    if count := len(var_store.unmarked(project, keys)):
        vars_are = "1 var was" if count == 1 else f"{count} vars were"
        hint = "`rolecall vars check --decrypt` compares the files of each, and marks them"
        message = f"{vars_are} stored by an earlier version, and not verified since"
        yield Fault(message, Where(project.vars), hint, warning=True)


def run_all_steps(
    project: Project,
    found: Members,
    world: World,
    replacement: Replacement = Replacement(),  # noqa: B008 - nothing can change it
) -> None:
    """Run the steps of all members, and generate the vars that they lack into the pending set.

    Raises:
        Faults: When a step fails. Nothing is generated then.
    """
    steps, standalone = in_order(steps_of(found.membership)), declared(found.loaded, found.membership)
    with var_store.making(project, [*standalone, *recipes_of(steps)], replacement) as making:
        run_steps(steps, found.loaded.inventory, world, making, standalone)


def note_recipes(project: Project, found: Members) -> int:
    """Note beside the stored vars what their recipes say: after a machine has left, no recipe says it any more.

    Returns:
        The number of vars beside which something was noted.
    """
    named = {}
    for instance, service in found.membership.services.items():
        for role in service.roles.values():
            for var in role.vars.values():
                named[var.key(instance, "").name] = var.binds
    return var_store.note_recipes(project, found.recipes, named)


@contextmanager
def faults_located_in(loaded: Loaded) -> Iterator[None]:
    """Add file and line to the faults that the block raises."""
    try:
        yield
    except Faults as error:
        raise Faults(inventory.locate(found, loaded.sources) for found in error.faults) from error.__cause__
