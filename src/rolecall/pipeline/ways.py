"""The ways to a machine: its target, then the networks that it is in, in the order of their priority."""

from __future__ import annotations

import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rolecall import inventory
from rolecall.deploy.connection import SSH_FAILED, ssh_problem
from rolecall.deploy.target import Target, find_target, network_target
from rolecall.errors import Fault, Faults, Where, nearest, printable
from rolecall.model.plan import PARALLEL

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rolecall.deploy.target import Lab
    from rolecall.model.exports import Exported
    from rolecall.model.inventory import Loaded
    from rolecall.project import Project
    from rolecall.service.interfaces import Network

PATIENCE = 15  # seconds for a machine to answer


@dataclass(frozen=True, slots=True)
class Way:
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


@dataclass(frozen=True, slots=True)
class Answer:
    """Whether a machine answers by one of its ways.

    Attributes:
        way: The way.
        seconds: How long a login took, or failed to take.
        problem: Why it does not answer, or "".
    """

    way: Way
    seconds: float
    problem: str

    def as_json(self) -> dict[str, Any]:
        """Return the documented form of ``rolecall network --json`` (docs/reference/json.md)."""
        target, way = self.way.target, self.way
        return {
            "network": way.network,
            "purpose": way.purpose,
            "target": target.text,
            "address": target.host,
            "names": list(way.names),
            "answers": not self.problem,
            "seconds": round(self.seconds, 3),
            "problem": self.problem,
        }


def ways_of(
    project: Project,
    loaded: Loaded,
    lab: Lab | None,
    networks: Iterable[Exported[Network]],
    machines: Iterable[str] | None = None,
) -> Mapping[str, tuple[Way, ...] | Fault]:
    """Return the ways to each machine, the first one to try first; or why there is none.

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
    found: dict[str, tuple[Way, ...] | Fault] = {}
    for machine in sorted(published) if machines is None else machines:
        try:
            found[machine] = finder.find(machine, ())
        except Faults as error:
            found[machine] = inventory.locate(error.faults[0], loaded.sources)
    return found


def ask(ways: Sequence[Way], parallel: int = PARALLEL) -> list[Answer]:
    """Log in by each way, and return whether it answers, in the same order."""
    if not ways:
        return []
    with ThreadPoolExecutor(min(parallel, len(ways))) as pool:
        return list(pool.map(_ask, ways))


@dataclass(frozen=True, slots=True)
class _Finder:
    project: Project
    loaded: Loaded
    lab: Lab | None
    published: Mapping[str, Sequence[Exported[Network]]]

    def find(self, machine: str, before: tuple[str, ...]) -> tuple[Way, ...]:
        """Return the ways to a machine.

        Args:
            machine: Its name.
            before: The machines that are reached through it.

        Raises:
            Faults: The first that it has.
        """
        target_host = self.loaded.inventory.machines[machine].deploy.target_host
        lab = self.lab if target_host is None else None
        declared = find_target(self.project, machine, target_host, lab)
        networks = self.published.get(machine, ())
        if isinstance(declared, Fault) and (target_host is not None or not networks):
            raise Faults([declared])
        first = declared if isinstance(declared, Target) else None
        found = [Way("", "lab" if lab else "target", (), first)] if first else []
        if lab or (first and first.root is not None):
            return tuple(found)  # this computer is in no network of the lab
        for export in networks:
            jump = self._jump(export, (*before, machine)) if export.value.jump else None
            target = network_target(self.project, machine, export.value, first, jump)
            if isinstance(target, Fault):
                raise Faults([target])
            found.append(Way(export.instance, export.value.purpose, tuple(export.value.names), target))
        return tuple(found)

    def _jump(self, export: Exported[Network], before: tuple[str, ...]) -> Target:
        """Return the target of the machine through which another one is reached: the first of its ways."""
        jump, declared = export.value.jump, self.loaded.inventory.machines
        what = f"machine {export.machine!r} is reached through {jump!r} in {export.instance}"
        where = Where(keys=("instances", export.instance))
        if jump not in declared:
            raise Faults([Fault(f"{what}, which does not exist", where, nearest(jump, declared, what="machines"))])
        if jump in before:
            path = " → ".join((*before, jump))
            raise Faults([Fault(f"machines are reached through one another: {path}", where, "remove one `jump`")])
        target = self.find(jump, before)[0].target
        if target.root is not None:
            raise Faults([Fault(f"{what}, which is the directory {target.root}", where, "name a machine with SSH")])
        return target


def _ask(way: Way) -> Answer:
    began = time.monotonic()
    target = way.target
    if target.root is not None:
        return Answer(way, 0.0, "" if target.root.parent.is_dir() else f"{target.root.parent} does not exist")
    command = ["ssh", "-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=5", *target.ssh, "true"]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        return Answer(way, time.monotonic() - began, f"no answer within {PATIENCE} seconds")
    problem = ""
    if done.returncode == SSH_FAILED:  # any other status is that of the command: it was logged in
        problem = ssh_problem(target.machine, printable(done.stderr.strip(), keep="\n")) or "ssh(1) failed"
    return Answer(way, time.monotonic() - began, problem)
