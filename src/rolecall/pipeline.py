"""The whole way of an entry, from the inventory's files to the machines.

    load → resolve → steps (vars and exports) → configure → plan → apply

Each stage is functions of its own package and knows no other stage; only this module joins them. The command line, and
whatever else will drive Rolecall, calls what stands here.
"""

from __future__ import annotations

import datetime as dt
import getpass
import os
import secrets
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from rolecall import files, inventory
from rolecall import vars as var_store
from rolecall.deploy import pins
from rolecall.deploy.fleet import Fleet, Wanted
from rolecall.deploy.target import Target, find_target, pinned_keys
from rolecall.errors import Fault, Faults, Where, fault, nearest, undotted
from rolecall.evaluate.configure import configure
from rolecall.evaluate.members import answering, playing, resolve
from rolecall.evaluate.memory import Memory
from rolecall.evaluate.order import waves
from rolecall.evaluate.references import named_instances, unknown_secrets
from rolecall.evaluate.steps import asked_by_vars, declared_state, gather, in_order, run_steps, steps_of
from rolecall.evaluate.steps import recipes as recipes_of
from rolecall.model.plan import Plan, Report
from rolecall.project import Project
from rolecall.service.interfaces import Backups
from rolecall.service.member import Host
from rolecall.service.registry import Found, Registry

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence

    from rolecall.deploy.target import Lab
    from rolecall.evaluate.configure import Configured
    from rolecall.evaluate.explain import Explanation
    from rolecall.inventory.changes import Change
    from rolecall.inventory.edit import Edited
    from rolecall.model.exports import Exported
    from rolecall.model.inventory import Loaded
    from rolecall.model.membership import Membership
    from rolecall.model.vars import Recipe, StoredVar, Values, VarKey
    from rolecall.service.contract import Service
    from rolecall.service.member import World
    from rolecall_agent import protocol
    from rolecall_agent.content import Secret

    Progress = Callable[[str, str], None]


@dataclass(frozen=True, slots=True)
class Members:
    """What an inventory says, resolved.

    Attributes:
        loaded: The inventory with its sources.
        registry: Where its services were found.
        membership: Who plays what.
    """

    loaded: Loaded
    registry: Registry
    membership: Membership

    @property
    def warnings(self) -> tuple[Fault, ...]:
        """What should be looked at, with places."""
        warnings = (*self.loaded.warnings, *self.membership.warnings)
        return tuple(inventory.locate(warning, self.loaded.sources) for warning in warnings)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Everything that follows from an inventory without asking a machine.

    Attributes:
        members: What it says, resolved.
        world: All members with their vars and exports.
        configured: Configurations of the machines that were asked for.
        waves: The order in which machines switch.
        makes: Vars that are pending: made for this very evaluation or an earlier one, not yet promoted.
    """

    members: Members
    world: World
    configured: Mapping[str, Configured]
    waves: Mapping[str, int]
    makes: Mapping[VarKey, StoredVar]


def members(project: Project, memory: Memory | None = None) -> Members:
    """Loads the inventory and resolves its members. Touches no network, makes nothing.

    Args:
        project: The project.
        memory: Of earlier evaluations in this process.

    Raises:
        Faults: Everything that is wrong with it, together, with places.
    """
    loaded, faults = inventory.read(project)
    return _members(project, loaded, faults, memory or Memory())


def _members(project: Project, loaded: Loaded, faults: Sequence[Fault], memory: Memory) -> Members:
    """The members of an inventory with these faults of its shape."""
    registry = _registry(project, loaded, memory)
    try:
        found = Members(loaded, registry, resolve(loaded, registry, memory.resolved))
    except Faults as error:
        faults = [*faults, *(inventory.locate(found, loaded.sources) for found in error.faults)]
    else:
        if not faults:
            return found
    raise Faults(faults)


def _registry(project: Project, loaded: Loaded, memory: Memory) -> Registry:
    """Where services are found; the earlier one as long as the project's own modules and inputs are the same."""
    urls = {name: url for source in loaded.sources for name, url in source.inputs.items()}
    registry = Registry(project.modules, urls)
    if memory.registry is None or memory.registry.stamp != registry.stamp:
        memory.registry = registry
    return memory.registry


