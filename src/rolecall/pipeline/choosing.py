"""Choose machines: by names and patterns, tags, instances and roles."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import translate
from typing import TYPE_CHECKING

from rolecall.errors import Fault, Faults, fault, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from rolecall.model.inventory import Loaded
    from rolecall.pipeline.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Choice:
    """Which machines a command is for; all if nothing is given.

    Values of one kind are alternatives. Each kind narrows what the others choose, and `excluded` counts last.

    Attributes:
        machines: Names, or patterns such as ``web-*``.
        tags: Tags.
        instances: Instances in which a machine has a role.
        roles: ``INSTANCE.ROLE``, or ``ROLE`` in any of `instances`, by default of all.
        excluded: Names or patterns of machines that are left out.
    """

    machines: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    instances: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()

    @property
    def by_name(self) -> bool:
        """Whether it needs no more of the inventory than the names of machines."""
        return not (self.tags or self.instances or self.roles)

    def named(self, machines: Iterable[str]) -> list[str]:
        """Return the machines that its names and patterns choose, in the given order."""
        wanted, excluded = matcher(self.machines or ("*",)), matcher(self.excluded)
        return [name for name in machines if wanted(name) and not excluded(name)]


def chosen(workspace: Workspace, choice: Choice) -> list[str]:
    """Return the machines of a choice, sorted.

    Raises:
        Faults: As `Workspace.loaded`; also for each part of the choice that matches nothing, and when no machine is
            left.
    """
    return chosen_from(workspace.loaded(), choice)


def chosen_from(loaded: Loaded, choice: Choice) -> list[str]:
    """Return the machines of a choice in an inventory that may have faults, sorted.

    Raises:
        Faults: As `chosen`, but for those of the inventory.
    """
    declared = loaded.inventory.machines
    if faults := [*_unmatched(loaded, choice), *_without_machines(loaded, choice)]:
        raise Faults(faults)
    found = set(choice.named(declared))
    if choice.tags:
        found &= {name for tag in choice.tags for name in loaded.tags[tag]}
    if choice.instances or choice.roles:
        found &= {name for member in _roles(loaded, choice) for name in _members(loaded, member)}
    if not found and choice != Choice():
        hint = "drop an option: machines, tags and roles narrow one another"
        raise fault("no machine is left to choose", hint=hint)
    return sorted(found)


def _is_pattern(name: str) -> bool:
    return not {"*", "?", "["}.isdisjoint(name)


def matcher(names: Iterable[str]) -> Callable[[str], bool]:
    """Return a function that tells whether a name is one of these, or matches one of these patterns."""
    plain = {name for name in names if not _is_pattern(name)}
    pattern = re.compile("|".join(translate(name) for name in names if _is_pattern(name)) or r"(?!)")
    return lambda name: name in plain or pattern.match(name) is not None


def _unmatched(loaded: Loaded, choice: Choice) -> Iterator[Fault]:
    """Yield a fault for each name, pattern, tag, instance and role that does not exist."""
    machines = loaded.inventory.machines
    for name in (*choice.machines, *choice.excluded):
        if not _is_pattern(name):
            if name not in machines:
                yield loaded.unknown_machine(name)
        elif not any(map(matcher([name]), machines)):
            yield Fault(f"no machine matches {name!r}", hint=nearest(name, machines, what="machines"))
    roles = {f"{name}.{role}" for name, role in _roles(loaded, Choice())}
    roles |= {role for _, role in _roles(loaded, Choice(instances=choice.instances))}
    kinds = (
        ("tag", choice.tags, loaded.tags),
        ("instance", choice.instances, loaded.inventory.instances),
        ("role", choice.roles, roles),
    )
    for kind, names, known in kinds:
        for name in names:
            if name not in known:
                yield Fault(f"{kind} {name!r} does not exist", hint=nearest(name, known, what=f"{kind}s"))


def _without_machines(loaded: Loaded, choice: Choice) -> Iterator[Fault]:
    """Yield a fault for each tag that no machine has, and for each instance and role without members."""
    for tag in choice.tags:
        if loaded.tags.get(tag) == ():
            yield Fault(f"no machine has the tag {tag!r}")
    known = loaded.inventory.instances
    parts = [(f"a role in {name!r}", Choice(instances=(name,))) for name in choice.instances if name in known]
    parts += [(f"the role {role!r}", Choice(instances=choice.instances, roles=(role,))) for role in choice.roles]
    for what, part in parts:
        roles = _roles(loaded, part)
        if (roles or not part.roles) and not any(_members(loaded, each) for each in roles):
            yield Fault(f"no machine has {what}")


def _roles(loaded: Loaded, choice: Choice) -> list[tuple[str, str]]:
    """Return the roles of a choice, each with its instance first."""
    return [
        (name, role)
        for name, instance in loaded.inventory.instances.items()
        if name in (choice.instances or (name,))
        for role in instance.roles
        if not choice.roles or {role, f"{name}.{role}"} & {*choice.roles}
    ]


def _members(loaded: Loaded, member: tuple[str, str]) -> set[str]:
    """Return the machines that have a role of an instance."""
    instance, name = member
    role = loaded.inventory.instances[instance].roles[name]
    return {*role.machines}.union(*(loaded.tags.get(tag, ()) for tag in role.tags)) & loaded.inventory.machines.keys()
