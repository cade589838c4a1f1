"""The ways to a machine: its target, then the networks that it is in, in the order of their priority."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rolecall import inventory
from rolecall.deploy.target import Target, find_target, network_target
from rolecall.errors import Fault, Where, nearest
from rolecall.model.addresses import is_own_host

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rolecall.deploy.target import Lab
    from rolecall.model.exports import Exported
    from rolecall.model.inventory import Loaded
    from rolecall.project import Project
    from rolecall.service.interfaces import Network

_MOST_JUMPS = 4  # of the ways to a jump host, those that count


class Way(NamedTuple):
    """One way to a machine.

    Attributes:
        network: The instance that publishes it; "" for the target that the inventory declares, or the lab.
        purpose: What the network is, in words.
        names: Other names of the machine there.
        target: The target.
    """

    network: str
    purpose: str
    names: tuple[str, ...]
    target: Target


class Ways(NamedTuple):
    """All ways to a machine.

    Attributes:
        ways: The one to try first comes first.
        faults: What is wrong with others; why there is none, if there is none.
    """

    ways: tuple[Way, ...]
    faults: tuple[Fault, ...]

    @property
    def text(self) -> str:
        """The first one in words, or ""."""
        return self.ways[0].target.text if self.ways else ""


def ways_of(
    project: Project,
    loaded: Loaded,
    lab: Lab | None,
    networks: Iterable[Exported[Network]],
    machines: Iterable[str] | None = None,
) -> Mapping[str, Ways]:
    """Return the ways to each machine.

    Args:
        project: The project.
        loaded: The inventory.
        lab: The lab, if it is up.
        networks: What services publish, from `Workspace.networks`.
        machines: The machines; without them, those that are in a network.
    """
    published: dict[str, list[Exported[Network]]] = {}
    for export in sorted(networks, key=lambda each: (-each.value.priority, each.instance)):
        published.setdefault(export.machine, []).append(export)
    finder = _Finder(project, loaded, lab, published)
    found = {each: finder.find(each, ()) for each in (sorted(published) if machines is None else machines)}
    return {
        machine: each._replace(faults=tuple(inventory.locate(fault, loaded.sources) for fault in each.faults))
        for machine, each in found.items()
    }


class _Finder(NamedTuple):
    project: Project
    loaded: Loaded
    lab: Lab | None
    published: Mapping[str, Sequence[Exported[Network]]]

    def find(self, machine: str, before: tuple[str, ...]) -> Ways:
        """Return the ways to a machine that do not lead through those that are reached through it (`before`)."""
        target_host = self.loaded.inventory.machines[machine].deploy.target_host
        lab = self.lab if self.lab and self.lab.reaches(machine, target_host) else None
        networks = self.published.get(machine, ())
        declared = find_target(self.project, machine, target_host, self.lab)
        if isinstance(declared, Fault) and (lab or target_host is not None or not networks):
            return Ways((), (declared,))
        first = declared if isinstance(declared, Target) else None
        ways = [Way("", "lab" if lab else "target", (), first)] if first else []
        if lab or (first and first.root is not None):
            return Ways(tuple(ways), ())  # this computer is in no network of the lab
        users = [first.user if first else "", *(export.value.user for export in networks)]
        user = next(filter(None, users), "")
        # The port of a host on this computer is one that is forwarded to the machine.
        port = first.port if first and not is_own_host(first.host) else 22
        faults: list[Fault] = []
        for export in networks:
            value = export.value
            for jump in self._jumps(export, (*before, machine), faults) if value.jump else [None]:
                target = network_target(self.project, machine, value, user=user, port=port, jump=jump)
                if isinstance(target, Fault):
                    return Ways(tuple(ways), (target,))
                ways.append(Way(export.instance, value.purpose, tuple(value.names), target))
        if not ways and not faults:
            path = " → ".join((*before, machine, *(export.value.jump for export in networks[:1])))
            where = Where(keys=("instances", networks[0].instance))
            faults.append(Fault(f"machines are reached through one another: {path}", where, "remove one `jump`"))
        return Ways(tuple(ways), tuple(faults))

    def _jumps(self, export: Exported[Network], before: tuple[str, ...], faults: list[Fault]) -> list[Target]:
        """Return the targets of the machine through which another one is reached."""
        jump, declared = export.value.jump, self.loaded.inventory.machines
        what = f"machine {export.machine!r} is reached through {jump!r} in {export.instance}"
        keys = ("instances", export.instance, "roles", export.role, "machines", export.machine, "settings", "jump")
        if jump not in declared:
            hint = nearest(jump, declared, what="machines")
            faults.append(Fault(f"{what}, which does not exist", Where(keys=keys), hint))
        elif jump == export.machine:
            faults.append(Fault(f"{what}, which is itself", Where(keys=keys), "name another machine"))
        elif jump not in before:
            ways, problems = self.find(jump, before)
            faults += [] if ways else problems
            targets = [way.target for way in ways if way.target.root is None]
            if ways and not targets:
                faults.append(Fault(f"{what}, which is a directory", Where(keys=keys), "name a machine with SSH"))
            return targets[:_MOST_JUMPS]
        return []