def check(project: Project, memory: Memory | None = None) -> Members:
    """As `members`, and limits are kept, secrets that settings name exist, steps have an order, targets make sense.

    Raises:
        Faults: As `members`.
    """
    found = members(project, memory)
    if faults := _unkept(project, found):
        raise Faults(faults)
    return found


def _unkept(project: Project, found: Members) -> list[Fault]:
    """What `check` finds in members beyond `members`."""
    declared = found.loaded.inventory.machines.items()
    said = [(name, machine.deploy.target_host) for name, machine in declared if machine.deploy.target_host is not None]
    targets = [find_target(project, name, target_host, None) for name, target_host in said]
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


def evaluate(project: Project, lab: Lab | None = None, memory: Memory | None = None) -> Evaluation:
    """The configurations of all machines. Missing vars are made into the pending set.

    Args:
        project: The project.
        lab: The project's lab while it is up.
        memory: Of earlier evaluations in this process: what nothing has changed for is not evaluated again.

    Raises:
        Faults: As `check`; also when service code fails or definitions exclude each other.
    """
    memory = memory or Memory()
    memory.turn()
    found = check(project, memory)
    with _placed(found.loaded):
        world = gather(found.membership, _hosts(project, found.loaded, lab))
        return _evaluated(project, found, world, found.loaded.inventory.machines, memory)


def evaluate_some(
    project: Project, lab: Lab | None, machines: Sequence[str], memory: Memory | None = None
) -> Evaluation:
    """The configurations of some machines, and of the inventory just what those need: the instances that they play in.

    What an instance elsewhere exports counts too where it is asked for. So a question that goes beyond what was
    evaluated brings in the instances that could answer it, and then all of it is evaluated once more.

    Args:
        project: The project.
        lab: The project's lab while it is up.
        machines: Those that are wanted.
        memory: As for `evaluate`.

    Raises:
        Faults: As `evaluate`, of what was evaluated; and for a machine that is not declared.
    """
    memory = memory or Memory()
    loaded = inventory.load(project)
    with _placed(loaded):
        if unknown := [name for name in machines if name not in loaded.inventory.machines]:
            hints = {name: nearest(name, loaded.inventory.machines, what="machines") for name in unknown}
            raise Faults(Fault(f"there is no machine {name!r}", hint=hint) for name, hint in hints.items())
        registry, hosts = _registry(project, loaded, memory), _hosts(project, loaded, lab)
        instances = playing(loaded, machines)
        while True:
            found = Members(loaded, registry, resolve(loaded, registry, memory.resolved, instances))
            more = named_instances(found.membership) & loaded.inventory.instances.keys()
            more |= answering(loaded, registry, asked_by_vars(found.membership))
            if more - instances:
                instances |= more
                continue
            if faults := [*found.membership.unfit, *unknown_secrets(loaded, found.membership)]:
                raise Faults(faults)
            world = gather(found.membership, hosts)
            with world.listening() as asked:
                evaluation = _evaluated(project, found, world, machines, memory)
            if more := answering(loaded, registry, asked) - instances:
                instances |= more
                continue
            return evaluation


def _evaluated(project: Project, found: Members, world: World, machines: Iterable[str], memory: Memory) -> Evaluation:
    membership = found.membership
    _run_steps(project, found, world)
    configured = configure(membership, world, machines, memory)
    makes = {key: files for key, files in var_store.pending(project).items() if key in world.vars}
    return Evaluation(found, world, configured, waves(membership), makes)


