"""Install a machine: reach it for the first time, prepare it, and declare it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rolecall.deploy import installing as stage
from rolecall.deploy.target import find_target
from rolecall.errors import Fault, Faults, fault
from rolecall.inventory import machines
from rolecall.inventory.changes import Set
from rolecall.pipeline.choosing import Choice
from rolecall.pipeline.editing import edit
from rolecall.pipeline.pinning import HostKeys, keys_at
from rolecall.pipeline.reaching import real_ways

if TYPE_CHECKING:
    from pathlib import Path

    from rolecall.deploy.target import Target
    from rolecall.inventory.edit import Edited
    from rolecall.pipeline.workspace import Workspace

_HOSTNAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")  # hostname(7), one label


@dataclass(frozen=True, slots=True)
class NewMachine:
    """A machine that is to be installed.

    Attributes:
        name: Its name.
        target: How it is reached.
        undeclared: What the inventory does not say yet: its target, or "".
    """

    name: str
    target: Target
    undeclared: str
    _workspace: Workspace

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory, which needs no preparation."""
        return self.target.root is not None

    def host_keys(self, *, known_hosts: bool = False) -> HostKeys:
        """Return its host keys; arguments and faults as `pipeline.host_keys`."""
        keys = keys_at(self._workspace.project, self.name, [self.target], known_hosts=known_hosts)
        if isinstance(keys, HostKeys):
            return keys
        raise Faults(keys)

    def log_in(self) -> stage.Login:
        """Log in, and stay so until its block ends; ssh(1) may ask for a password on the terminal.

        Raises:
            Faults: When it cannot be reached, or the login fails.
        """
        return stage.Login(self.target)

    def lacking(self, login: stage.Login, ssh_key: Path | None, *, hostname: bool) -> stage.Preparation:
        """Return what the machine lacks.

        Args:
            login: From `log_in`.
            ssh_key: The file of the public key with which to log in from now on; None for the user's own keys, if the
                login has needed a password.
            hostname: Whether its hostname is to be its name.

        Raises:
            Faults: When Rolecall cannot use the machine, or no key is found.
        """
        keys = stage.own_keys(self.target, ssh_key) if ssh_key or not login.by_key else []
        wanted = self.name if hostname and _HOSTNAME.fullmatch(self.name) else ""
        return stage.needed(self.name, login.look(), wanted, keys)

    def declare(self) -> Edited | None:
        """Write its target into `inventory.json`; return None when the inventory has it already.

        Raises:
            Faults: As `pipeline.edit`.
        """
        if not self.undeclared:
            return None
        return edit(self._workspace, [Set(("machines", self.name, "deploy", "targetHost"), self.undeclared)])


def new_machine(workspace: Workspace, name: str, target_host: str | None) -> NewMachine:
    """Return a machine that is to be installed.

    Args:
        workspace: The project.
        name: Its name.
        target_host: Its target; None for the one that the inventory declares.

    Raises:
        Faults: As `Workspace.loaded`; also when the name or target is invalid, or the inventory has another target.
    """
    loaded = workspace.loaded()
    declared = loaded.inventory.machines.get(name)
    said = declared.deploy.target_host if declared else None
    if target_host is None:
        if not declared:
            unknown = loaded.unknown_machine(name)
            raise fault(unknown.message, hint="if it is new, give its target: `--target-host root@HOST`")
        found = real_ways(workspace, name)
        if not found.ways:
            raise Faults(found.faults)
        return NewMachine(name, found.ways[0].target, "", workspace)
    machines.require_name(name)
    if said not in {None, target_host}:
        hint = f"omit --target-host, or change it: `rolecall inventory set machines.{name}.deploy.targetHost`"
        raise fault(f"the target of {name} is {said!r} in the inventory", hint=hint)
    target = find_target(workspace.project, name, target_host, None)
    if isinstance(target, Fault):
        raise Faults([target])
    return NewMachine(name, target, "" if said else target_host, workspace)


def with_peers(workspace: Workspace, name: str) -> Choice:
    """Return the choice of a machine and of all members of the instances in which it has a role.

    Raises:
        Faults: As `Workspace.members`.
    """
    instances = workspace.members().membership.role_members.values()
    members = [{machine for role in roles.values() for machine in role.settings} for roles in instances]
    return Choice(tuple(sorted({name}.union(*(those for those in members if name in those)))))
