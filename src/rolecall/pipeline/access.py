"""The admins, and who can read which secret."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rolecall import vars as var_store
from rolecall.errors import Faults
from rolecall.options import options
from rolecall.pipeline.noting import sent
from rolecall_agent.resources import File

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from rolecall.model.recipes import Recipe
    from rolecall.model.vars import VarKey
    from rolecall.pipeline.evaluation import Evaluation
    from rolecall.pipeline.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Admin:
    """An admin.

    Attributes:
        name: The name of the key in the project.
        public_key: The public key.
    """

    name: str
    public_key: str


def admins(workspace: Workspace) -> list[Admin]:
    """Return the admins, sorted by name.

    Raises:
        Faults: For each key that cannot be used.
    """
    return [Admin(admin.name, admin.public_key) for admin in var_store.admins(workspace.project)]


def create_admin(workspace: Workspace, name: str) -> tuple[Path, Path]:
    """Create the user's own identity, if there is none, and make it an admin.

    Returns:
        The paths of the identity, and of its public key in the project.

    Raises:
        Faults: When an existing identity cannot be used, or the name is invalid or has another key.
    """
    project = workspace.project
    identity = var_store.create_identity(project, name)
    return identity, project.keys / f"{var_store.admin_of(project, identity)}.pub"


def add_admin(workspace: Workspace, name: str, public_key: str) -> tuple[Path, int]:
    """Add an admin's public key.

    Returns:
        The file of the key, and the number of stored secrets that the admin cannot read yet.

    Raises:
        Faults: When the name is invalid or taken, or the key cannot be used.
    """
    path = var_store.add_admin(workspace.project, name, public_key)
    return path, len(var_store.with_wrong_recipients(workspace.project))


@dataclass(frozen=True, slots=True)
class Removal:
    """What it means to remove an admin.

    Attributes:
        name: The admin's name.
        public_keys: The admin's keys; () when the admin does not exist.
        known: The secrets that the admin could read.
        alone: Those of them that no other admin can read.
        last: Whether no admin is left afterwards.
        own: Whether one of the keys is that of the user's identity.
    """

    name: str
    public_keys: tuple[str, ...]
    known: tuple[str, ...]
    alone: tuple[str, ...]
    last: bool
    own: bool


def removal(workspace: Workspace, name: str) -> Removal:
    """Return what it would mean to remove an admin.

    Raises:
        Faults: As `admins`.
    """
    admins = var_store.admins(workspace.project)
    keys = tuple(admin.public_key for admin in admins if admin.name == name)
    others = {admin.public_key for admin in admins if admin.name != name}
    known = [each for key in keys for each in var_store.readable_by(workspace.project, key)]
    alone = tuple(str(each) for each in known if others.isdisjoint(each.recipients or ()))
    own = var_store.own_key() in keys
    return Removal(name, keys, tuple(map(str, known)), alone, bool(keys) and not others, own)


def remove_admin(workspace: Workspace, name: str) -> None:
    """Remove an admin's public key. The secrets that it could read can still be read with it.

    Raises:
        Faults: When the admin does not exist.
    """
    var_store.remove_admin(workspace.project, name)


def lost_to_user(workspace: Workspace) -> list[str]:
    """Return the secrets that the user's identity can read now, but not after `fix_vars`."""
    project, own = workspace.project, var_store.own_key()
    try:
        stays = options(project).secrets != "age" or own in {admin.public_key for admin in var_store.admins(project)}
    except Faults:  # `fix_vars` reports them, and re-encrypts nothing
        return []
    return [] if stays else [str(secret) for secret in var_store.readable_by(project, own)]


@dataclass(frozen=True, slots=True)
class Audience:
    """Who can read one secret.

    Attributes:
        secret: As `rolecall vars list` names it.
        pending: Whether it waits for an update.
        admins: Names of the admins to whom it is encrypted; a public key that is not an admin's stands for itself.
        machines: The machines that receive it.
        formerly: Machines that once received it and no longer do, and public keys that could read it before.
        groups: By machine: the groups whose members can read it there, besides root and the file's owner.
    """

    secret: str
    pending: bool
    admins: tuple[str, ...]
    machines: tuple[str, ...]
    formerly: tuple[str, ...]
    groups: Mapping[str, tuple[str, ...]]


def audiences(workspace: Workspace) -> list[Audience]:
    """Return who can read what, sorted by secret. Missing vars are generated into the pending set.

    Raises:
        Faults: As `Workspace.evaluation`.
    """
    project, evaluation = workspace.project, workspace.evaluation()
    machines = sent(evaluation)
    names = {admin.public_key: admin.name for admin in var_store.admins(project)}
    groups = _groups(evaluation)
    found = []
    for each in var_store.sealed(project):
        pending = each.base == project.pending
        # Of two values of one secret, the pending one counts in an evaluation.
        counts = pending == (each.key in evaluation.makes)
        receivers = set(machines.get((each.key, each.file), ())) if counts else set()
        admins = sorted(names.get(key, key) for key in each.recipients or ())
        formerly = sorted({*(each.machines - receivers), *each.formerly})
        readable = groups.get((each.key, each.file), {}) if counts else {}
        found.append(Audience(str(each), pending, tuple(admins), tuple(sorted(receivers)), tuple(formerly), readable))
    return sorted(found, key=lambda row: (row.secret, row.pending))


def _groups(evaluation: Evaluation) -> Mapping[tuple[VarKey, str], dict[str, tuple[str, ...]]]:
    """Return, for each secret that groups can read on machines, these groups by machine."""
    where = {file.version: (key, name) for key, var in evaluation.world.vars.items() for name, file in var.items()}
    found: dict[tuple[VarKey, str], dict[str, tuple[str, ...]]] = {}
    for machine, configured in evaluation.configured.items():
        for file in configured.configuration.resources:
            if isinstance(file, File) and file.shared_with:
                for secret in file.secrets:
                    groups = found.setdefault(where[secret.version], {})
                    groups[machine] = tuple(sorted({*groups.get(machine, ()), file.shared_with}))
    return found


def known_to(workspace: Workspace, who: str) -> tuple[list[Recipe], list[VarKey]]:
    """Return the vars of which a machine, or the owner of a public key, could read a secret.

    Returns:
        Those that the inventory needs, and the keys of others.

    Raises:
        Faults: As `Workspace.members`.
    """
    seen = sorted({each.key for each in var_store.known_to(workspace.project, who)})
    wanted = {recipe.key: recipe for recipe in workspace.members().recipes}
    return [wanted[key] for key in seen if key in wanted], [key for key in seen if key not in wanted]