def edit(project: Project, changes: Sequence[Change], *, own: bool = False, expect: str = "") -> Edited:
    """Changes the inventory; see `rolecall.inventory.edit`.

    Args:
        project: The project.
        changes: What to change.
        own: Whether to write the person's own file rather than `inventory.json`.
        expect: The digest that the inventory must have (`rolecall.inventory.edit.get` tells it); "" for any.

    Raises:
        Faults: When it has another one, a change cannot be made there, or the inventory would have faults that it has
            not now. Nothing is written then.
    """
    from rolecall.inventory.edit import edit as edited  # noqa: PLC0415 - few commands write

    return edited(project, lambda _: changes, own=own, expect=expect, judge=_judge(project))


def add_machine(project: Project, name: str, values: Mapping[str, Any]) -> Edited:
    """Declares a machine in `inventory.json`.

    Raises:
        Faults: When the name is none or declared already, or as `edit`.
    """
    from rolecall.inventory import machines  # noqa: PLC0415 - few commands write

    return machines.add(project, name, values, _judge(project))


def remove_machine(project: Project, name: str, *, own: bool = False) -> Edited:
    """Takes a machine out of the inventory, wherever that names it.

    Args:
        project: The project.
        name: The machine's name.
        own: Whether the person's own file may be written too.

    Raises:
        Faults: When there is none, or as `edit`.
    """
    from rolecall.inventory import machines  # noqa: PLC0415 - few commands write

    return machines.remove(project, name, own=own, judge=_judge(project))


def rename_machine(project: Project, old: str, new: str) -> None:
    """Gives a machine another name, wherever the project knows it by its name: inventory, folder, vars and pins.

    When it is interrupted, no inventory is read until the same is done again and completes it.

    Raises:
        Faults: When that cannot be done; nothing has changed then.
    """
    from rolecall.inventory import machines  # noqa: PLC0415 - few commands write

    pinned = pinned_keys(project.known_hosts)
    if not project.renaming.exists() and (new in pinned or var_store.knows(project, new)):
        what = "vars" if var_store.knows(project, new) else "pinned host keys"
        hint = "they are of a machine that had that name: remove them first (`rolecall vars prune`, keys/known_hosts)"
        raise fault(f"there are {what} of {new!r} already", hint=hint)
    known = old in pinned or var_store.knows(project, old)
    with machines.renaming(project, old, new, _judge(project), known=known):
        var_store.rename(project, old, new)
        pins.rename(project, old, new)


def forget_machine(project: Project, name: str) -> None:
    """Lets go of a machine that is no longer declared: its pinned host keys go, and with them the word of it in plans.

    Raises:
        Faults: When it is declared, or no keys of it are pinned.
    """
    if name in inventory.load(project).inventory.machines:
        raise fault(f"the machine {name!r} is declared", hint=f"`rolecall machines remove {name}` comes first")
    pins.forget(project, name)


def _judge(project: Project) -> Callable[[Loaded, Sequence[Fault]], list[Sequence[Fault]]]:
    """All faults of an inventory: first of its members, then, where there are none, what `check` finds and warns of."""
    memory = Memory()

    def judge(loaded: Loaded, faults: Sequence[Fault]) -> list[Sequence[Fault]]:
        try:
            found = _members(project, loaded, faults, memory)
        except Faults as error:
            return [error.faults]
        return [(), [*_unkept(project, found), *found.warnings]]

    return judge


def schema(project: Project) -> tuple[str, tuple[Fault, ...]]:
    """The JSON Schema of the project's inventory, as text, and a warning for each module that does not load.

    Raises:
        Faults: When a file of the inventory cannot be read.
    """
    from pydantic_core import to_json  # noqa: PLC0415 - no other command pays for it

    from rolecall.inventory.schema import schema as schema_of  # noqa: PLC0415 - as above

    loaded, _ = inventory.read(project)
    registry = _registry(project, loaded, Memory())
    # Where each module is named first; None for those that no instance names.
    named: dict[tuple[str | None, str], Where | None] = {}
    used = {}
    for name, instance in loaded.inventory.instances.items():
        used[name] = (instance.module.input, instance.module.name or name)
        named.setdefault(used[name], Where(keys=("instances", name, "module")))
    for source in (None, "self"):
        named |= {(source, name): named.get((source, name)) for name in registry.names(source)}
    found: dict[tuple[str | None, str], Service] = {}
    warnings: list[Fault] = []
    for (source, name), where in named.items():
        try:
            found[source, name] = registry.find(source, name, where or Where(project.modules)).service
        except Faults as error:
            warnings += [replace(fault, warning=True) for fault in error.faults]
    services = {name: found[module] for name, module in used.items() if module in found}
    modules = {(source, name): service for (source, name), service in found.items() if source in {None, "self"}}
    located = tuple(inventory.locate(warning, loaded.sources) for warning in warnings)
    return to_json(schema_of(loaded, services, modules), indent=2).decode() + "\n", located


