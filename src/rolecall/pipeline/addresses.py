"""How machines reach one another: by which address, and which line of the inventory says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rolecall import inventory
from rolecall.deploy.target import Target, find_target, pinned_keys
from rolecall.errors import Fault, Where, dotted
from rolecall.model.addresses import is_own_host, problem_for_peers
from rolecall.model.world import Host
from rolecall.service.hosts import SSH_PORT
from rolecall.service.interfaces import Network

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rolecall.deploy.target import Lab
    from rolecall.model.inventory import Loaded, Machine
    from rolecall.model.source import Source
    from rolecall.pipeline.evaluation import Evaluation
    from rolecall.project import Project

SHOWN = 8  # addresses in the details of a failed check


def hosts_of(project: Project, loaded: Loaded, lab: Lab | None) -> dict[str, Host]:
    """Return addresses and pinned keys: as they are declared and pinned, never as they were last seen."""
    domain = loaded.inventory.meta.domain
    pinned = pinned_keys(project.known_hosts)
    lab_pins = pinned_keys(lab.known_hosts) if lab else {}
    hosts = {}
    for name, machine in loaded.inventory.machines.items():
        if lab and lab.reaches(name, machine.deploy.target_host):
            hosts[name] = Host(name, lab_pins.get(name, ()))
            continue
        found = find_target(project, name, machine.deploy.target_host, lab)
        host, port = (found.host, found.port) if isinstance(found, Target) else ("", SSH_PORT)
        port = SSH_PORT if is_own_host(host) else port  # it is forwarded to that of the machine
        address, keys, problem = _address(name, machine, host, domain)
        hosts[name] = Host(address, pinned.get(name, ()), port, keys, problem)
    return hosts


def _address(name: str, machine: Machine, host: str, domain: str) -> tuple[str, tuple[str, ...], str]:
    """Return a machine's address for its peers, the key path that says it, and why they cannot use it, or "".

    Args:
        name: The machine's name.
        machine: What the inventory says of it.
        host: The host of its SSH target, or "".
        domain: ``meta.domain``.
    """
    problem = problem_for_peers(host) if host else ""
    if machine.address:
        return machine.address, ("machines", name, "address"), ""
    if host and not (problem and domain):
        return host, ("machines", name, "deploy", "targetHost"), problem
    if domain:
        return f"{name}.{domain}", ("meta", "domain"), ""
    return name, ("machines", name), ""


def addresses_used(evaluation: Evaluation, machine: str, check: str) -> str:
    """Return which addresses of other machines the service behind a machine's check has read, a line for each.

    Args:
        evaluation: The evaluation that the machine's configuration comes from.
        machine: The machine.
        check: The check's name, ``INSTANCE.ROLE: NAME``.
    """
    origin = check.partition(": ")[0]
    configured, world = evaluation.configured[machine], evaluation.world
    sources = evaluation.members.loaded.sources
    read = [(peer, _shown(world.hosts[peer], sources)) for peer in configured.addresses.get(origin, ())]
    for peer, network in configured.networks.get(origin, ()):
        found = world.published(Network, peer, network, None, None)
        read += [(peer, f"{export.value.address} (in the network {network})") for export in found]
    lines = [f"{origin} reaches {peer} at {place}" for peer, place in read[:SHOWN]]
    return "\n".join([*lines, *([f"and {len(read) - SHOWN} more"] if read[SHOWN:] else [])])


def _shown(host: Host, sources: Sequence[Source]) -> str:
    if not host.declared_at:
        return host.address
    place = inventory.locate(Fault("", Where(keys=host.declared_at)), sources).where
    line = f", {place.file.name}:{place.line}" if place and place.file else ""
    return f"{host.address} ({dotted(host.declared_at)}{line})"
