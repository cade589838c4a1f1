"""Limits that services declare: numbers of machines and instances, and roles that exclude each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rolecall.errors import Fault, Where

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from rolecall.evaluate.membership import RoleMembers
    from rolecall.service.contract import Role, Service


def role_limits(where: Where, service: Service, members_by_role: Mapping[str, RoleMembers]) -> Iterator[Fault]:
    """Yield the faults of an instance with members: roles with too few or too many machines, and excluded pairs.

    Args:
        where: The instance.
        service: Its service.
        members_by_role: Its members by role.
    """
    for role in service.roles.values():
        yield from _count_faults(where, role, members_by_role[role.name])
    for role in service.roles.values():
        for other in service.roles.values():
            if other.name in role.excluded:
                yield from _exclusion_faults(where, role, other, members_by_role)
            if other is role:
                break  # each pair once, and the later role gives way


def instance_limits(instances: Iterable[tuple[str, Service, Mapping[str, RoleMembers]]]) -> Iterator[Fault]:
    """Yield a fault for each instance beyond its service's maximum; those without members do not count.

    Args:
        instances: Each instance's name, service and members, in the inventory's order.
    """
    first: dict[Service, list[str]] = {}
    for name, service, members_by_role in instances:
        if service.maximum_instances is None or not any(members.settings for members in members_by_role.values()):
            continue
        others = first.setdefault(service, [])
        if len(others) < service.maximum_instances:
            others.append(name)
            continue
        allowed = "one instance" if service.maximum_instances == 1 else f"{service.maximum_instances} instances"
        yield Fault(
            f"{service.name} allows at most {allowed}, and {name!r} exceeds that",
            Where(keys=("instances", name)),
            f"give its machines roles in {' or '.join(map(repr, others))} instead",
        )


def _count_faults(where: Where, role: Role[Any], members: RoleMembers) -> Iterator[Fault]:
    count = len(members.settings)
    at = (*where.keys, "roles", role.name)
    if count < role.minimum:
        message = f"the role {role.name!r} needs at least {_machines(role.minimum)}, but has {count}"
        yield Fault(message, Where(keys=at), "add machines to the role, by name or by tag")
    if role.maximum is not None and count > role.maximum:
        message = f"the role {role.name!r} allows at most {_machines(role.maximum)}, but has {count}"
        entries = _by_entry(members, members.settings)
        place = next(iter(entries)) if len(entries) == 1 else ()
        members_by_entry = ", ".join(f"{_listed(machines)} through {_entry(via)}" for via, machines in entries.items())
        yield Fault(message, Where(keys=(*at, *place)), f"its members are {members_by_entry}")


def _exclusion_faults(
    where: Where, role: Role[Any], other: Role[Any], members_by_role: Mapping[str, RoleMembers]
) -> Iterator[Fault]:
    """Yield a fault for each entry of the later role that names machines of the earlier one."""
    members, earlier = members_by_role[role.name], members_by_role[other.name]
    both = [machine for machine in members.settings if machine in earlier.settings]
    for via, machines in _by_entry(members, both).items():
        through = " and ".join(map(_entry, _by_entry(earlier, machines)))
        yield Fault(
            f"the roles {other.name!r} and {role.name!r} exclude each other on a machine: {_listed(machines)}",
            Where(keys=(*where.keys, "roles", role.name, *via)),
            f"keep one of the two roles; {other.name!r} comes from {through}",
        )


def _by_entry(members: RoleMembers, machines: Iterable[str]) -> dict[tuple[str, ...], list[str]]:
    """Return machines by the entry of the role that makes them members."""
    entries: dict[tuple[str, ...], list[str]] = {}
    for machine in machines:
        entries.setdefault(members.via[machine], []).append(machine)
    return entries


def _entry(via: tuple[str, ...]) -> str:
    return f"the tag {via[1]!r}" if via[0] == "tags" else f"machines.{via[1]}"


def _listed(machines: list[str]) -> str:
    more = f" and {len(machines) - 3} more" if len(machines) > 3 else ""  # noqa: PLR2004 - enough to find the rest by
    return ", ".join(machines[:3]) + more


def _machines(number: int) -> str:
    return "1 machine" if number == 1 else f"{number} machines"