def write_schema(project: Project) -> tuple[Fault, ...]:
    """Writes the schema to where `rolecall init` tells editors of it; the warnings.

    Raises:
        Faults: As `schema`.
    """
    text, warnings = schema(project)
    files.replace(project.schema, text)
    return warnings


def _run_steps(
    project: Project,
    found: Members,
    world: World,
    rotate: Container[VarKey] = (),
    given: Mapping[VarKey, Values] = MappingProxyType({}),
) -> None:
    steps = in_order(steps_of(found.membership))
    with var_store.making(project, recipes_of(steps), rotate, given) as making:
        run_steps(steps, found.loaded.inventory, world, making)


def recipes(project: Project) -> list[Recipe]:
    """Every var that the inventory asks for, whether made or not; no code of services runs for it but its loading."""
    return recipes_of(steps_of(members(project).membership))


def generate(project: Project, lab: Lab | None) -> list[VarKey]:
    """Makes the vars that are missing and keeps them, without waiting for an update.

    Returns:
        Those that were not kept before.

    Raises:
        Faults: As `check`; also when a step fails. Nothing is made then.
    """
    found = check(project)
    with _placed(found.loaded):
        world = gather(found.membership, _hosts(project, found.loaded, lab))
        _run_steps(project, found, world)
    kept = var_store.stored_all(project)
    var_store.promote(project, world.vars)
    return [key for key in world.vars if key not in kept]


def rotate(project: Project, lab: Lab | None, names: Sequence[str], *, force: bool = False) -> list[VarKey]:
    """Makes vars anew, and the vars that read them, into the pending set: the next update puts them in place.

    Args:
        project: The project.
        lab: The project's lab while it is up.
        names: Vars, as ``rolecall vars list`` names them, without the file.
        force: Whether those with which something would be lost are made anew too.

    Returns:
        Those that were made.

    Raises:
        Faults: As `check`; when there is no such var; when a step fails. Nothing is made then.
    """
    found = check(project)
    known = _named_recipes(found, names)
    if not force and (bound := [known[name] for name in names if known[name].binds]):
        hint = "what it was for is lost with it; if that is what you want: --force"
        raise Faults(Fault(f"{each.key} is not made anew: {each.binds}", hint=hint) for each in bound)
    return _made_anew(project, found, lab, {known[name].key for name in names})


def set_var(project: Project, lab: Lab | None, name: str, values: Mapping[str, bytes]) -> list[VarKey]:
    """Puts what a person brings into the pending set, and makes the vars anew that read it.

    Args:
        project: The project.
        lab: The project's lab while it is up.
        name: The var, as for `rotate`.
        values: By file; "" stands for the only one that the var has. Others stay as they are.

    Returns:
        What is pending now and was not before.

    Raises:
        Faults: As `rotate`; when the var has no such file, or would lack one.
    """
    found = check(project)
    recipe = _named_recipes(found, [name])[name]
    files = [file.name for file in recipe.generator.files]
    values = {(files[0] if not file and len(files) == 1 else file): value for file, value in values.items()}
    if unknown := [file for file in values if file not in files]:
        told = f"has no file {unknown[0]!r}" if unknown[0] else "has several files"
        raise fault(f"the var {name} {told}", hint=f"say each as FILE=PATH; files there are: {', '.join(files)}")
    return _made_anew(project, found, lab, {recipe.key}, {recipe.key: values})


