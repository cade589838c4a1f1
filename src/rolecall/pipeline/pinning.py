"""Pin the SSH host keys of real machines. Those of the lab need no pins."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from rolecall.deploy import pins
from rolecall.deploy.target import pinned_keys
from rolecall.errors import Fault, Faults
from rolecall.model.plan import PARALLEL
from rolecall.pipeline.reaching import real_ways

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rolecall.deploy.target import Target
    from rolecall.pipeline.workspace import Workspace
    from rolecall.project import Project


@dataclass(frozen=True, slots=True)
class HostKeys:
    """The SSH host keys of a machine, each ``TYPE BASE64``.

    Attributes:
        machine: The machine.
        presented: Those that it presents now; if `verified`, those that the user's own known_hosts files have for it.
        pinned: Those that are pinned.
        verified: Whether the user has verified them before.
    """

    machine: str
    presented: tuple[str, ...]
    pinned: tuple[str, ...]
    verified: bool = False

    @property
    def fingerprints(self) -> tuple[str, ...]:
        """The fingerprints of the presented keys, as ssh-keygen(1) prints them."""
        return tuple(map(pins.fingerprint, self.presented))

    @property
    def pinned_fingerprints(self) -> tuple[str, ...]:
        """The fingerprints of the pinned keys."""
        return tuple(map(pins.fingerprint, self.pinned))

    @property
    def warning(self) -> str:
        """What is odd about the keys, or ""."""
        if not self.pinned or self.pinned == self.presented:
            return ""
        return f"{self.machine} presents other host keys than the pinned ones. {pins.OTHERS}"


def host_keys(
    workspace: Workspace, machines: Sequence[str], *, known_hosts: bool = False
) -> tuple[list[HostKeys], list[Fault]]:
    """Ask real machines for their host keys, which are not verified.

    Args:
        workspace: The project.
        machines: Their names.
        known_hosts: Whether to take the keys that the user's own known_hosts files have instead, where they have some.

    Returns:
        The keys of each machine; and for the others, that they have no target, or do not answer.

    Raises:
        Faults: As `Workspace.loaded`; also when a machine is not declared.
    """
    targets = {name: real_ways(workspace, name) for name in machines}

    def find(name: str) -> HostKeys | list[Fault]:
        found = targets[name]
        return keys_at(
            workspace.project, name, [way.target for way in found.ways], found.faults, known_hosts=known_hosts
        )

    with ThreadPoolExecutor(PARALLEL) as pool:
        answers = list(pool.map(find, targets))
    keys = [answer for answer in answers if isinstance(answer, HostKeys)]
    return keys, [fault for answer in answers if isinstance(answer, list) for fault in answer]


def keys_at(
    project: Project,
    machine: str,
    targets: Sequence[Target],
    problems: Sequence[Fault] = (),
    *,
    known_hosts: bool = False,
) -> HostKeys | list[Fault]:
    """Return the host keys of a machine at the first of its targets that has some, or why there are none.

    Args:
        project: The project.
        machine: Its name.
        targets: How it is reached.
        problems: Why it has no target.
        known_hosts: As for `host_keys`.
    """
    faults = [] if targets else list(problems)
    finders = [partial(pins.scan, target) for target in targets]
    if known_hosts:
        finders[:0] = [partial(pins.known_to_user, target) for target in targets]
    for number, finder in enumerate(finders):
        try:
            found = tuple(finder())
        except Faults as error:
            faults += error.faults
        else:
            if found:
                verified = number < len(finders) - len(targets)
                return HostKeys(machine, found, tuple(pins.pinned(project, machine)), verified)
    return list(dict.fromkeys(faults))


def unpinned(workspace: Workspace) -> list[str]:
    """Return the machines with a real target that have no pinned host keys, sorted.

    Raises:
        Faults: As `Workspace.loaded`.
    """
    pinned = pinned_keys(workspace.project.known_hosts)
    return [
        name
        for name in workspace.machine_names()
        if name not in pinned and any(way.target.root is None for way in real_ways(workspace, name).ways)
    ]


def pin(workspace: Workspace, keys: HostKeys, *, replace: bool) -> None:
    """Pin the keys that a machine presented.

    Raises:
        Faults: When other keys are pinned and `replace` is false.
    """
    pins.pin(workspace.project, keys.machine, list(keys.presented), replace=replace)
