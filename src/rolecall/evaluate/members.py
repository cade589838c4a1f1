"""Inventory and services → Membership: the members of each role, with their settings."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from rolecall.errors import Fault, Faults, Where, dotted, nearest, sentences
from rolecall.evaluate.authors import calling
from rolecall.evaluate.kinds import kind_of
from rolecall.evaluate.layers import Layer, layers_of
from rolecall.evaluate.limits import instance_limits, role_limits
from rolecall.evaluate.membership import Membership, RoleMembers
from rolecall.evaluate.merge import Malformed, merge
from rolecall.evaluate.references import remove_plain_secrets
from rolecall.model.equality import same
from rolecall.model.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping

    from rolecall.evaluate.merge import Problem, Record
    from rolecall.evaluate.validation import Lack
    from rolecall.model.exports import Interface
    from rolecall.model.inventory import Instance, Loaded
    from rolecall.model.inventory import Role as Declared
    from rolecall.model.world import Read
    from rolecall.service.contract import Role, Service
    from rolecall.service.registry import Registry

_WRAPPER = 'write it as the Nix module system does; or put plain data into `{ _type = "literal", content = … }`'


@dataclass(frozen=True, slots=True)
class Resolved:
    """One instance, resolved.

    Attributes:
        inputs: Everything that it depends on; while this stays the same, so does the rest.
        members_by_role: By role, in the order of the service's roles; None when the service was not found.
        faults: What is wrong with it.
        warnings: As in `Membership`.
        unfit: As in `Membership`.
    """

    inputs: tuple[object, ...]
    members_by_role: Mapping[str, RoleMembers] | None
    faults: tuple[Fault, ...] = ()
    warnings: tuple[Fault, ...] = ()
    unfit: tuple[Fault, ...] = ()


def resolve(
    loaded: Loaded, registry: Registry, earlier: dict[str, Resolved], only: Container[str] | None = None
) -> Membership:
    """Return the members of every instance.

    Args:
        loaded: The inventory.
        registry: Where services are found.
        earlier: Instances resolved by earlier calls; reused where nothing has changed, and updated.
        only: The instances to resolve; None for all.

    Raises:
        Faults: Every unknown module, role, machine and setting, every wrong type and missing value, together.
    """
    services: dict[str, Service] = {}
    found: dict[str, Resolved] = {}
    machine_tags = _tags_of_machines(loaded)
    for name in loaded.inventory.instances if only is None else filter(only.__contains__, loaded.inventory.instances):
        instance = loaded.inventory.instances[name]
        where = Where(keys=("instances", name))
        try:
            module = instance.module
            services[name] = registry.find(
                module.input, module.name or name, Where(keys=(*where.keys, "module"))
            ).service
        except Faults as error:
            unknown = _unknown_machines(loaded, where, instance)
            found[name] = Resolved((), None, (*error.faults, *unknown))
            continue
        inputs = (services[name], instance, *_touching(loaded, instance))
        before = earlier.get(name)
        found[name] = (
            before
            if before and same(before.inputs, inputs)
            else _resolved(loaded, machine_tags, where, instance, services[name], inputs)
        )
    # Hints name what exists elsewhere, so an instance with faults or warnings is resolved again.
    earlier |= {name: resolved for name, resolved in found.items() if not (resolved.faults or resolved.warnings)}
    if faults := [fault for resolved in found.values() for fault in resolved.faults]:
        raise Faults(faults)
    role_members = {
        name: resolved.members_by_role for name, resolved in found.items() if resolved.members_by_role is not None
    }
    unfit = [fault for resolved in found.values() for fault in resolved.unfit]
    unfit += instance_limits((name, services[name], played) for name, played in role_members.items())
    warnings = [warning for resolved in found.values() for warning in resolved.warnings]
    declared = loaded.inventory.instances.items()
    data_names = {name: instance.data_name for name, instance in declared if instance.data_name}
    return Membership(services, role_members, tuple(warnings), tuple(unfit), data_names)


def instances_with(loaded: Loaded, machines: Iterable[str]) -> set[str]:
    """Return the instances in which any of these machines has a role."""
    wanted = set(machines)
    tags = {tag for tag, names in loaded.tags.items() if not wanted.isdisjoint(names)}
    return {
        name
        for name, instance in loaded.inventory.instances.items()
        if any(
            not wanted.isdisjoint(role.machines) or not tags.isdisjoint(role.tags) for role in instance.roles.values()
        )
    }


def instances_publishing(loaded: Loaded, registry: Registry, reads: Iterable[Read]) -> set[str]:
    """Return the instances that can publish what was read.

    Raises:
        Faults: When the service of one of them does not load.
    """
    found: set[str] = set()
    for what, *filters in reads:
        if what == "published":
            interface, machine, instance, *_ = filters
            among = instances_with(loaded, [machine]) if machine else loaded.inventory.instances
            found |= {
                name
                for name in among
                if instance in {None, name} and interface in _published_by(_service(loaded, registry, name))
            }
    return found


def _published_by(service: Service) -> set[type[Interface]]:
    return {publisher.interface for role in service.roles.values() for publisher in role.publishers}


def _service(loaded: Loaded, registry: Registry, name: str) -> Service:
    module = loaded.inventory.instances[name].module
    return registry.find(module.input, module.name or name, Where(keys=("instances", name, "module"))).service


def _touching(loaded: Loaded, instance: Instance) -> Iterable[object]:
    """Yield what an instance depends on elsewhere in the inventory: machines of its tags, and missing machines."""
    for role in instance.roles.values():
        yield {tag: loaded.tags.get(tag) for tag in role.tags}
        yield [name for name in role.machines if name not in loaded.inventory.machines]


def _resolved(
    loaded: Loaded,
    machine_tags: Mapping[str, tuple[str, ...]],
    where: Where,
    instance: Instance,
    service: Service,
    inputs: tuple[object, ...],
) -> Resolved:
    faults = [*_unknown_roles(where, instance, service), *_unknown_machines(loaded, where, instance)]
    members_by_role = {
        role.name: _role_members(loaded, machine_tags, where, role, instance.roles.get(role.name), faults)
        for role in service.roles.values()
    }
    warnings = [*_unknown_tags(loaded, where, instance)]
    unfit: list[Fault] = []
    if any(members.settings for members in members_by_role.values()):
        unfit = [*role_limits(where, service, members_by_role)]
    else:
        message = f"the instance {where.keys[1]!r} has no members"
        warnings.append(Fault(message, where, "give its roles machines or tags", warning=True))
    return Resolved(inputs, members_by_role, tuple(faults), tuple(warnings), tuple(unfit))


def _tags_of_machines(loaded: Loaded) -> Mapping[str, tuple[str, ...]]:
    tags: dict[str, list[str]] = {machine: [] for machine in loaded.inventory.machines}
    for tag in sorted(loaded.tags):
        for machine in loaded.tags[tag]:
            tags[machine].append(tag)
    return {machine: tuple(names) for machine, names in tags.items()}


def _role_members(
    loaded: Loaded,
    machine_tags: Mapping[str, tuple[str, ...]],
    instance: Where,
    role: Role[Any],
    declared: Declared | None,
    faults: list[Fault],
) -> RoleMembers:
    """Resolve the members of one role. Machines with the same layers share one settings object."""
    if declared is None:
        return RoleMembers({}, {})
    where = Where(keys=(*instance.keys, "roles", role.name))
    via: dict[str, tuple[str, ...]] = {}
    for tag in sorted(declared.tags):
        for machine in loaded.tags.get(tag, ()):
            via.setdefault(machine, ("tags", tag))
    via |= {name: ("machines", name) for name in declared.machines if name in loaded.inventory.machines}
    tags_with_settings = {tag for tag, entry in declared.tags.items() if entry.settings}
    together: dict[tuple[tuple[str, ...], str], list[str]] = {}  # machines that have the same layers
    role_machines = sorted(via)
    for machine in role_machines:
        tags = tuple(tag for tag in machine_tags[machine] if tag in tags_with_settings) if tags_with_settings else ()
        own = machine in declared.machines and declared.machines[machine].settings
        together.setdefault((tags, machine if own else ""), []).append(machine)
    settings: dict[str, object] = {}
    found: list[Fault | Lack] = []
    for (tags, _), machines in together.items():
        members = {machine: via[machine] for machine in machines}
        value = _settings(role, layers_of(declared, machines[0], tags), where, members, found)
        settings |= dict.fromkeys(machines, value)
    for layers in _settings_without_members(loaded, declared, settings):
        _settings(role, layers, where, {}, found)
    if found:
        from rolecall.evaluate.validation import lacks_together

        faults += lacks_together(found, where)
    return RoleMembers(
        {machine: settings[machine] for machine in role_machines}, {machine: via[machine] for machine in role_machines}
    )


def _settings_without_members(
    loaded: Loaded, declared: Declared, members: Mapping[str, object]
) -> Iterable[list[Layer]]:
    """Yield settings that apply to no member yet, to be validated so that mistakes show early."""
    if not members and declared.settings:
        yield layers_of(declared, "", ())
    for tag, entry in declared.tags.items():
        if entry.settings and not loaded.tags.get(tag):
            yield layers_of(declared, "", (tag,))
    for machine in declared.machines:
        if machine not in loaded.inventory.machines:
            yield layers_of(declared, machine, ())


def _settings(
    role: Role[Any],
    layers: list[Layer],
    where: Where,
    members: Mapping[str, tuple[str, ...]],
    faults: list[Fault | Lack],
) -> object:
    """Return final settings of members with the same layers; None, with faults added, when they are not valid.

    Args:
        role: Whose settings they are.
        layers: From general to specific.
        where: The role.
        members: Where each machine's membership stands below the role. Without any, these are not all layers, and
            missing settings are not faults.
        faults: Where faults are added.
    """
    kind = kind_of(role)
    problems: list[Problem] = []
    record: Record | None = {} if kind.secretive else None
    merged = merge(layers, problems, kind if kind.guides else None, record)
    found: list[Fault | Lack] = [_problem(problem, where) for problem in problems]
    if record:
        found += remove_plain_secrets(merged, record, kind, where)
    value = None
    try:
        with calling(role.service, f"the settings of {dotted(where.keys[1:])}", str(where.keys[1])):
            try:
                # As JSON, in which a list is also fit for a set or a tuple (pydantic, "Strict Mode").
                value = frozen(role.settings.model_validate_json(json.dumps(merged), by_alias=True, by_name=False))
            except ValidationError as error:
                from rolecall.evaluate.validation import setting_faults

                found += setting_faults(error, role, layers, where, members)
    except Faults as error:
        found += error.faults
    faults += [fault for fault in found if fault not in faults]  # a role's fault is reported once, not per machine
    return value


def _problem(problem: Problem, where: Where) -> Fault:
    first = problem.statement if isinstance(problem, Malformed) else problem.statements[0]
    at = Where(first.layer.file, (*where.keys, *first.layer.at, *first.keys))
    if isinstance(problem, Malformed):
        return Fault(problem.problem, at, _WRAPPER)
    about = f" for {dotted(problem.keys)}"
    if len(problem.layers) == 1:
        return Fault(f"conflicting values{about}", at, "keep one of them, or give one a priority")
    names = " and ".join(dict.fromkeys(repr(layer.at[1]) for layer in problem.layers))
    hint = "set it for the machine itself, or remove one of the tags"
    return Fault(f"conflicting values{about} from the tags {names}", at, hint)


def _unknown_roles(where: Where, instance: Instance, service: Service) -> Iterable[Fault]:
    for role in instance.roles:
        if role not in service.roles:
            at = Where(keys=(*where.keys, "roles", role))
            yield Fault(f"{service.name} has no role {role!r}", at, nearest(role, service.roles, what="roles"))


def _unknown_machines(loaded: Loaded, where: Where, instance: Instance) -> Iterable[Fault]:
    known = loaded.inventory.machines
    for role, declared in instance.roles.items():
        for machine in declared.machines:
            if machine not in known:
                at = Where(keys=(*where.keys, "roles", role, "machines", machine))
                hint = sentences(
                    nearest(machine, known, what="machines"), f"Or declare it: `rolecall machines add {machine}`"
                )
                yield Fault(f"machine {machine!r} does not exist", at, hint)


def _unknown_tags(loaded: Loaded, where: Where, instance: Instance) -> Iterable[Fault]:
    for role, declared in instance.roles.items():
        for tag in declared.tags:
            if not loaded.tags.get(tag):
                at = Where(keys=(*where.keys, "roles", role, "tags", tag))
                hint = nearest(tag, (name for name in loaded.tags if loaded.tags[name]), what="tags")
                yield Fault(f"no machine has the tag {tag!r}", at, hint, warning=True)