def _named_recipes(found: Members, names: Iterable[str]) -> Mapping[str, Recipe]:
    known = {str(recipe.key): recipe for recipe in recipes_of(steps_of(found.membership))}
    if unknown := [name for name in names if name not in known]:
        hints = {name: nearest(name, known, what="vars") for name in unknown}
        raise Faults(Fault(f"the inventory asks for no var {name!r}", hint=hint) for name, hint in hints.items())
    return known


def _made_anew(
    project: Project,
    found: Members,
    lab: Lab | None,
    keys: Container[VarKey],
    given: Mapping[VarKey, Values] = MappingProxyType({}),
) -> list[VarKey]:
    before = var_store.pending(project)
    with _placed(found.loaded):
        world = gather(found.membership, _hosts(project, found.loaded, lab))
        _run_steps(project, found, world, keys, given)
    return [key for key, var in var_store.pending(project).items() if before.get(key) != var]


def services(project: Project | None) -> tuple[list[Found], list[Fault]]:
    """Every service that can be had, and the faults of those that cannot.

    Args:
        project: The project; None for what is there without one.
    """
    registry, named = _offered(project)
    found: list[Found] = []
    faults: list[Fault] = []
    for source in registry.inputs(named):
        for name in registry.names(source):
            try:
                found.append(registry.find(source, name))
            except Faults as error:  # of one module, which hides no other
                faults += error.faults
    return found, faults


def service(project: Project | None, source: str | None, name: str) -> Found:
    """One service.

    Args:
        project: As for `services`.
        source: Its input as ``module.input`` names it; None for the first that has it, the project's own before others.
        name: The module's name.

    Raises:
        Faults: When there is none, or it cannot be had.
    """
    registry, named = _offered(project)
    if source:
        return registry.find(source, name)
    offered = {each: registry.names(each) for each in registry.inputs(named)}
    for each, names in offered.items():
        if name in names:
            return registry.find(each, name)
    known = (name for names in offered.values() for name in names)
    raise fault(f"there is no service {name!r}", hint=nearest(name, known, what="services"))


def _offered(project: Project | None) -> tuple[Registry, list[str | None]]:
    """Where services are found, and the inputs that the inventory names, as far as it can be read."""
    if project is None:
        return Registry(Path(os.devnull)), []
    try:
        loaded, _ = inventory.read(project)
    except Faults:
        return Registry(project.modules), []
    return _registry(project, loaded, Memory()), [each.module.input for each in loaded.inventory.instances.values()]


def explain(project: Project, subject: str) -> Explanation:
    """Where what the inventory says of a machine, a role or a member's settings comes from.

    Args:
        project: The project.
        subject: ``machines.M``, ``INSTANCE``, ``INSTANCE.ROLE``, or ``INSTANCE.ROLE.MACHINE`` with a key path below.

    Raises:
        Faults: As `members`; also when there is no such thing.
    """
    from rolecall.evaluate.explain import explanation  # noqa: PLC0415 - one command alone needs it

    found = members(project)

    def locate(where: Where) -> Where:
        return inventory.locate(Fault("", where), found.loaded.sources).where or where

    return explanation(found.loaded, found.membership, undotted(subject), locate)


def machine_names(root: Path) -> list[str]:
    """The machines of the inventory, sorted."""
    return sorted(inventory.load(Project(root)).inventory.machines)


def target(project: Project, machine: str, lab: Lab | None) -> Target:
    """How a machine is reached.

    Raises:
        Faults: When it is not declared, or it is not said.
    """
    loaded = inventory.load(project)
    declared = loaded.inventory.machines.get(machine)
    if declared is None:
        hint = nearest(machine, loaded.inventory.machines, what="machines")
        raise fault(f"there is no machine {machine!r}", hint=hint)
    found = find_target(project, machine, declared.deploy.target_host, lab)
    with _placed(loaded):
        if isinstance(found, Fault):
            raise Faults([found])
    return found


def deliveries(project: Project, lab: Lab | None) -> Mapping[str, Sequence[str]]:
    """The machines to which each secret goes, by its version. Missing vars are made into the pending set.

    Raises:
        Faults: As `evaluate`.
    """
    found: dict[str, list[str]] = {}
    for machine, configured in evaluate(project, lab).configured.items():
        for version in {secret.version for secret in configured.configuration.secrets}:
            found.setdefault(version, []).append(machine)
    return found


def backups(project: Project, lab: Lab | None, machine: str) -> list[Exported[Backups]]:
    """How a machine's backups are made, listed and restored: one entry per instance and target.

    Raises:
        Faults: When nothing backs the machine up.
    """
    evaluation = evaluate_some(project, lab, [machine])
    found = [export for export in evaluation.world.exports.get(Backups, ()) if export.machine == machine]
    if not found:
        raise fault(
            f"nothing backs {machine} up", hint="give it a role in an instance of a backup service, then update"
        )
    return found


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan, with the machines that it concerns still connected.

    Attributes:
        plan: What an update would do.
    """

    plan: Plan
    _project: Project
    _evaluation: Evaluation
    _fleet: Fleet

    def apply(self) -> Report:
        """Does exactly what the plan shows; nothing when a machine could not be looked at."""
        if self.plan.failing:
            return self._fleet.report()
        meta = _meta(self._project)
        var_store.promote(self._project, self.plan.makes)
        return self._fleet.apply(meta, _revealer(self._project, self._evaluation.world))

    def reasons(self) -> Mapping[str, str]:
        """Where in the inventory each role is that has members, by ``INSTANCE.ROLE``."""
        return _reasons(self._evaluation.members)


@contextmanager
def planning(project: Project, lab: Lab | None, only: Sequence[str], progress: Progress) -> Iterator[Planned]:
    """Looks at the machines. Those that change stay connected until the `with` block ends.

    Raises:
        Faults: As `evaluate`; also when it is not said how a machine with anything to do is reached.
    """
    if only:
        check(project)  # the rest may concern them too, as a peer that is missing
        evaluation = evaluate_some(project, lab, only)
    else:
        evaluation = evaluate(project, lab)
    wanted, warnings = _wanted(project, evaluation, lab)
    modules = {
        name: f"{service.name} ({evaluation.members.registry.origin(service)})"
        for name, service in evaluation.members.membership.services.items()
    }
    with Fleet(wanted, progress) as fleet:
        plan = Plan(fleet.look(), evaluation.makes, modules, (*evaluation.members.warnings, *warnings))
        yield Planned(plan, project, evaluation, fleet)


def _reasons(found: Members) -> Mapping[str, str]:
    """Where in the inventory each role is that has members."""
    reasons = {}
    for instance, casts in found.membership.casts.items():
        for role, cast in casts.items():
            if cast.settings:
                where = Where(keys=("instances", instance, "roles", role))
                placed = inventory.locate(Fault("", where), found.loaded.sources).where
                reasons[f"{instance}.{role}"] = f"{placed.file.name}:{placed.line}" if placed and placed.file else ""
    return reasons


def discard(project: Project) -> None:
    """Drops the vars that were made for plans and never promoted."""
    var_store.discard(project)


def _wanted(project: Project, evaluation: Evaluation, lab: Lab | None) -> tuple[list[Wanted], list[Fault]]:
    """What each machine shall become; a machine without a target is no fault while nothing is to be done there."""
    machines = evaluation.members.loaded.inventory.machines
    wanted, faults, warnings = [], [], []
    for name, configured in evaluation.configured.items():
        found = find_target(project, name, machines[name].deploy.target_host, lab)
        if isinstance(found, Target):
            wave = evaluation.waves.get(name, 0)
            wanted.append(Wanted(found, wave, configured.configuration, configured.origins, machines[name].formerly))
        elif configured.configuration.resources:
            faults.append(found)
        else:
            warnings.append(Fault(found.message, found.where, found.hint, warning=True))
    with _placed(evaluation.members.loaded):
        if faults:
            raise Faults(faults)
    sources = evaluation.members.loaded.sources
    warnings += [
        Fault(
            f"{name} is pinned, but no longer declared: what Rolecall installed there stays",
            hint="declare it without roles and update, to undo what is there; or let go of it: "
            f"`rolecall machines forget {name}`",
            warning=True,
        )
        for name in sorted(pinned_keys(project.known_hosts).keys() - machines.keys())
    ]
    return wanted, [inventory.locate(warning, sources) for warning in warnings]


def _hosts(project: Project, loaded: Loaded, lab: Lab | None) -> dict[str, Host]:
    """Addresses and pinned keys: from what is declared and pinned, never from what was last seen."""
    domain = loaded.inventory.meta.domain
    pinned = pinned_keys(project.known_hosts)
    lab_pins = pinned_keys(lab.known_hosts) if lab else {}
    hosts = {}
    for name, machine in loaded.inventory.machines.items():
        if lab and machine.deploy.target_host is None:
            hosts[name] = Host(name, lab_pins.get(name, ()))
            continue
        found = find_target(project, name, machine.deploy.target_host, lab)
        reached = found if isinstance(found, Target) else None
        address = (reached.host if reached else "") or (f"{name}.{domain}" if domain else name)
        hosts[name] = Host(address, pinned.get(name, ()), reached.port if reached else 22)
    return hosts


def _revealer(project: Project, world: World) -> Callable[[Sequence[Secret]], Mapping[str, bytes]]:
    """Gives secret values by version; decrypts only what is asked for."""
    where = {file.version: (key, name) for key, files in world.vars.items() for name, file in files.items()}

    def reveal(needed: Sequence[Secret]) -> Mapping[str, bytes]:
        values = var_store.decrypt(project, [where[secret.version] for secret in needed])
        return {secret.version: values[where[secret.version]] for secret in needed}

    return reveal


def _meta(project: Project) -> protocol.Meta:
    """Who does this run, with which state of the project."""
    git = ["git", "-C", str(project.root), "rev-parse", "HEAD"]
    try:
        commit = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        commit = ""  # a machine without git
    now = dt.datetime.now(dt.UTC)
    run = f"{now:%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"
    return {"run": run, "user": _user(), "commit": commit, "at": now.isoformat(timespec="seconds")}


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"  # one without a name, as in a container


@contextmanager
def _placed(loaded: Loaded) -> Iterator[None]:
    """Gives faults their lines."""
    try:
        yield
    except Faults as error:
        raise Faults(inventory.locate(found, loaded.sources) for found in error.faults) from error.__cause__


def as_json(found: Members) -> dict[str, Any]:
    """The documented form of ``rolecall show --json`` (docs/json.md)."""
    loaded = found.loaded
    tags: dict[str, list[str]] = {name: [] for name in loaded.inventory.machines}
    for tag, names in loaded.tags.items():
        for name in names:
            tags[name].append(tag)
    machines = {}
    for name, machine in sorted(loaded.inventory.machines.items()):
        declared = machine.model_dump(mode="json", by_alias=True, exclude={"tags"})
        machines[name] = {"tags": sorted(tags[name]), **declared}
    dumped: dict[int, Any] = {}
    casts = {}
    for instance, roles in found.membership.casts.items():
        casts[instance] = {
            role: {
                name: dumped.get(id(settings)) or dumped.setdefault(id(settings), _dump(settings))
                for name, settings in cast.settings.items()
            }
            for role, cast in roles.items()
        }
    return {
        "machines": machines,
        "members": casts,
        "warnings": [warning.as_json() for warning in (*found.warnings, *found.membership.unfit)],
    }


def _dump(settings: Any) -> object:  # noqa: ANN401 - any role's model
    return settings.model_dump(mode="json", by_alias=True)
